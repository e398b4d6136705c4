"""Rankings for running devices: pure functions of (user, step, list, weights), computed in bulk and ahead of need.

In replay the next items are known, so when a device asks for a ranking that is not there yet, the scorer computes it
together with what is likely to be asked soon: the next steps of the same list, and the lists that landed on other
devices meanwhile. Wrong speculation costs time, never truth; nothing in the simulated world waits for a batch.
"""

import numpy as np
from numpy.typing import NDArray

from simulator.histories import Histories
from simulator.slates import Jobs, Slates
from simulator.weights import DeviceWeights

Ints = NDArray[np.int64]

_DEVICES_PER_FILL = 2048


class Scorer:
    """Answers `ranking` for one device at a time and `place` in bulk; both through the same slates.

    `users` [D] is each device's user. With `batching` off every job is a call of its own.
    """

    def __init__(
        self, slates: Slates, histories: Histories, users: Ints, lookahead: int, batching: bool, weights: DeviceWeights
    ):
        self.slates, self._weights = slates, weights
        self._histories, self._users = histories, users
        self._ahead = lookahead if batching else 1
        self._batching = batching
        self._known: list[tuple[int, int, int, list[int], list[float]] | None] = [None] * len(users)
        self._expected: dict[int, tuple[int, int, int]] = {}

    def ranking(self, device: int, as_of: int, step: int, weights: int) -> tuple[int, float]:
        """Rank of the device's next item in the slate made now (-1: absent), and the list's inconsistency."""
        known = self.known(device, as_of, step, weights)
        if known is None:
            self._fill(device, as_of, step, weights)
            known = self.known(device, as_of, step, weights)
            assert known is not None
        return known

    def known(self, device: int, as_of: int, step: int, weights: int) -> tuple[int, float] | None:
        """What `ranking` would answer, where that has been computed already."""
        known = self._known[device]
        if known is None or known[0] != as_of or known[2] != weights:
            return None
        if not known[1] <= step < known[1] + len(known[3]):
            return None
        return known[3][step - known[1]], known[4][step - known[1]]

    def expect(self, device: int, as_of: int, step: int, weights: int) -> None:
        """The rankings of this list by these weights from `step` on are likely to be asked soon."""
        self._expected[device] = (as_of, step, weights)

    def next_items(self, users: Ints, steps: Ints) -> Ints:
        """The items that users [M] have after their steps [M]; -1 at the end of a log."""
        return self._histories.item_at(users, steps + 1)

    def place(self, jobs: Jobs) -> tuple[Ints, NDArray[np.float64]]:
        """Ranks and inconsistencies of many jobs, as `Slates.place`."""
        if self._batching or len(jobs) == 0:
            return self._place(jobs)
        parts = [self._place(jobs.take(slice(i, i + 1))) for i in range(len(jobs))]
        return np.concatenate([ranks for ranks, _ in parts]), np.concatenate([gaps for _, gaps in parts])

    def _place(self, jobs: Jobs) -> tuple[Ints, NDArray[np.float64]]:
        self._weights.make_ready(jobs.user, jobs.step, jobs.weights)
        return self.slates.place(jobs)

    def _fill(self, device: int, as_of: int, step: int, weights: int) -> None:
        wanted = {device: (as_of, step, weights)}
        if self._batching:
            self._expected.pop(device, None)
            while self._expected and len(wanted) < _DEVICES_PER_FILL:
                other, what = self._expected.popitem()
                wanted.setdefault(other, what)
        devices = np.fromiter(wanted, dtype=np.int64, count=len(wanted))
        lists, steps, by = np.array(list(wanted.values()), dtype=np.int64).T
        users = self._users[devices]
        counts = np.minimum(self._ahead, self._histories.lengths[users] - steps)
        begins = np.cumsum(counts) - counts
        step_of = np.repeat(steps, counts) + np.arange(counts.sum()) - np.repeat(begins, counts)
        user_of = np.repeat(users, counts)
        targets = self.next_items(user_of, step_of)
        jobs = Jobs(user_of, step_of, np.repeat(lists, counts), targets, step_of, np.repeat(by, counts))
        ranks, gaps = self._place(jobs)
        rank_list, gap_list = ranks.tolist(), gaps.tolist()
        for index, (other, (landed, first, used)) in enumerate(wanted.items()):
            begin, end = begins[index], begins[index] + counts[index]
            self._known[other] = (landed, first, used, rank_list[begin:end], gap_list[begin:end])
