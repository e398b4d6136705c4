"""What happened, kept as columns and written in parts as the run goes; a run's files appear whole at its end.

The device story records which slate was on screen; where the item stood in it is computed here, in bulk, since logged
choices do not react to slates.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.slates import Queries
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.ordered_parts import ordered
from fleetrec.simulator.records.schemas import INTERACTION_SCHEMA, NO_SLATE, REQUEST_SCHEMA, RequestRecord, ServingCost
from fleetrec.simulator.records.slate_table import SlateTable

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS_PER_PART = 65_536
_MOST_RANKS = 1000


_COSTS, _NO_COST = ServingCost._fields, ServingCost()
_OF_RECORD = [name for name in REQUEST_SCHEMA.names if name not in ("outcome", "t_first_token_s", *_COSTS)]
_NUMBERS = [*_OF_RECORD, *_COSTS, "t_first_token_s"]
_numbers_of = attrgetter(*_OF_RECORD)


@dataclass(frozen=True)
class Streamed:
    """The interactions that devices are to have, row for row [S]."""

    device: NDArray[np.int32]
    step: NDArray[np.int32]
    item: NDArray[np.int32]
    t_s: NDArray[np.float64]
    online: NDArray[np.bool_]
    known: bool = True
    """whether all of it will happen, as it stands here; else `happens` says what does"""

    def happens(self, row: int, step: int, item: int, place: int = -1) -> None:
        """An opportunity at the time of this row has come to an interaction, with an item from this place of the screen
        (-1: from elsewhere)."""
        self.step[row], self.item[row], self.place[row] = step, item, place
        self.happened[row] = True

    @cached_property
    def place(self) -> NDArray[np.int32]:
        """[S], of those that are not known, from where on the screen the item was taken; -1: from elsewhere."""
        return np.full(len(self.t_s), -1, dtype=np.int32)

    @cached_property
    def happened(self) -> NDArray[np.bool_]:
        """[S], of those that are not known, which rows have come to an interaction."""
        return np.zeros(len(self.t_s), dtype=bool)


class Recorder:
    """Columns of interactions, slates and requests, of devices that replay `users` [D]."""

    def __init__(
        self,
        scorer: Scorer,
        weights: DeviceWeights,
        users: NDArray[np.int64],
        stream: Streamed,
        folder: Path | None,
        slates: SlateTable | None = None,
    ):
        self._scorer, self._users, self._weights = scorer, users, weights
        self._stream = stream
        self._folder = folder
        self._parts: dict[str, list[pa.Table | Path]] = {"interactions": [], "requests": []}
        self.slates = SlateTable() if slates is None else slates
        self.interactions = 0
        self._rank_counts = np.zeros(
            _MOST_RANKS + 1, dtype=np.int64
        )  # of interactions ranked so far: misses, 0, 1, ...
        self._outcomes: dict[str, int] = {}  # codes, in the order of their first mention
        self._clear_rows()

    def _clear_rows(self) -> None:
        self._request_numbers, self._outcome = array("d"), array("b")
        self._interacted_rows, self._rows = array("d"), 0  # eight numbers a run of rows

    def interacted(
        self,
        row: int,
        n: int,
        slate: int,
        seen_upto: int,
        decided: int,
        request: int,
        latency_s: float,
        compute_s: float = 0.0,
    ) -> None:
        """Stream rows `row` to `row + n - 1` happened, each at a moment of its own where there are several.

        `slate` was on screen at the first, `latency_s` after what had come before. `decided` is the slate that was made
        then and at which the next decision looked; those after it were made at the next rows, each in `compute_s`. The
        decision after the last row led to `request`.
        """
        self._interacted_rows.extend((row, n, slate, seen_upto, decided, request, latency_s, compute_s))
        self.interactions += n
        self._rows += n
        if self._rows >= _ROWS_PER_PART:
            self.flush()

    def interacted_together(
        self, row: int, after: int, slate: int, seen_upto: int, decided: int, request: int, latency_s: float
    ) -> None:
        """Stream rows `row` to `after - 1` happened, all at one time; the decision came after the last."""
        for other in range(row, after - 1):
            self.interacted(other, 1, slate, seen_upto, NO_SLATE, -1, latency_s)
        self.interacted(after - 1, 1, slate, seen_upto, decided, request, latency_s)

    def request(self, record: RequestRecord, cost: ServingCost = _NO_COST, t_first_token_s: float = math.nan) -> None:
        """A request has had its outcome, and what serving it cost is known."""
        self._request_numbers.extend((*_numbers_of(record), *cost, t_first_token_s))
        self._outcome.append(self._outcomes.setdefault(record.outcome, len(self._outcomes)))

    def told(
        self, slates: Floats, runs: Floats, n: int, requests: Floats, outcomes: Ints, names: Sequence[str]
    ) -> None:
        """What compiled code tells at once: the runs of slates [x 6] and of interactions [x 8], `n` of these in all,
        as `SlateTable.add` and `interacted` have them, and requests [x 18] with their outcomes, by
        their places among `names`."""
        self.slates.add_runs(slates)
        self._interacted_rows.frombytes(runs.tobytes())
        self.interactions += n
        self._rows += n
        self._request_numbers.frombytes(requests.tobytes())
        codes = np.zeros(len(names), dtype=np.int8)
        for place in np.unique(outcomes).tolist():
            codes[place] = self._outcomes.setdefault(names[place], len(self._outcomes))
        self._outcome.frombytes(codes[outcomes].tobytes())
        if self._rows >= _ROWS_PER_PART:
            self.flush()

    def flush(self, last: bool = False) -> None:
        """Rank what is new, write it as a part and forget it; the `last` part is kept in memory."""
        self.slates.placed(*self._scorer.place_next(self._queries(self.slates.unplaced())))
        if self._rows:
            self._keep("interactions", self._interactions(), last)
        if len(self._outcome):
            self._keep("requests", self._requests(), last)
        self._clear_rows()
        self.slates.forget()

    def ndcg_so_far(self, k: int) -> float | None:
        """NDCG@k of the interactions that have been ranked, those of whole parts; None before the first part."""
        ranked = self._rank_counts.sum()
        gains = self._rank_counts[1 : k + 1] / np.log2(np.arange(min(k, _MOST_RANKS)) + 2.0)
        return float(gains.sum() / ranked) if ranked else None

    def all_queries(self) -> Queries:
        """Every ranking that `slates` holds, all of a run's where it keeps all, as queries."""
        return self._queries(self.slates.made())

    def _queries(self, made: dict[str, NDArray[np.int32]]) -> Queries:
        """The rankings of slates, whose columns device, as_of, step and weights these are. The target of each query is
        the user's next item, where that was known beforehand."""
        users = self._users[made["device"]]
        step, as_of, weights = (made[name].astype(np.int64) for name in ("step", "as_of", "weights"))
        target = self._scorer.next_items(users, step) if self._stream.known else np.full(len(users), -1)
        return Queries(users, step, as_of, target, step, weights)

    @property
    def is_whole(self) -> bool:
        """Whether all that happened is held, and none of it written."""
        return not any(self._parts.values())

    def again(self, scorer: Scorer, folder: Path | None) -> "Recorder":
        """The same records, of which all is held, as `scorer` ranks them; to be finished in a folder of its own."""
        other = Recorder(scorer, self._weights, self._users, self._stream, folder, self.slates.copy())
        other.interactions, other._outcomes, other._rows = self.interactions, dict(self._outcomes), self._rows
        other._request_numbers, other._outcome = self._request_numbers[:], self._outcome[:]
        other._interacted_rows = self._interacted_rows[:]
        return other

    def finish(self) -> dict[str, pa.Table]:
        """The whole tables. Where there is a folder, parts of them stand in it (`remove_parts`). Nothing is recorded
        or asked for after that, but of a table of slates that keeps all."""
        self.flush(last=True)
        if not self.slates.keeps_all:
            del self._stream, self.slates
        return {
            "interactions": self._whole("interactions", INTERACTION_SCHEMA, ("device", "step")),
            "requests": self._whole("requests", REQUEST_SCHEMA, ("request",)),
        }

    def _whole(self, name: str, schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
        parts = self._parts[name]
        table = ordered(parts, schema, keys)
        self._parts[name] = [part for part in parts if isinstance(part, Path)]
        return table

    def remove_parts(self) -> None:
        """Drop the parts, once what they hold is safe elsewhere."""
        for part in (p for parts in self._parts.values() for p in parts if isinstance(p, Path)):
            part.unlink()
        if self._folder is not None and self._folder.is_dir():
            self._folder.rmdir()

    def _keep(self, name: str, table: pa.Table, last: bool) -> None:
        parts = self._parts[name]
        if last or self._folder is None:
            parts.append(table)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}-{len(parts):05d}.parquet"
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, use_dictionary=["outcome"])  # hardly any number comes twice
        parts.append(path)

    def _each(self) -> tuple[Ints, Ints, Ints, Ints, Ints, Floats]:
        """Of every interaction [M]: its row, the slate on screen, what that had seen, the slate that the
        next decision looked at, its request and the latency of the slate."""
        columns = np.array(self._interacted_rows).reshape(-1, 8).T
        n = columns[1].astype(np.int64)
        run, within = ragged(n)
        row, slate, seen, decided = (columns[k][run].astype(np.int64) for k in (0, 2, 3, 4))
        row, seen, decided = row + within, seen + within, decided + within
        request = np.full(len(row), -1)
        request[np.cumsum(n) - 1] = columns[5].astype(np.int64)
        t_s, latency_s, compute_s = self._stream.t_s[row], columns[6][run], columns[7][run]
        later = np.flatnonzero(within)
        before_s = t_s[later - 1]
        ready_s = before_s + compute_s[later]
        latency_s[later] = np.minimum(ready_s, t_s[later]) - before_s
        slate[later] = decided[later] - 1
        newest = np.arange(len(row))  # the interaction whose slate is on screen
        newest[later[ready_s >= t_s[later]]] = 0
        return row, slate[np.maximum.accumulate(newest)], seen, decided, request, latency_s

    def _interactions(self) -> pa.Table:
        row, slate, seen, decided, request, latency_s = self._each()
        shown = slate != NO_SLATE
        stream = self._stream
        device, step, item, t_s = stream.device[row], stream.step[row], stream.item[row], stream.t_s[row]
        as_of, slate_step, weights, rank = (np.full(len(row), -1, dtype=np.int64) for _ in range(4))
        list_time_s, gaps = np.full(len(row), np.nan), np.full(len(row), np.nan, dtype=np.float32)
        as_of[shown], slate_step[shown], weights[shown], rank[shown], list_time_s[shown] = self.slates.columns(
            slate[shown], "as_of", "step", "weights", "rank", "list_time_s"
        )
        looked = decided != NO_SLATE
        (gaps[looked],) = self.slates.columns(decided[looked], "inconsistency")
        placed = (slate_step == step - 1) & (seen == step - 1) & stream.known
        if not stream.known:
            taken = np.where(shown, stream.place[row], -1)
            rank[taken >= 0], placed = taken[taken >= 0], taken >= 0
        other = np.flatnonzero(shown & ~placed)
        if len(other):
            queries = Queries(
                self._users[device[other]],
                slate_step[other],
                as_of[other],
                item[other].astype(np.int64),
                seen[other].astype(np.int64),
                weights[other],
            )
            rank[other] = self._scorer.place(queries)[0]
        self._rank_counts += np.bincount(np.minimum(rank, _MOST_RANKS - 1) + 1, minlength=_MOST_RANKS + 1)
        listed = as_of >= 0
        columns = [
            device,
            step,
            t_s,
            item,
            rank,
            as_of,
            np.where(listed, step - 1 - as_of, -1),
            np.where(listed, t_s - list_time_s, np.nan),
            request >= 0,
            request,
            stream.online[row],
            gaps,
            latency_s,
            np.where(shown, self._weights.version_of(weights), -1),
            np.where(shown, self._weights.adaptation_of(weights), 0),
        ]
        return _table(columns, INTERACTION_SCHEMA)

    def _requests(self) -> pa.Table:
        n = len(self._outcome)
        columns: dict[str, NDArray[Any] | pa.Array] = dict(
            zip(_NUMBERS, np.array(self._request_numbers).reshape(n, -1).T, strict=True)
        )
        columns["outcome"] = pa.array(list(self._outcomes)).take(pa.array(np.array(self._outcome)))
        return _table([columns[name] for name in REQUEST_SCHEMA.names], REQUEST_SCHEMA)


def _table(columns: Sequence[NDArray[Any] | pa.Array], schema: pa.Schema) -> pa.Table:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column.astype(kind.to_pandas_dtype()), kind)
        for column, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
