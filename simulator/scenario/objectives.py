"""A service-level objective as it is written: `p95=1s`, `ttft_p99=200ms`, `tpot_p50=30ms`."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.scenario.units import DURATION

Measure = Literal["latency", "ttft", "tpot"]
MEASURES: tuple[Measure, ...] = ("latency", "ttft", "tpot")


@dataclass(frozen=True)
class Objective:
    """At least `share` of the requests have a `measure` of at most `at_most_s` seconds."""

    share: float
    at_most_s: float
    measure: Measure = "latency"

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """`p95=1s` or `latency_p95=1s`, `ttft_p99=200ms`, `tpot_p50=30ms`; ValueError for anything else."""
        name, _, bound = text.partition("=")
        told, p, percentile = name.strip().rpartition("p")
        measure = {f"{known}_": known for known in MEASURES}.get(told, "latency" if p and not told else None)
        try:
            share, at_most_s = float(percentile) / 100, DURATION.read(bound)
        except ValueError:
            share, at_most_s = math.nan, math.nan
        if measure is None or not 0 < share < 1 or not at_most_s > 0:
            raise ValueError(f"{text!r} is not an objective; write p95=1s, p99=2s, ttft_p95=200ms or tpot_p50=30ms")
        return cls(share, at_most_s, measure)

    def __str__(self) -> str:
        return f"{self.what} of at most {DURATION.show(self.at_most_s)}"

    @property
    def what(self) -> str:
        """Which percentile of what."""
        return f"p{100 * self.share:g} {self.measure if self.measure == 'latency' else self.measure.upper()}"

    def misses(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Those that take longer, or never end; where a measure has no meaning (TPOT of one token) it is met."""
        late = values > self.late_s
        return late if self.measure == "tpot" else late | np.isnan(values)

    @property
    def late_s(self) -> float:
        """What takes longer is late: the bound, and a billionth of it for the rounding of sums."""
        return self.at_most_s * (1 + 1e-9)

    def allows(self, requests: int) -> int:
        """Misses among `requests` requests that it still allows."""
        return math.floor((1 - self.share) * requests + 1e-9)

    def percentile(self, values: NDArray[np.float64]) -> float:
        """The smallest value that `share` of them do not exceed, 0 where there is none: see `misses` for NaN."""
        ordered = np.sort(np.where(np.isnan(values), 0.0 if self.measure == "tpot" else math.inf, values))
        return float(ordered[len(ordered) - 1 - self.allows(len(ordered))]) if len(ordered) else 0.0
