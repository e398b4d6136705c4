"""The cloud: catalogue of models and GPUs, their timing, and the nodes that serve requests."""

from simulator.cloud.hardware.catalogue import (
    Catalogue,
    GpuSpec,
    ModelSpec,
    default_catalogue,
    model_from_config,
    served_model,
)
from simulator.cloud.hardware.memory import kv_blocks
from simulator.cloud.hardware.power import ReplicaPower
from simulator.cloud.hardware.timing import Efficiency, RooflineTiming
from simulator.cloud.node.cluster import Pool
from simulator.cloud.node.cpu_node import CpuNode
from simulator.cloud.node.llm_node import LlmNode
from simulator.cloud.node.queueing import Outcome, Served, Ticket
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
