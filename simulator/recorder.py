"""What happened, kept as columns and written in parts as the run goes; a run's files appear whole at its end.

The device story records which slate was on screen; where the item stood in it is computed here, in bulk, since logged
choices do not react to slates.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.artifacts import atomic_path
from simulator.scoring import Scorer
from simulator.slates import Jobs
from simulator.weights import DeviceWeights

NO_SLATE = -1
_ROWS_PER_PART = 65_536
_MOST_RANKS = 1000


@dataclass(slots=True)
class RequestRecord:
    """One request, from issue to its one outcome. Times are NaN where the event never happened."""

    request: int
    device: int
    step: int
    t_issued_s: float
    t_arrived_s: float = math.nan
    t_started_s: float = math.nan
    t_first_token_s: float = math.nan
    t_finished_s: float = math.nan
    t_delivered_s: float = math.nan
    outcome: str = "unfinished"
    prompt_tokens: int = 0
    output_tokens: int = 0
    replica: int = -1
    gpu_seconds: float = 0.0
    usd: float = 0.0
    """of serving it; traffic comes on top in the finished table"""
    joules: float = 0.0
    """of the GPUs"""
    gco2: float = 0.0
    """of those joules, at the carbon intensity while it was served"""
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    as_of: int = -1
    """what the answer has seen: `step`, or less where a table's older list stands in"""
    pushed: bool = False
    """whether the cloud made it unasked"""
    weights: int = 0
    """of the SRM on the device when it asked (`DeviceWeights`)"""
    ticket: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.as_of = self.step


REQUEST_SCHEMA = pa.schema(
    [
        ("request", pa.int64()),
        ("device", pa.int32()),
        ("step", pa.int32()),
        ("t_issued_s", pa.float64()),
        ("t_arrived_s", pa.float64()),
        ("t_started_s", pa.float64()),
        ("t_first_token_s", pa.float64()),
        ("t_finished_s", pa.float64()),
        ("t_delivered_s", pa.float64()),
        ("outcome", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("replica", pa.int32()),
        ("gpu_seconds", pa.float64()),
        ("usd", pa.float64()),
        ("joules", pa.float64()),
        ("gco2", pa.float64()),
        ("bytes_up", pa.float64()),
        ("bytes_down", pa.float64()),
    ]
)

_REQUEST_ROW = attrgetter(*REQUEST_SCHEMA.names)

INTERACTION_SCHEMA = pa.schema(
    [
        ("device", pa.int32()),
        ("step", pa.int32()),
        ("t_s", pa.float64()),
        ("item", pa.int32()),
        ("rank", pa.int32()),
        ("as_of", pa.int32()),
        ("staleness", pa.int32()),
        ("list_age_s", pa.float32()),
        ("requested", pa.bool_()),
        ("request", pa.int64()),
        ("online", pa.bool_()),
        ("inconsistency", pa.float32()),
        ("slate_latency_s", pa.float32()),
        ("version", pa.int32()),
        ("adaptation", pa.int32()),
    ]
)


def _column(values: "array[Any]", start: int = 0) -> NDArray[Any]:
    return np.array(values[start:] if start else values)


class Recorder:
    """Columns of interactions, slates and requests. `users` [D]; what begins with `stream` [S] describes the stream."""

    def __init__(
        self,
        scorer: Scorer,
        weights: DeviceWeights,
        users: NDArray[np.int64],
        stream_device: NDArray[np.int64],
        stream_step: NDArray[np.int64],
        stream_item: NDArray[np.int64],
        stream_t_s: NDArray[np.float64],
        stream_online: NDArray[np.bool_],
        folder: Path | None,
    ):
        self._scorer, self._users, self._weights = scorer, users, weights
        self._device, self._step, self._item, self._t_s = stream_device, stream_step, stream_item, stream_t_s
        self._online = stream_online
        self._folder = folder
        self._parts: dict[str, list[pa.Table | Path]] = {"interactions": [], "requests": []}
        self.slate_device, self.slate_as_of, self.slate_step = array("i"), array("i"), array("i")
        self.slate_weights, self.slate_list_time_s = array("i"), array("d")
        self._rank = np.empty(0, dtype=np.int64)
        self._inconsistency = np.empty(0, dtype=np.float64)
        self.interactions = 0
        self._rank_counts = np.zeros(
            _MOST_RANKS + 1, dtype=np.int64
        )  # of interactions ranked so far: misses, 0, 1, ...
        self._clear_rows()
        self.requests: list[RequestRecord] = []

    def _clear_rows(self) -> None:
        self._row, self._slate, self._seen = array("i"), array("i"), array("i")
        self._decided, self._request = array("i"), array("q")
        self._latency_s = array("d")

    def slate(self, device: int, as_of: int, step: int, list_time_s: float, weights: int) -> int:
        """A new slate of `device`: its number."""
        self.slate_device.append(device)
        self.slate_as_of.append(as_of)
        self.slate_step.append(step)
        self.slate_list_time_s.append(list_time_s)
        self.slate_weights.append(weights)
        return len(self.slate_device) - 1

    def slates(self, device: int, as_of: int, step: int, list_time_s: float, weights: int, n: int) -> int:
        """`n` new slates of one list at `step` and the steps after it: the number of the first."""
        first = len(self.slate_device)
        self.slate_device.extend([device] * n)
        self.slate_as_of.extend([as_of] * n)
        self.slate_step.extend(range(step, step + n))
        self.slate_list_time_s.extend([list_time_s] * n)
        self.slate_weights.extend([weights] * n)
        return first

    def interaction(self, row: int, slate: int, seen_upto: int, decided: int, request: int, latency_s: float) -> None:
        """Stream row `row` happened while `slate` was on screen; `decided` is the slate the next decision looked at."""
        self.interactions += 1
        self._row.append(row)
        self._slate.append(slate)
        self._seen.append(seen_upto)
        self._decided.append(decided)
        self._request.append(request)
        self._latency_s.append(latency_s)
        if len(self._row) >= _ROWS_PER_PART:
            self.flush()

    def calm_interactions(
        self, row: int, seen_upto: int, decided: int, slates: list[int], latencies_s: list[float]
    ) -> None:
        """As `interaction`, for stream rows `row` on at moments of their own; each decision looked at the next slate
        from `decided` on, and did not ask."""
        n = len(slates)
        self.interactions += n
        self._row.extend(range(row, row + n))
        self._slate.extend(slates)
        self._seen.extend(range(seen_upto, seen_upto + n))
        self._decided.extend(range(decided, decided + n))
        self._request.extend([-1] * n)
        self._latency_s.extend(latencies_s)
        if len(self._row) >= _ROWS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Rank what is new, write it as a part and forget it."""
        self._place_new_slates()
        if len(self._row):
            self._keep("interactions", self._interactions())
            self._clear_rows()
        if self.requests:
            self._keep("requests", self._requests())
            self.requests = []

    def ndcg_so_far(self, k: int) -> float | None:
        """NDCG@k of the interactions that have been ranked, those of whole parts; None before the first part."""
        ranked = self._rank_counts.sum()
        gains = self._rank_counts[1 : k + 1] / np.log2(np.arange(min(k, _MOST_RANKS)) + 2.0)
        return float(gains.sum() / ranked) if ranked else None

    def all_jobs(self) -> Jobs:
        """Every ranking of the run so far, as jobs."""
        return self._jobs(0)

    def _jobs(self, start: int) -> Jobs:
        """The rankings of slates `start` on, each with the user's next item as its target."""
        users = self._users[_column(self.slate_device, start)]
        step = _column(self.slate_step, start).astype(np.int64)
        as_of = _column(self.slate_as_of, start).astype(np.int64)
        weights = _column(self.slate_weights, start).astype(np.int64)
        return Jobs(users, step, as_of, self._scorer.next_items(users, step), step, weights)

    def finish(self) -> dict[str, pa.Table]:
        """The whole tables; where there is a folder they are written to it and the parts are removed."""
        self.flush()
        tables = {}
        for name, schema in (("interactions", INTERACTION_SCHEMA), ("requests", REQUEST_SCHEMA)):
            parts = [pq.read_table(p) if isinstance(p, Path) else p for p in self._parts[name]]
            table = pa.concat_tables(parts) if parts else schema.empty_table()
            order = (
                [("request", "ascending")] if name == "requests" else [("device", "ascending"), ("step", "ascending")]
            )
            tables[name] = table.sort_by(order)
        return tables

    def remove_parts(self) -> None:
        """Drop the parts, once what they hold is safe elsewhere."""
        for part in (p for parts in self._parts.values() for p in parts if isinstance(p, Path)):
            part.unlink()
        if self._folder is not None and self._folder.is_dir():
            self._folder.rmdir()

    def _keep(self, name: str, table: pa.Table) -> None:
        parts = self._parts[name]
        if self._folder is None:
            parts.append(table)
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}-{len(parts):05d}.parquet"
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)
        parts.append(path)

    def _place_new_slates(self) -> None:
        start = len(self._rank)
        ranks, gaps = self._scorer.place_next(self._jobs(start))
        self._rank, self._inconsistency = np.append(self._rank, ranks), np.append(self._inconsistency, gaps)

    def _interactions(self) -> pa.Table:
        row, slate = _column(self._row), _column(self._slate)
        seen, decided = _column(self._seen), _column(self._decided)
        shown = slate != NO_SLATE
        slates = np.maximum(slate, 0)
        step, item, t_s = self._step[row], self._item[row], self._t_s[row]
        as_of = np.where(shown, _column(self.slate_as_of)[slates], -1)
        slate_step = _column(self.slate_step)[slates]
        weights = _column(self.slate_weights)[slates]
        rank = np.where(shown, self._rank[slates], -1)
        other = np.flatnonzero(shown & ((slate_step != step - 1) | (seen != step - 1)))
        if len(other):
            jobs = Jobs(
                self._users[self._device[row[other]]],
                slate_step[other].astype(np.int64),
                as_of[other].astype(np.int64),
                item[other],
                seen[other].astype(np.int64),
                weights[other].astype(np.int64),
            )
            rank[other] = self._scorer.place(jobs)[0]
        self._rank_counts += np.bincount(np.minimum(rank, _MOST_RANKS - 1) + 1, minlength=_MOST_RANKS + 1)
        listed = as_of >= 0
        list_time = _column(self.slate_list_time_s)[slates]
        gaps = np.where(decided >= 0, self._inconsistency[np.maximum(decided, 0)], np.nan)
        request = _column(self._request)
        columns = [
            self._device[row],
            step,
            t_s,
            item,
            rank,
            as_of,
            np.where(listed, step - 1 - as_of, -1),
            np.where(listed, t_s - list_time, np.nan),
            request >= 0,
            request,
            self._online[row],
            gaps,
            _column(self._latency_s),
            np.where(shown, self._weights.version_of(weights), -1),
            np.where(shown, self._weights.adaptation_of(weights), 0),
        ]
        return _table(columns, INTERACTION_SCHEMA)

    def _requests(self) -> pa.Table:
        return _table(zip(*map(_REQUEST_ROW, self.requests), strict=True), REQUEST_SCHEMA)


def _table(columns: Iterable[Any], schema: pa.Schema) -> pa.Table:
    arrays = [
        pa.array(column.astype(kind.to_pandas_dtype()) if isinstance(column, np.ndarray) else column, kind)
        for column, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
