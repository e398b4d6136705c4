"""What the devices of all regions have sent to the cloud that trains: how far each user's history has come.

Where users have what the log says, that is all there is to tell. Where they react, what each has had goes along, and
the one who leads a run keeps the histories that arise in its regions, numbered as in a run without regions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.engine.retraining import NOBODY, FleetLearning
from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.preparation.closed_loop import grown_models
from fleetrec.simulator.preparation.training import TrainedModels
from fleetrec.simulator.ranking.growing import GrowingHistories

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sent:
    """What the devices of a region have sent by a barrier."""

    ends: Ints
    """how many interactions of each user of the log [U]; where users react, of each device's user [D]"""
    items: Ints | None = None
    """[E] where users react, what these have had since the barrier before and sent, device by device"""


class Uploads(Protocol):
    """What a cloud that trains hears of all regions."""

    trained: TrainedModels
    """what it trains on, of which no more may be looked at than was sent"""

    def take(self, sent: Sequence[Sent]) -> Ints:
        """The regions [R] have come to a barrier: how many interactions of each user [U] devices have sent by then,
        NOBODY where there are none."""
        ...


class ReplayedUploads:
    """Of users who have what the log says."""

    def __init__(self, trained: TrainedModels):
        self.trained = trained

    def take(self, sent: Sequence[Sent]) -> Ints:
        """See Uploads: of a user with devices in several regions, what all of those have sent."""
        return reduce(np.minimum, [one.ends for one in sent])


class ChosenUploads:
    """Of users who react."""

    def __init__(self, trained: TrainedModels, regions: Iterable[Population]):
        """`trained` on the log as it is; the populations of all regions, each with its devices."""
        each = [(of.users, of.first_step, of.n_interactions) for of in regions]
        places, first_step, rooms = (np.concatenate(columns) for columns in zip(*each, strict=True))
        self.trained, self._users = grown_models(trained, places, first_step, rooms)
        assert isinstance(self.trained.histories, GrowingHistories)
        self._histories, self._known = self.trained.histories, first_step

    def take(self, sent: Sequence[Sent]) -> Ints:
        """See Uploads."""
        ends = np.concatenate([one.ends for one in sent])
        which, steps = unheard(self._known, ends)
        histories = self._histories
        histories.items[histories.offsets[self._users[which]] + steps] = np.concatenate([one.items for one in sent])
        self._known = np.maximum(self._known, ends)
        found = np.full(len(histories.before), NOBODY)
        found[self._users] = ends
        return found


class RegionUploads:
    """Of one region, as it tells it at each barrier."""

    def __init__(self, learning: FleetLearning, population: Population, histories: GrowingHistories | None):
        """`histories` of users who react; None: they have what the log says."""
        self._learning, self._users, self._histories = learning, population.users, histories
        self._told = population.first_step

    def by(self, now: float) -> Sent:
        """What has been sent by now, and is told for the first time."""
        ends = self._learning.sent_ends(now)
        if self._histories is None:
            return Sent(ends)
        ends = ends[self._users]
        which, steps = unheard(self._told, ends)
        self._told = np.maximum(self._told, ends)
        return Sent(ends, self._histories.item_at(self._users[which], steps))


def unheard(known: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Of devices [D] of whose users so many interactions are `known`, and now those before `ends`: the device and the
    step [E] of each new one."""
    which, nth = ragged(np.maximum(ends - known, 0))
    return which, known[which] + nth
