"""From a file to an InteractionLog: every row is used, or is an error that names it, or is left out and counted.

Repeats of the same user, item and time are dropped; rows are sorted by user and time, file order breaking ties.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.formats import SKIP_HINT, RawTable, read_table
from fleetrec.simulator.workload.item_table import read_items
from fleetrec.simulator.workload.log import Clock, InteractionLog
from fleetrec.simulator.workload.times import clock_of, parse_times, why_unusable

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NO = ("false", "0", "no")
_MISSING = ("", "nan", "null", "none", "\\n")  # what exports write where an id is missing, in lower case


@dataclass(frozen=True)
class _Ids:
    """A column of labels: codes [R] into `labels`, and which codes are no ids."""

    codes: Ints
    labels: list[str]
    unusable: Flags  # [labels]


@dataclass(frozen=True)
class _Events:
    """Interactions by code, in any order. times: seconds, or the row number where there are none."""

    users: Ints
    items: Ints
    times: Floats

    def kept(self, which: Flags | Ints) -> "_Events":
        return _Events(self.users[which], self.items[which], self.times[which])


def load_log(section: LogFile) -> InteractionLog:
    """The log that a scenario names. InputError names the file, the row and how to mend it."""
    path = locate(section.path)
    raw = read_table(path, section.format, section.on_error == "skip")
    users, items = _ids(raw.users), _ids(raw.items)
    problems: dict[str, int] = {}
    notes = list(raw.notes)
    if raw.times is None:
        dated, times = False, np.arange(len(users.codes), dtype=np.float64)
    else:
        parsed = parse_times(raw.times, raw.times_in_seconds)
        dated, times = parsed.dated, parsed.seconds
        problems.update(parsed.problems)
        notes.extend(parsed.notes)
    inexact = _inexact(raw)
    bad = users.unusable[users.codes] | items.unusable[items.codes] | np.isnan(times)
    if bad.any() and section.on_error == "fail":
        raise InputError(_first_bad_row(raw, users, items, bad))
    _count(problems, "rows_skipped", raw.unreadable + int(bad.sum()))
    events = _Events(users.codes, items.codes, times).kept(~bad)
    if raw.times is not None:
        repeats = pd.DataFrame({"user": events.users, "item": events.items, "time": events.times}).duplicated()
        _count(problems, "duplicates_dropped", int(repeats.sum()))
        events = events.kept(~repeats.to_numpy())
        _count(problems, "out_of_order", _falls(events))
    source = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    if section.k_core > 1:
        events = _k_core(events, section.k_core, problems, source)
        source += f" ({section.k_core}-core)"
        notes.append(
            note("k_core", "only users and items with at least {events} events are kept", events=section.k_core)
        )
    if not len(events.users):
        raise InputError(f"{path} holds no interactions that can be used ({_told(problems)}); give another file")
    log = _assemble(events, users.labels, items.labels, raw.times is not None, dated, section, problems, notes, source)
    return replace(log, inexact_times=float(inexact[~bad].mean()))


def _inexact(raw: RawTable) -> Flags:
    """Which rows [R] the file says to have a time that is not exact."""
    if raw.exact is None:
        return np.zeros(len(raw.users), dtype=np.bool_)
    return np.array([cell in _NO for cell in pc.utf8_lower(raw.exact).to_pylist()], dtype=np.bool_)


def _ids(column: Any) -> _Ids:
    encoded = pc.dictionary_encode(pc.utf8_trim_whitespace(column))
    labels = encoded.dictionary.to_pylist()
    unusable = np.array([label.lower() in _MISSING or _is_negative(label) for label in labels], dtype=np.bool_)
    return _Ids(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), labels, unusable)


def _is_negative(label: str) -> bool:
    return label.startswith("-") and re.fullmatch(r"-\d+(\.0)?", label) is not None


def _first_bad_row(raw: RawTable, users: _Ids, items: _Ids, bad: Flags) -> str:
    row = int(np.argmax(bad))
    for name, ids in (("user", users), ("item", items)):
        if ids.unusable[ids.codes[row]]:
            label = ids.labels[ids.codes[row]]
            why = f"the {name} id {label!r} is negative" if _is_negative(label) else f"the {name} id is empty"
            break
    else:
        why = why_unusable(raw.times, raw.times_in_seconds, row)
    others = int(bad.sum()) - 1
    more = f" ({counted(others, 'more row')} like it or worse)" if others else ""
    return f"{raw.path}, {raw.place(row)}: {why}{more}; {SKIP_HINT}"


def _falls(events: _Events) -> int:
    """Rows that are earlier than the row of the same user before them in the file."""
    order = np.argsort(events.users, kind="stable")
    same = np.diff(events.users[order]) == 0
    return int((same & (np.diff(events.times[order]) < 0)).sum())


def _k_core(events: _Events, k: int, problems: dict[str, int], source: str) -> _Events:
    """Drop users and items with fewer than k events until none is left."""
    before = events
    while len(events.users):
        kept = np.bincount(events.users)[events.users] >= k
        kept &= np.bincount(events.items)[events.items] >= k
        if kept.all():
            break
        events = events.kept(kept)
    if not len(events.users):
        raise InputError(f"nothing of {source} is left in its {k}-core; set a smaller workload.interactions.k_core")
    for name in ("users", "items"):
        gone = len(np.unique(getattr(before, name))) - len(np.unique(getattr(events, name)))
        _count(problems, f"k_core_{name}_dropped", gone)
    _count(problems, "k_core_events_dropped", len(before.users) - len(events.users))
    return events


def _assemble(
    events: _Events,
    user_labels: list[str],
    item_labels: list[str],
    timed: bool,
    dated: bool,
    section: LogFile,
    problems: dict[str, int],
    notes: list[Note],
    source: str,
) -> InteractionLog:
    users, user_ids = _recode(events.users, user_labels)
    items, item_ids = _recode(events.items, item_labels)
    order = np.lexsort((events.times, users))
    users, items, times = users[order], items[order], events.times[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    clock: Clock = "none"
    if timed:
        clock = clock_of(times, offsets, dated)
        _count(problems, "ties", int(((np.diff(times) == 0) & (np.diff(users) == 0)).sum()))
    else:
        times = (np.arange(len(items)) - offsets[users]).astype(np.float64)
    titles, attributes = None, None
    if section.items is not None:
        titles, attributes = _descriptions(section.items, item_ids, problems)
    labels = (user_ids.tolist(), item_ids.tolist(), titles, attributes)
    return InteractionLog(
        user_ids=user_ids,
        item_ids=item_ids,
        offsets=offsets,
        items=items.astype(np.int32),
        times=times,
        clock=clock,
        titles=titles,
        attributes=attributes,
        problems=problems,
        source=source,
        content_hash=content_hash(offsets, items, times, clock, json.dumps(labels).encode()),
        notes=tuple(notes),
    )


def _recode(codes: Ints, labels: list[str]) -> tuple[Ints, NDArray[Any]]:
    """Codes 0, 1, 2, ... of the labels that occur, in the order of the numbers where all are, else of the text."""
    present = np.unique(codes)
    names = [labels[code] for code in present.tolist()]
    numeric = all(re.fullmatch(r"0|[1-9]\d{0,17}", name) for name in names)
    order = np.array(sorted(range(len(names)), key=(lambda i: int(names[i])) if numeric else names.__getitem__))
    place = np.empty(len(labels), dtype=np.int64)
    place[present[order]] = np.arange(len(present))
    return place[codes], np.array([names[i] for i in order.tolist()], dtype=object)


def _descriptions(
    named: str, item_ids: NDArray[Any], problems: dict[str, int]
) -> tuple[tuple[str, ...] | None, tuple[tuple[str, ...], ...] | None]:
    """Titles and attributes of the log's items, None where the table has none at all."""
    path = locate(named)
    table = read_items(path)
    labels = item_ids.tolist()
    unknown = sum(label not in table.titles for label in labels)
    if unknown == len(labels):
        raise InputError(f"{path} describes none of the log's items; its item ids must be those of the log")
    _count(problems, "items_without_description", unknown)
    _count(problems, "item_rows_repeated", table.duplicates)
    titles = tuple(table.titles.get(label, "") for label in labels)
    attributes = tuple(table.attributes.get(label, ()) for label in labels)
    return titles if any(titles) else None, attributes if any(attributes) else None


def _count(problems: dict[str, int], name: str, number: int) -> None:
    if number:
        problems[name] = problems.get(name, 0) + number


def _told(problems: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in problems.items()) or "it is empty"
