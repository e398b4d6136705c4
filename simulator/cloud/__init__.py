"""The cloud: catalogue of models and GPUs, their timing, and the nodes that serve requests."""

from simulator.cloud.catalogue import (
    Catalogue,
    GpuSpec,
    ModelSpec,
    default_catalogue,
    model_from_config,
    served_model,
)
from simulator.cloud.cluster import Pool
from simulator.cloud.cpu import CpuNode
from simulator.cloud.memory import kv_blocks
from simulator.cloud.node import LlmNode
from simulator.cloud.power import ReplicaPower
from simulator.cloud.queueing import Outcome, Served, Ticket
from simulator.cloud.timing import Efficiency, RooflineTiming
from simulator.cloud.tokens import RequestTokens, llm_request_tokens

__all__ = [
    "Catalogue",
    "CpuNode",
    "Efficiency",
    "GpuSpec",
    "LlmNode",
    "ModelSpec",
    "Outcome",
    "Pool",
    "ReplicaPower",
    "RequestTokens",
    "RooflineTiming",
    "Served",
    "Ticket",
    "default_catalogue",
    "kv_blocks",
    "llm_request_tokens",
    "model_from_config",
    "served_model",
]
