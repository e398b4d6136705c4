"""A bound on policies that look one item ahead."""

from typing import ClassVar, Literal

from fleetrec.simulator.policies.request.threshold import ThresholdRequest
from fleetrec.simulator.scenario.sections.request import Preparation, Tuned


class OracleGreedyRequest(ThresholdRequest):
    """A bound that knows the future: a request when a fresh list would put the next item higher."""

    kind: Literal["oracle_greedy"] = "oracle_greedy"

    knows_future: ClassVar[bool] = True

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        return before.fresh_is_better()
