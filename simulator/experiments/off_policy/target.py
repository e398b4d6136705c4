"""The policy that is asked about: which items it shows to whom at which position, with which probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.columns import ITEM_NAMES, named, plain_name
from fleetrec.simulator.workload.exposures import Exposures
from fleetrec.simulator.workload.labels import id_text
from fleetrec.simulator.workload.tables.opening import listed, open_table
from fleetrec.simulator.workload.tables.table import reader, told_by

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NAMES = {
    "item": ITEM_NAMES,
    "user": ("userid", "user", "uid"),
    "position": ("position", "rank", "slot", "place"),
    "probability": ("probability", "prob", "propensity"),
}
_NUMBERS = {"position": "try_cast({} AS BIGINT)", "probability": "try_cast({} AS DOUBLE)"}
_ROUNDING = 1e-6
"""by which the probabilities at one position may miss a sum of 1"""


@dataclass(frozen=True)
class Target:
    """Entries [N]: `item` (-1: the log never showed it) with `probability` where context `context` [R] of a row is
    met; the contexts are numbered 0.. and -1 is a row for which the policy shows nothing."""

    name: str
    context: Ints  # [R]
    of_entry: Ints  # [N], the context of each entry
    item: Ints  # [N]
    probability: Floats  # [N]

    def expected(self, values: Floats, position: Ints) -> Floats:
        """[R]: the mean over the policy's items of values [I, K] at each row's position; NaN where it shows nothing.
        What the log never showed counts as 0."""
        known = self.item >= 0
        contexts = int(self.of_entry.max(initial=-1)) + 1
        by_context = np.zeros((contexts, values.shape[1]))
        np.add.at(by_context, self.of_entry[known], self.probability[known, None] * values[self.item[known]])
        return np.where(self.context >= 0, by_context[self.context, position], np.nan)

    def probabilities(self, item: Ints, n_items: int) -> Floats:
        """[R]: with which probability the policy shows the rows' items where they stood."""
        known = self.item >= 0
        key = self.of_entry[known] * n_items + self.item[known]
        order = np.argsort(key, kind="stable")
        key, probability = key[order], self.probability[known][order]
        wanted = self.context * n_items + item
        at = np.minimum(np.searchsorted(key, wanted), max(len(key) - 1, 0))
        if not len(key):
            return np.zeros(len(item))
        return np.where((self.context >= 0) & (key[at] == wanted), probability[at], 0.0)


def uniform_target(log: Exposures) -> Target:
    """Each item of the log as likely as any other, everywhere."""
    n = len(log.item_ids)
    nowhere = np.zeros(len(log.user), dtype=np.int64)
    return Target("uniform", nowhere, np.zeros(n, dtype=np.int64), np.arange(n), np.full(n, 1 / n))


def target_of(name: str, probability: Floats, log: Exposures) -> Target:
    """The policy that shows users the items with these probabilities [U, I] at every position."""
    user, item = np.nonzero(probability)
    return Target(name, log.user, user, item, probability[user, item])


def read_target(path: Path, log: Exposures) -> Target:
    """A table of slates: item_id, and user_id (else the same for all), position from 1 (else the same at all),
    probability (else certain). InputError where a place's probabilities do not add up to 1, or no row of the log is of
    the users and positions named."""
    place = locate(str(path))
    with reader() as opened, told_by(place, "a table of slates"):
        table = open_table(opened, place, LogFile(path=str(path)), _is_name)
        found_by_name = {role: named(table, names) for role, names in _NAMES.items()}
        columns = {role: column for role, column in found_by_name.items() if column is not None}
        if "item" not in columns:
            raise InputError(
                f"{place}: no column item_id among {listed(table.names)}; a policy is a table of item_id, user_id, "
                "position and probability, of which all but the first may be left out"
            )
        cells = {
            role: _NUMBERS[role].format(column.text) if role in _NUMBERS else id_text(opened, table, column)
            for role, column in columns.items()
        }
        chosen = ", ".join(f"{cell} AS {role}" for role, cell in cells.items())
        found = opened.database.sql(f"SELECT {chosen} FROM {table.source}").to_arrow_table()
        for role in ("position", "probability"):
            if role in cells and (bad := np.flatnonzero(_unfit(role, found[role].to_pandas().to_numpy()))).size:
                text = opened.row(f"SELECT {columns[role].text} FROM {table.source} LIMIT 1 OFFSET {bad[0]}")[0]
                what = "whole, 1 the place seen first" if role == "position" else "above 0 and at most 1"
                raise InputError(f"{place}, {table.place(int(bad[0]))}: the {role} is {text!r}; it is {what}")
    item = _codes(found["item"], log.item_ids)
    n_positions = max(log.n_positions, 1)
    user = _codes(found["user"], log.user_ids) if "user" in cells else np.zeros(len(item), dtype=np.int64)
    position = np.asarray(found["position"], dtype=np.int64) - 1 if "position" in cells else np.zeros_like(item)
    probability = np.asarray(found["probability"], dtype=np.float64) if "probability" in cells else np.ones(len(item))
    here = (user >= 0) & (position < n_positions)
    context = user * n_positions + position
    wanted = (log.user if "user" in cells else 0) * n_positions + (log.position if "position" in cells else 0)
    known = np.unique(context[here])
    row = np.searchsorted(known, wanted + np.zeros_like(log.user))
    row = np.where(np.isin(wanted + np.zeros_like(log.user), known), row, -1)
    if not (row >= 0).any():
        raise InputError(
            f"{place}: shows nothing to any of the log's users at any of its positions; its ids must be those of the "
            f"log ({', '.join(log.user_ids[:3])})"
        )
    of_entry = np.searchsorted(known, context[here])
    total = np.bincount(of_entry, probability[here])
    if (off := np.flatnonzero(np.abs(total - 1) > _ROUNDING)).size:
        first = int(np.flatnonzero(here)[np.flatnonzero(of_entry == off[0])[0]])
        raise InputError(
            f"{place}, {table.place(first)}: the probabilities of the items at that place, for that user, add up to "
            f"{total[off[0]]:g}; a place shows one item: name the positions, or probabilities with a sum of 1"
        )
    return Target(path.stem, row, of_entry, item[here], probability[here])


def _is_name(cells: Sequence[str]) -> bool:
    return any(plain_name(cell) in _NAMES["item"] for cell in cells)


def _unfit(role: str, values: Floats) -> NDArray[np.bool_]:
    fits = (values >= 1) if role == "position" else (values > 0) & (values <= 1)
    return ~fits


def _codes(column: Any, labels: Sequence[str]) -> Ints:
    """The place of each cell among the labels; -1 where it is none."""
    found = pc.index_in(column.combine_chunks(), value_set=pa.array(labels, pa.string()))
    return np.asarray(pc.fill_null(found, -1), dtype=np.int64)
