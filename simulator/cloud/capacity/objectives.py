"""What servers are judged by: any mix of latency, time to first token and time per output token, at any percentile."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.objectives import Measure, Objective

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Times:
    """What requests have met; arrays [N], NaN where it did not happen."""

    latency_s: Floats
    """arrival to the last token"""
    ttft_s: Floats
    """arrival to the first token"""
    tpot_s: Floats
    """seconds per output token after the first"""

    @classmethod
    def of(cls, latency_s: Floats, ttft_s: Floats, output_tokens: Ints) -> "Times":
        """Where each sequence of a request has so many tokens."""
        more = output_tokens - 1
        with np.errstate(invalid="ignore", divide="ignore"):
            return cls(latency_s, ttft_s, np.where(more > 0, (latency_s - ttft_s) / more, math.nan))

    def measured(self, measure: Measure) -> Floats:
        """One of the three."""
        return {"latency": self.latency_s, "ttft": self.ttft_s, "tpot": self.tpot_s}[measure]

    def take(self, rows: Ints | slice) -> "Times":
        """Those of some requests."""
        return Times(self.latency_s[rows], self.ttft_s[rows], self.tpot_s[rows])


@dataclass(frozen=True)
class ServiceObjective:
    """All of `parts`, of which there is at least one."""

    parts: tuple[Objective, ...]

    @classmethod
    def parse(cls, text: str) -> "ServiceObjective":
        """Objectives with commas between; ValueError for anything else."""
        return cls(tuple(Objective.parse(part) for part in text.split(",")))

    @classmethod
    def of(cls, slo: sections.Slo) -> "ServiceObjective":
        """That of a scenario."""
        return cls(slo.parts)

    def __str__(self) -> str:
        *others, last = map(str, self.parts)
        return f"{', '.join(others)} and {last}" if others else last

    def met(self, times: Times) -> bool:
        """Whether requests of these times meet it."""
        requests = len(times.latency_s)
        return all(int(part.misses(times.measured(part.measure)).sum()) <= part.allows(requests) for part in self.parts)

    def hardest(self, times: Times) -> tuple[Objective, float]:
        """The part whose bound these times come nearest to, or exceed most, and the value at its percentile."""
        values = [(part, part.percentile(times.measured(part.measure))) for part in self.parts]
        return max(values, key=lambda found: found[1] / max(found[0].at_most_s, 1e-300))
