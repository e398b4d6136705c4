"""A bound on what any policy can reach at a budget (policies/oracle.py finds the schedule)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fleetrec.simulator.scenario.sections.request import (
    DeviceView,
    Preparation,
    RequestPolicy,
    RunningRequestPolicy,
    RunStart,
    Tuned,
)
from fleetrec.simulator.scenario.units import Share


class OracleDpRequest(RequestPolicy):
    """A bound that knows the future: the best request times under a budget, at zero latency and fixed weights."""

    kind: Literal["oracle_dp"] = "oracle_dp"
    ratio: Share = Field(0.2, description="share of all decisions that may ask")

    needs_list: ClassVar[bool] = True
    knows_future: ClassVar[bool] = True

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        return before.best_schedule(self.ratio)

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return _Scheduled(run)


@dataclass(frozen=True)
class Schedule:
    """Requests that were chosen before the run: after which rows [S] of the stream, and by which devices [D] as they
    join, when their newest interaction is `first_step` [D]."""

    rows: NDArray[np.bool_]
    joins: NDArray[np.bool_]
    first_step: NDArray[np.int64]


class _Scheduled:
    """At decisions that were chosen before the run."""

    def __init__(self, run: RunStart):
        assert run.chosen is not None
        self._next = run.next_of(run.chosen.rows)
        chosen = np.flatnonzero(run.chosen.rows)
        joins = np.flatnonzero(run.chosen.joins)
        self._asks = {
            *zip(run.device[chosen].tolist(), run.step[chosen].tolist(), strict=True),
            *zip(joins.tolist(), run.chosen.first_step[joins].tolist(), strict=True),
        }

    def wants(self, device: DeviceView) -> bool:
        return (device.device, device.step) in self._asks

    def next_ask(self, device: DeviceView, row: int) -> int:
        return self._next[row]
