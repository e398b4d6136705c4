"""The requests that have come to a node in a run, kept in narrow columns until somebody asks which servers they need:
there may be tens of millions."""

import math
from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.replay import Requests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_COUNTS = ("prompt_tokens", "output_tokens", "sequences", "device")


class Arrived:
    """Requests in order of arrival. What few of them have is kept of these alone: a service time of their own, a
    priority, a prefix that others share."""

    def __init__(self) -> None:
        self._issued, self._arrival = array("d"), array("d")
        self._counts = {name: array("i") for name in _COUNTS}
        self._rare = array("d")  # of a request that has any of the rest: its number, and those four

    def __len__(self) -> int:
        return len(self._arrival)

    def add(
        self,
        issued_s: float,
        arrival_s: float,
        counts: tuple[int, int, int, int],
        service_s: float,
        priority: float,
        prefix_start: int,
        prefix_tokens: int,
    ) -> None:
        """One more; `counts`: prompt tokens, output tokens of each sequence, sequences and the device. The others are
        those of `Requests`."""
        if not math.isnan(service_s) or priority or prefix_start != -1 or prefix_tokens:
            self._rare.extend((len(self), service_s, priority, prefix_start, prefix_tokens))
        self._issued.append(issued_s)
        self._arrival.append(arrival_s)
        for column, count in zip(self._counts.values(), counts, strict=True):
            column.append(count)

    def add_plain(self, rows: Floats) -> None:
        """Requests [N x 6] that have nothing rare: issued_s, arrival_s and the four counts of `add`."""
        columns: list[array[Any]] = [self._issued, self._arrival, *self._counts.values()]
        for column, values in zip(columns, rows.T, strict=True):
            column.frombytes(values.astype(column.typecode).tobytes())

    @property
    def issued_s(self) -> Floats:
        """When each [N] was issued. This and all that follow are views: no request comes while they are held."""
        return np.asarray(self._issued)

    @property
    def arrival_s(self) -> Floats:
        """When each [N] came."""
        return np.asarray(self._arrival)

    @property
    def device(self) -> NDArray[np.int32]:
        """Whose each [N] is."""
        return np.asarray(self._counts["device"])

    @property
    def columns(self) -> list[NDArray[Any]]:
        """All that is known of them."""
        return [self.issued_s, self.arrival_s, *map(np.asarray, self._counts.values()), np.asarray(self._rare)]

    def take(self, rows: Ints) -> Requests:
        """Some of them [M], or some more than once."""
        counts = [np.asarray(column)[rows].astype(np.int64) for column in self._counts.values()]
        prompt, output, sequences, device = counts
        numbers, *known = np.asarray(self._rare).reshape(-1, 5).T
        place = np.searchsorted(numbers, rows)
        rare = np.flatnonzero(np.append(numbers, math.inf)[place] == rows)

        def column(usual: float, values: Floats, kind: type[Any]) -> NDArray[Any]:
            found = np.full(len(rows), usual, dtype=kind)
            found[rare] = values[place[rare]]
            return found

        service_s, priority, start, shared = known
        return Requests(
            self.arrival_s[rows],
            *(prompt, output, sequences, column(math.nan, service_s, np.float64), device),
            *(column(0.0, priority, np.float64), column(-1, start, np.int64), column(0, shared, np.int64)),
        )
