"""Where regions meet: what all their devices have sent is trained on together, and the fleet's bucket is dealt anew."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.engine.retraining import Trainer
from fleetrec.simulator.engine.run import end_of
from fleetrec.simulator.regions.messages import BarrierUpdate, Ints, RegionState
from fleetrec.simulator.scenario import sections

DEALT_EVERY_S = 3600.0
"""time after which what is left in the regions' parts of the fleet's bucket is put together and dealt anew"""


class Barriers:
    """The barriers of a run, one after the other, and what regions are told at each."""

    def __init__(
        self, duration_s: float, sizes: Ints, budget: sections.Budget, trainer: Trainer | None, progress: Progress
    ):
        """`sizes` [R]: devices of the regions. `trainer`: of the cloud that they share; None: it keeps its weights."""
        self._end_s, self._sizes, self.trainer, self._progress = end_of(duration_s), sizes, trainer, progress
        self._check, self._check_s = 1, math.inf if trainer is None else trainer.section.every
        self._deal, self._deal_s = 1, math.inf
        if budget.scope == "fleet" and budget.ratio < 1.0:
            self._deal_s = DEALT_EVERY_S

    @property
    def next_s(self) -> float | None:
        """The next barrier; None: there is none."""
        next_s = min(self._check_s, self._deal_s)
        return next_s if next_s < self._end_s else None

    def reached(self, states: Sequence[RegionState]) -> list[BarrierUpdate]:
        """What each region is told at the barrier that is next, and was reached with these states."""
        now = self.next_s
        checked, ends = now == self._check_s, None
        tokens: list[float | None] = [None] * len(states)
        if checked:
            ends = self._train([state.sent for state in states if state.sent is not None])
        if now == self._deal_s:
            tokens = self._dealt([state.tokens or 0.0 for state in states])
        return [BarrierUpdate(checked, ends, own) for own in tokens]

    def _train(self, sent: list[Ints]) -> Ints | None:
        """Train if the schedule says so: on how many interactions of each user [U]."""
        trainer, now = self.trainer, self._check_s
        assert trainer is not None
        ends = trainer.known_ends(reduce(np.minimum, sent))
        busy_until_s, learns = now, trainer.should_train(ends, now)
        if learns:
            release = trainer.train(ends, now, self._progress)
            busy_until_s = release.released_s
            if busy_until_s < self._end_s:
                trainer.releases.append(release)
        self._check = trainer.next_check(self._check, busy_until_s)
        self._check_s = self._check * trainer.section.every
        return ends if learns else None

    def _dealt(self, tokens: list[float]) -> list[float | None]:
        """All that is left, by the regions' numbers of devices."""
        self._deal += 1
        self._deal_s = self._deal * DEALT_EVERY_S
        whole = math.fsum(tokens)
        return [whole * int(size) / int(self._sizes.sum()) for size in self._sizes]
