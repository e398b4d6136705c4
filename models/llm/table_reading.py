"""Reading a table of a user's own LLM's answers: Parquet of user_id, as_of or as_of_time, item_id, rank or score.

`as_of` is the 0-based position, in the user's log, of the newest interaction that the list has seen; `as_of_time`
stands for the last event not later. Optional prompt_tokens, output_tokens and latency_s speak of the whole list; no
prompt tokens and no time (less than a microsecond) are taken as not told, no output tokens as an answer by scores.
Labels match as text without the white space around it, so 7, 7.0 and " 7" are one. Gaps in ranks close; items of equal
rank go by the log's item code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from fleetrec.models.candidates import Floats
from fleetrec.models.llm.table_times import bad_row, made_at
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular

Ints = NDArray[np.int64]

_LEAST = {"prompt_tokens": 1.0, "output_tokens": 0.0, "latency_s": 1e-6}
_SCORED_TWICE = 0.2  # of a list's rows
_MERGED = 0.9  # of the lists that hold a rank twice, those that look like several, where that is what they are
_MOST = 1e9
_MOST_VALUE = 2.0**53


class LabelledLog(Protocol):
    """What a table is matched with: the log and its labels (simulator.workload.log.InteractionLog is one)."""

    @property
    def user_ids(self) -> NDArray[Any]: ...
    @property
    def item_ids(self) -> NDArray[Any]: ...
    @property
    def offsets(self) -> Ints: ...
    @property
    def items(self) -> NDArray[np.int32]: ...
    @property
    def times(self) -> NDArray[np.float64]: ...
    @property
    def clock(self) -> str: ...


@dataclass(frozen=True)
class AnswerTable:
    """Lists of a table, in order of (user, as_of). Rows of list l are start[l] .. start[l+1]-1, best first."""

    users: Ints  # [lists]
    as_of: Ints  # [lists]
    start: Ints  # [lists + 1]
    items: NDArray[np.int32]  # [rows]; -1: unknown, or already higher in the list
    extras: dict[str, Floats]  # [lists] each
    counts: dict[str, int]  # of rows, lists and items that are unknown, repeated, replaced or beyond the log
    times: str = ""  # how as_of_time was read, and from when to when; empty where positions are given

    @property
    def lengths(self) -> Ints:
        """[lists]: rows of each."""
        return np.diff(self.start)


def brings_latency(path: Path) -> bool:
    """Whether the table says how long each of its lists took to make."""
    return "latency_s" in parquet.read_schema(path).names


def read_table(path: Path | str, log: LabelledLog) -> AnswerTable:
    """The table matched with the log's labels. Rows of unknown users, and of positions past a user's last event, are
    counted and left out. Raises InputError for an unreadable file, lacking columns or a bad value (with its row)."""
    frame = _read(Path(path))
    counts = {"rows": len(frame)}
    user = _codes(frame, "user_id", log.user_ids, path)
    item = _codes(frame, "item_id", log.item_ids, path)
    order_by = "rank" if "rank" in frame else "score"
    value = _numbers(frame, order_by, path)
    worse = value if order_by == "rank" else -value
    moment, as_of, times = _positions(frame, user, log, path)
    extras = {
        name: _told(_numbers(frame, name, path, may_lack=True), least)
        for name, least in _LEAST.items()
        if name in frame
    }

    length = np.diff(log.offsets)[np.maximum(user, 0)]
    beyond = (user >= 0) & (as_of >= length)
    counts |= {"unknown_user_rows": int((user < 0).sum()), "beyond_log_rows": int(beyond.sum())}
    keys = ["user_id", "item_id", order_by, *({"as_of", "as_of_time"} & set(frame))]
    twice = frame.duplicated(keys).to_numpy()  # as in a file that was appended to itself
    counts["repeated_rows"] = int(twice.sum())
    kept = np.flatnonzero((user >= 0) & ~beyond & ~twice)
    by = (np.where(item < 0, len(log.item_ids), item), worse, moment, as_of, user)
    order = kept[np.lexsort([key[kept] for key in by])]
    if order_by == "rank":
        _refuse_merged(order, (user, as_of, moment, worse), frame, path)
    else:
        _refuse_scored_twice(order, (user, as_of, moment), item, frame, path)
    for name, values in extras.items():
        _refuse_two_values(order, (user, as_of, moment), name, values, frame, path)
    user, as_of, moment, item = user[order], as_of[order], moment[order], item[order]
    # Of several lists that see the same events, the one made last stands.
    new_list = _changes(user, as_of, moment)
    firsts = np.flatnonzero(new_list)
    replaced = np.zeros(len(firsts), dtype=bool)
    replaced[:-1] = ~_changes(user[firsts], as_of[firsts])[1:]
    counts["replaced_lists"] = int(replaced.sum())
    stays = ~replaced[np.cumsum(new_list) - 1]
    order, user, as_of, item = order[stays], user[stays], as_of[stays], item[stays]
    firsts = np.flatnonzero(_changes(user, as_of))
    start = np.append(firsts, len(order))
    counts["unknown_items"] = int((item < 0).sum())
    repeated = _repeats(np.repeat(np.arange(len(firsts)), np.diff(start)), item)
    counts["repeated_items"] = int(repeated.sum())
    return AnswerTable(
        users=user[firsts],
        as_of=as_of[firsts],
        start=start,
        items=np.where(repeated, -1, item).astype(np.int32),
        extras={name: values[order][firsts] for name, values in extras.items()},
        counts=counts,
        times=times,
    )


def _refuse_merged(order: Ints, by: tuple[NDArray[Any], ...], frame: pd.DataFrame, path: Path | str) -> None:
    """InputError where several lists of one query lie one in the other, as their ranks tell."""
    if not len(order):
        return
    user, as_of, moment, rank = (key[order] for key in by)
    whose = np.cumsum(_changes(user, as_of, moment)) - 1
    firsts = np.flatnonzero(_changes(whose, rank))
    lists, times = whose[firsts], np.diff(np.append(firsts, len(order)))
    # Lists that each begin at the first rank leave no rank more often than the one above it, and so in every query;
    # ties do so by chance.
    rises = np.bincount(lists[1:], (np.diff(times) > 0) & (np.diff(lists) == 0), minlength=whose[-1] + 1) > 0
    repeats = np.bincount(lists, times > 1)
    merged = (repeats > 1) & ~rises
    if merged.any() and merged.sum() >= _MERGED * (repeats > 0).sum():
        raise InputError(
            f"{path}: {int(merged.sum())} lists hold their ranks more than once, the first "
            f"{_list_of(frame, order[np.argmax(merged[whose])])}: several lists of one query; keep one of them, or "
            "give ties ranks of their own"
        )


def _refuse_scored_twice(
    order: Ints, by: tuple[NDArray[Any], ...], item: Ints, frame: pd.DataFrame, path: Path | str
) -> None:
    """InputError where most lists score much of what they hold twice, as two lists of one query do."""
    whose = np.cumsum(_changes(*(key[order] for key in by))) - 1
    again = np.bincount(whose, _repeats(whose, item[order]))
    twice = again > _SCORED_TWICE * np.bincount(whose)
    if len(order) and twice.sum() > len(twice) / 2:
        raise InputError(
            f"{path}: {int(twice.sum())} of {len(twice)} lists score items twice, and otherwise, the first "
            f"{_list_of(frame, order[np.argmax(twice[whose])])}: several lists of one query; keep one of them"
        )


def _refuse_two_values(
    order: Ints, by: tuple[NDArray[Any], ...], name: str, values: Floats, frame: pd.DataFrame, path: Path | str
) -> None:
    """InputError where what speaks of a whole list differs within one."""
    told = order[~np.isnan(values[order])]
    differs = ~_changes(*(key[told] for key in by))
    differs[1:] &= np.diff(values[told]) != 0
    if differs.any():
        row = told[np.argmax(differs)]
        raise InputError(
            f"{path}: {name} is {values[row]:g} and another number in one list, {_list_of(frame, row)}: it speaks of "
            "the whole list, so these are several lists of one query, or numbers of items; keep one list, and its sum"
        )


def _list_of(frame: pd.DataFrame, row: int) -> str:
    found = frame.iloc[row]
    return f"that of user {found['user_id']!s} as of {found.get('as_of', found.get('as_of_time'))}"


def _read(path: Path) -> pd.DataFrame:
    check_regular(path)
    try:
        table = parquet.read_table(path)
        frame: pd.DataFrame = table.to_pandas()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such table; give the path of a Parquet file") from error
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not readable as Parquet ({reason}); write it with DataFrame.to_parquet") from error
    for choices in (("user_id",), ("item_id",), ("as_of", "as_of_time"), ("rank", "score")):
        if not set(choices) & set(frame.columns):
            raise InputError(
                f"{path}: it has no column {' or '.join(choices)} (it has {', '.join(map(str, frame.columns))}); "
                "a table needs user_id, as_of or as_of_time, item_id, and rank or score"
            )
    for name in ("user_id", "item_id"):
        kind = table.schema.field(name).type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            raise InputError(
                f"{path}: column {name} holds {kind}; ids must be text or numbers, one row a candidate "
                "(DataFrame.explode makes rows of lists)"
            )
    if len(frame) == 0:
        raise InputError(f"{path}: the table is empty; it needs one row per candidate item")
    return frame


def _numbers(frame: pd.DataFrame, column: str, path: Path | str, may_lack: bool = False) -> Floats:
    try:
        values = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    except TypeError:  # lists and the like
        values = np.full(len(frame), np.nan)
    bad = (values > _MOST) | (values < 0) if may_lack else ~(np.abs(values) <= _MOST_VALUE)
    if may_lack:
        bad |= np.isnan(values) & frame[column].notna().to_numpy()
    if bad.any():
        raise bad_row(path, bad, column, "is not a number" if not may_lack else f"is not a number of 0 to {_MOST:g}")
    return values


def _told(values: Floats, least: float) -> Floats:
    """NaN, as for an empty cell, where a value says that its writer did not know it: no prompt has no tokens."""
    return np.where(values < least, np.nan, values)


def _text(values: Any) -> "pd.Series[str]":
    """Labels as text, so that 7, 7.0 and "7" are the same; missing ones stay missing."""
    series = pd.Series(values)
    if pd.api.types.is_float_dtype(series.dtype):
        whole = series.notna() & (series % 1 == 0)
        return series.astype("Int64").astype("string") if whole.equals(series.notna()) else series.astype("string")
    return series.astype("string")


def _codes(frame: pd.DataFrame, column: str, labels: NDArray[Any], path: Path | str) -> Ints:
    """Codes [rows] of labels; -1 for one that the log does not have. InputError for an empty cell."""
    unique = frame[column].factorize()
    bad = unique[0] < 0
    if bad.any():
        raise bad_row(path, bad, column, "is empty")
    known = pd.Series(np.arange(len(labels)), index=_text(labels))
    codes = known.reindex(_text(unique[1]).str.strip()).fillna(-1).to_numpy(dtype=np.int64)
    return np.asarray(codes[unique[0]])


def _positions(frame: pd.DataFrame, user: Ints, log: LabelledLog, path: Path | str) -> tuple[Floats, Ints, str]:
    """When each row's list was made (0 where only positions are given), the position it has seen, and how times were
    read."""
    if "as_of" in frame:
        as_of = _numbers(frame, "as_of", path)
        bad = (as_of % 1 != 0) | (as_of < -1)
        if bad.any():
            raise bad_row(path, bad, "as_of", "is not a position (-1, 0, 1, ...)")
        if "as_of_time" in frame and log.clock == "absolute":
            seen = _seen(made_at(frame["as_of_time"], path, log.times).seconds, user, log)
            differs = (user >= 0) & (seen != as_of)
            if differs.any():
                raise bad_row(
                    path, differs, "as_of", f"is {as_of[differs][0]:g}, and as_of_time says {seen[differs][0]}"
                )
        return np.zeros(len(frame)), as_of.astype(np.int64), ""
    if log.clock != "absolute":
        raise InputError(
            f"{path}: as_of_time needs a log with calendar times, and this log's clock is {log.clock}; give as_of, "
            "the 0-based position of the newest interaction that the list has seen"
        )
    made = made_at(frame["as_of_time"], path, log.times)
    return made.seconds, _seen(made.seconds, user, log), made.reading


def _seen(moment: Floats, user: Ints, log: LabelledLog) -> Ints:
    """The position of the last event not later than each moment; -1: none."""
    # One sorted key per event, (user, time), finds the last event not later for all rows at once.
    event_user = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
    rows = np.lexsort((moment, user))
    merged_user = np.concatenate([event_user, user[rows]])
    merged_time = np.concatenate([log.times, moment[rows]])
    is_row = np.concatenate([np.zeros(len(event_user), dtype=np.int64), np.ones(len(rows), dtype=np.int64)])
    order = np.lexsort((is_row, merged_time, merged_user))
    events_before = np.cumsum(1 - is_row[order])
    as_of = np.empty(len(rows), dtype=np.int64)
    row_places = np.flatnonzero(is_row[order])
    as_of[rows[order[row_places] - len(event_user)]] = events_before[row_places]
    return np.where(user >= 0, as_of - log.offsets[np.maximum(user, 0)] - 1, -1)


def _changes(*sorted_columns: NDArray[Any]) -> NDArray[np.bool_]:
    """[rows]: whether a row differs from the one before it in any column."""
    changed = np.ones(len(sorted_columns[0]), dtype=bool)
    changed[1:] = False
    for column in sorted_columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def _repeats(group: Ints, item: Ints) -> NDArray[np.bool_]:
    """[rows]: whether a known item has already come in its group."""
    order = np.lexsort((np.arange(len(item)), item, group))
    repeated = np.zeros(len(item), dtype=bool)
    repeated[order] = ~_changes(group[order], item[order])
    return repeated & (item >= 0)
