"""How the GPUs of a replica divide a model: tensor, pipeline, expert and attention-data parallel."""

import math
from dataclasses import dataclass

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.scenario.sections import Machines


@dataclass(frozen=True)
class Layout:
    """GPUs of a replica, by what they share. Plain tensor parallelism is the default."""

    gpus: int = 1
    pipeline: int = 1
    """stages, each with its part of the layers"""
    attention_data: int = 1
    """groups of a stage with all of its attention each, for sequences of their own"""
    expert: int = 1
    """groups of a stage among which the experts are dealt out"""

    @property
    def stage(self) -> int:
        """GPUs of a stage."""
        return self.gpus // self.pipeline

    @property
    def tensor(self) -> int:
        """GPUs that divide the attention of a sequence."""
        return self.stage // self.attention_data

    def weight_bytes(self, model: ModelSpec) -> float:
        """Weights in the memory of all GPUs: what is not a routed expert stands once in each attention group."""
        return model.expert_bytes + self.attention_data * (model.weight_bytes - model.expert_bytes)

    def kv_bytes_per_token(self, model: ModelSpec) -> float:
        """Keys and values of a token over all GPUs."""
        return model.replica_kv_bytes_per_token(self.tensor)


def layout_named(tp: int, pp: int = 1, dp: int | None = None, moe_gpus: int = 1, ep: int = 1) -> Layout:
    """GPUs by tensor, pipeline, attention-data and expert parallel. Without `dp`: as many groups as experts are divided
    among more GPUs than a tensor group has."""
    if dp is None:
        experts = max(moe_gpus, tp)
        if experts % tp:
            raise InputError(f"ep: experts on {counted(experts, 'GPU')} are no multiple of tp: {tp}; set one")
        dp = experts // tp
    stage = tp * dp
    if moe_gpus <= stage and stage % ep:
        raise InputError(f"ep: {stage} GPUs cannot be {ep} equal groups; set a divisor of them")
    return Layout(stage * pp, pp, dp, math.gcd(ep, stage))


def layout_of(section: Machines, model: ModelSpec, key: str) -> Layout:
    """The layout of a section's replicas. InputError where its keys do not divide the GPUs, or the model."""
    gpus, parallel = section.gpus_per_replica, section.parallel
    layout = Layout(gpus, parallel.pipeline, parallel.attention_data, parallel.expert)
    for name, parts, whole in (
        ("pipeline", layout.pipeline, gpus),
        ("attention_data", layout.attention_data, layout.stage),
        ("expert", layout.expert, layout.stage),
    ):
        if whole % parts:
            fitting = ", ".join(str(n) for n in range(1, whole + 1) if whole % n == 0)
            raise InputError(
                f"{key}.parallel.{name}: {counted(whole, 'GPU')} cannot be {parts} equal groups; "
                f"set one of {fitting}, or another {key}.gpus_per_replica"
            )
    if layout.pipeline > model.layers:
        raise InputError(f"{key}.parallel.pipeline: {model.name} has {model.layers} layers; set at most as many stages")
    if layout.expert > 1 and model.experts % layout.expert:
        has = f"{model.experts} experts" if model.experts > 1 else "no experts"
        raise InputError(f"{key}.parallel.expert: {model.name} has {has}, not {layout.expert} equal groups; set 1")
    return layout
