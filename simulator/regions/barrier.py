"""Where regions meet: what all their devices have sent is trained on together, and the fleet's bucket is dealt anew."""

import math
from collections.abc import Sequence

from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.engine.retraining import Trainer, Training
from fleetrec.simulator.engine.run import end_of
from fleetrec.simulator.regions.messages import BarrierUpdate, Ints, RegionState
from fleetrec.simulator.regions.uploads import Uploads
from fleetrec.simulator.scenario import sections

DEALT_EVERY_S = 3600.0
"""time after which what is left in the regions' parts of the fleet's bucket is put together and dealt anew"""


class Barriers:
    """The barriers of a run, one after the other, and what regions are told at each."""

    def __init__(
        self,
        duration_s: float,
        sizes: Ints,
        budget: sections.Budget,
        shared: tuple[Trainer, Uploads] | None,
        progress: Progress,
    ):
        """`sizes` [R]: devices of the regions. `shared`: the cloud that they share, and what it is sent; None: it keeps
        its weights."""
        self._end_s, self._sizes, self._progress = end_of(duration_s), sizes, progress
        self.trainer: Trainer | None = None
        self._uploads: Uploads | None = None
        if shared is not None:
            self.trainer, self._uploads = shared
        self._check, self._check_s = 1, math.inf if self.trainer is None else self.trainer.section.every
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
        checked, training = now == self._check_s, None
        tokens: list[float | None] = [None] * len(states)
        if self._uploads is not None:
            sent = self._uploads.take([state.sent for state in states if state.sent is not None])
            training = self._train(sent) if checked else None
        if now == self._deal_s:
            tokens = self._dealt([state.tokens or 0.0 for state in states])
        return [BarrierUpdate(checked, training, own) for own in tokens]

    def _train(self, sent: Ints) -> Training | None:
        """Train if the schedule says so, on what each user's [U] devices have sent."""
        trainer, now = self.trainer, self._check_s
        assert trainer is not None
        ends = trainer.known_ends(sent)
        busy_until_s, training = now, None
        if trainer.should_train(ends, now):
            release = trainer.train(ends, now, self._progress)
            busy_until_s, training = release.released_s, release.training
            if busy_until_s < self._end_s:
                trainer.releases.append(release)
        self._check = trainer.next_check(self._check, busy_until_s)
        self._check_s = self._check * trainer.section.every
        return training

    def _dealt(self, tokens: list[float]) -> list[float | None]:
        """All that is left, by the regions' numbers of devices."""
        self._deal += 1
        self._deal_s = self._deal * DEALT_EVERY_S
        whole = math.fsum(tokens)
        return [whole * int(size) / int(self._sizes.sum()) for size in self._sizes]
