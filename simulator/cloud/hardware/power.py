"""What a replica draws: idle power while nothing runs, and while it serves a curve that rises to the board's limit.

While it serves, a GPU draws busy_power_w + (power_w - busy_power_w) x u / (u + half_load), where u is the share of its
peak FLOP/s that its tokens need. Fitted to measured power of nine models on H100 (docs/background/llm_node.md). Of a
server only the GPUs are counted.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.models import ModelSpec

Load = TypeVar("Load", float, NDArray[np.float64])


def busy_watts(gpu: GpuSpec, load: Load) -> Load:
    """Board power, W, while it serves at `load`, its FLOP/s over the peak of its number type."""
    return gpu.busy_power_w + (gpu.power_w - gpu.busy_power_w) * load / (load + gpu.half_load)


@dataclass(frozen=True)
class ReplicaPower:
    """Power and energy of `gpus` GPUs that hold one copy of `model`."""

    model: ModelSpec
    gpu: GpuSpec
    gpus: int = 1

    def load(self, busy_s: Load, tokens: Load) -> Load:
        """Share of the peak FLOP/s where `tokens` pass through the weights in `busy_s` seconds (2 FLOPs each for every
        parameter that a token meets; attention is left out)."""
        return self._flops_per_token * tokens / (busy_s * self._peak_flops)

    @cached_property
    def _flops_per_token(self) -> float:
        return self.model.body_flops(self.gpu) + self.model.head_flops(self.gpu)

    @cached_property
    def _peak_flops(self) -> float:
        return self.gpus * self.gpu.peak_flops(self.model.weights)

    def busy_joules(self, busy_s: float, tokens: float) -> float:
        """Energy of `busy_s` seconds of serving in which `tokens` (prompt tokens computed, and generated ones) pass.

        For a replica: its busy time and all its tokens. For a request: its share of the busy time and its own tokens;
        requests on a batch that differ in tokens per second draw together a little less than the replica as one.
        """
        if busy_s <= 0.0:
            return 0.0
        return self.drawn_joules(busy_s, tokens)

    def drawn_joules(self, busy_s: Load, tokens: Load) -> Load:
        """The same where it does serve, for one or for many."""
        return busy_s * self.gpus * busy_watts(self.gpu, self.load(busy_s, tokens))

    def idle_joules(self, idle_s: float) -> float:
        """Energy of `idle_s` seconds in which it is kept and nothing runs."""
        return idle_s * self.gpus * self.gpu.idle_power_w
