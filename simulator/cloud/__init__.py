"""The cloud: catalogue of models and GPUs, their timing, and the nodes that serve requests."""

from simulator.cloud.catalogue import Catalogue, GpuSpec, ModelSpec, default_catalogue, served_model
from simulator.cloud.cluster import Pool
from simulator.cloud.cpu import CpuNode
from simulator.cloud.node import LlmNode
from simulator.cloud.queueing import Outcome, Served, Ticket
from simulator.cloud.timing import RooflineTiming, check_memory
from simulator.cloud.tokens import RequestTokens, llm_request_tokens

__all__ = [
    "Catalogue",
    "CpuNode",
    "GpuSpec",
    "LlmNode",
    "ModelSpec",
    "Outcome",
    "Pool",
    "RequestTokens",
    "RooflineTiming",
    "Served",
    "Ticket",
    "check_memory",
    "default_catalogue",
    "llm_request_tokens",
    "served_model",
]
