"""A log of what was shown: each row an item that stood somewhere, whether it was clicked, and how likely it was shown.

Columns are those that are said, or known by their names. What was shown at random without a stated propensity had each
of the items that were shown so with the same probability.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.columns import is_true, knows_log, log_places, named, rows_kept
from fleetrec.simulator.workload.loading import read_rows
from fleetrec.simulator.workload.recipe import with_recipe
from fleetrec.simulator.workload.tables.opening import find, open_table
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, reader, told_by

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

FLAGS = ("shown", "clicked", "random")
NUMBERS = ("position", "propensity")
_NAMES: Mapping[str, Sequence[str]] = {
    "shown": ("shown", "isshown", "exposed"),
    "clicked": ("clicked", "isclick", "click", "isclicked"),
    "random": ("random", "israndom", "israndomised", "israndomized", "isrand"),
    "slate": ("slate", "slateid", "impressionid", "impression"),
    "position": ("position", "rank", "slot", "place"),
    "propensity": ("propensity", "propensityscore", "pscore", "actionprob", "loggingprob", "exposureprob"),
}
_MOST_PLACES = 1_000
_MENDED = "the probability with which the item was shown there, above 0 and at most 1"


@dataclass(frozen=True)
class Exposures:
    """What was shown: R rows of U users, I items and K positions, with the propensity of each row."""

    source: str
    user_ids: Sequence[str]  # [U]
    item_ids: Sequence[str]  # [I]
    user: Ints  # [R]
    item: Ints  # [R]
    position: Ints  # [R], from 0
    clicked: NDArray[np.bool_]  # [R]
    propensity: Floats  # [R]
    notes: tuple[Note, ...] = ()
    screen: Ints | None = None
    """[R] which rows were shown together: alike of one screen; -1 where some of it do not count"""
    t_s: Floats | None = None  # [R], where there are times

    @property
    def n_positions(self) -> int:
        """K: the places of a slate."""
        return int(self.position.max(initial=0)) + 1


def exposure_table(section: LogFile, by_name: bool = False) -> pa.Table:
    """Every row that was shown, in the file's order, but for those without a user, an item or a time.

    user_id, item_id, timestamp where there are times, shown, and clicked, random, slate, position and propensity as far
    as the section says their columns; `by_name`: as far as names tell them, too.
    """
    path = locate(section.path)
    everything = section.model_copy(update={"columns": section.columns.model_copy(update={"clicked": None})})
    with reader() as opened, told_by(path, "a table of interactions"):
        table = open_table(opened, path, section, knows_log(section.columns))
        kept = rows_kept(opened, table, everything)
        rows = read_rows(opened, table, log_places(opened, table, section.columns), kept, everything)
        told = _columns(table, section, by_name)
        chosen = ", ".join(f"{_cell(role, one)} AS {role}" for role, one in told.items())
        for role in NUMBERS:
            if role in told:
                _check_numbers(opened, table, kept, role, told[role])
        flags = opened.database.sql(f"SELECT {chosen or '1'} FROM {table.source}{kept}").to_arrow_table()
    ids = {"user_id": rows.users, "item_id": rows.items}
    columns = {name: labels.texts.take(pa.array(labels.codes)) for name, labels in ids.items()}
    if rows.timed:
        columns["timestamp"] = pa.array(rows.times.seconds)
    if "shown" not in told:
        columns["shown"] = pa.array(np.ones(flags.num_rows, dtype=np.bool_))
    columns |= {role: flags[role] for role in told}
    usable = ~np.isnan(rows.times.seconds)
    for labels in ids.values():
        usable &= ~labels.unusable[labels.codes]
    return pa.table(columns).filter(pa.array(usable))


def _columns(table: Table, section: LogFile, by_name: bool) -> dict[str, Column]:
    found = {}
    for role, names in _NAMES.items():
        said = getattr(section.columns, role)
        column = find(table, said) if said is not None else named(table, names) if by_name else None
        if column is not None:
            found[role] = column
    return found


def _cell(role: str, column: Column) -> str:
    if role in FLAGS:
        return is_true(column)
    return {"position": f"try_cast({column.text} AS BIGINT)", "propensity": f"try_cast({column.text} AS DOUBLE)"}.get(
        role, column.text
    )


def _check_numbers(opened: Reader, table: Table, kept: str, role: str, column: Column) -> None:
    """InputError names the first row whose position or propensity is none."""
    cell = _cell(role, column)
    fine = f"{cell} >= 0" if role == "position" else f"{cell} > 0 AND {cell} <= 1"
    rows = f"SELECT row_number() OVER () - 1 AS row_in_file, * FROM {table.source}"
    bad = f"FROM ({rows}){kept}{' AND' if kept else ' WHERE'} coalesce(NOT ({fine}), true)"
    count, row = opened.row(f"SELECT count(*), min(row_in_file) {bad}")
    if count:
        text = opened.row(f"SELECT {column.text} FROM ({rows}) WHERE row_in_file = {row}")[0]
        more = f" ({counted(count - 1, 'more row')} like it)" if count > 1 else ""
        what = _MENDED if role == "propensity" else "a whole number, 1 for the place that is seen first"
        raise InputError(
            f"{table.path}, {table.place(int(row))}: the {role} is {text!r}{more}; it is {what}: mend such rows, or "
            "leave them out with --where"
        )


def read_exposures(section: LogFile) -> Exposures:
    """The log of what was shown that a section names. InputError where it does not say what was clicked, or how likely
    each item was shown."""
    section = with_recipe(section)
    table = exposure_table(section, by_name=True)
    names, path = table.column_names, section.path
    if "clicked" not in names:
        raise InputError(f"{path}: no column says what was clicked; name it: --columns clicked=NAME")
    if "propensity" not in names and "random" not in names:
        raise InputError(
            f"{path}: no column says how likely an item was shown; name one: --columns propensity=NAME (its "
            "probability) or random=NAME (whether it was shown at random)"
        )
    notes, rows = [], table.num_rows
    table = table.filter(table["shown"])
    screen = _screens(table)
    if "propensity" not in names:
        random = np.asarray(table["random"], dtype=np.bool_)
        screen = np.where(np.bincount(screen[~random], minlength=len(random)) > 0, -1, np.arange(len(random)))[screen]
        table, screen = table.filter(table["random"]), screen[random]
        told = "only what was shown at random counts, {kept:,} of {rows:,} rows"
        notes.append(note("random_exposure", told, kept=table.num_rows, rows=rows))
    if not table.num_rows:
        raise InputError(f"{path}: no row was shown{'' if 'propensity' in names else ' at random'}; see its flags")
    users, user = _coded(table["user_id"])
    items, item = _coded(table["item_id"])
    if "propensity" in names:
        propensity = np.asarray(table["propensity"], dtype=np.float64)
    else:
        propensity = np.full(len(item), 1 / len(items))
        told = "each of the {items:,} items shown at random is taken to have been as likely as any other"
        notes.append(note("uniform_exposure", told, items=len(items)))
    position = np.zeros(len(item), dtype=np.int64)
    if "position" in names:
        position = np.asarray(table["position"], dtype=np.int64)
        position = position - min(int(position.min()), 1)
        if position.max() >= _MOST_PLACES:
            raise InputError(
                f"{path}: a position is {int(position.max()) + 1:,}, more than the {_MOST_PLACES:,} that a slate may "
                "have; is another column meant? say it: --columns position=NAME"
            )
    else:
        notes.append(note("one_position", "no column says at which position an item stood: all stood at one"))
    clicked = np.asarray(table["clicked"], dtype=np.bool_)
    times = np.asarray(table["timestamp"], dtype=np.float64) if "timestamp" in names else None
    return Exposures(str(path), users, items, user, item, position, clicked, propensity, tuple(notes), screen, times)


def _screens(table: pa.Table) -> Ints:
    """[R] numbers of what was shown together: of one user's slate where the log names slates; where it names positions
    instead, at one time; else each row by itself."""
    names = table.column_names
    together = "slate" if "slate" in names else "timestamp" if {"position", "timestamp"} <= set(names) else None
    if together is None:
        return np.arange(table.num_rows)
    _, user = _coded(table["user_id"])
    _, at = _coded(table[together].fill_null("") if together == "slate" else table[together])
    return np.asarray(np.unique(user * (int(at.max(initial=0)) + 1) + at, return_inverse=True)[1])


def _coded(column: Any) -> tuple[list[str], Ints]:
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices, dtype=np.int64)
