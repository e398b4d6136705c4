"""The cloud: catalogue of models and GPUs, their timing, and the nodes that serve requests."""

from fleetrec.simulator.cloud.hardware.catalogue import (
    Catalogue,
    GpuSpec,
    ModelSpec,
    default_catalogue,
    model_from_config,
    served_model,
)
from fleetrec.simulator.cloud.hardware.memory import kv_blocks
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.cpu_node import CpuNode
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.node.queueing import Outcome, Served, Ticket
from fleetrec.simulator.cloud.tokens import RequestTokens, llm_request_tokens

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
