"""A log as our own Parquet: its interactions, what is known of its items, and of a log of what was shown, all of it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.columns import is_true, knows_log, log_places, rows_kept
from fleetrec.simulator.workload.loading import load_log, read_rows
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.recipe import with_recipe
from fleetrec.simulator.workload.tables.opening import find, open_table
from fleetrec.simulator.workload.tables.table import reader, told_by

INTERACTIONS, ITEMS, EXPOSURES = "interactions.parquet", "items.parquet", "exposures.parquet"
_FLAGS = ("shown", "clicked", "random")


def convert(section: LogFile, folder: Path) -> dict[str, int]:
    """Write a log to `folder`; the rows of each file written. What it then reads is the same log.

    interactions.parquet: user_id, item_id and, where there are times, timestamp in seconds. items.parquet, where
    items are described: item_id, title, attributes. exposures.parquet, where the log says what was clicked: the same
    three for every row that was shown, and shown, clicked, random, slate as far as the log tells them.
    """
    log = load_log(section)
    tables = {INTERACTIONS: _interactions(log)}
    if log.titles is not None or log.attributes is not None:
        titles, attributes = log.titles or [""] * log.n_items, log.attributes or [()] * log.n_items
        described = pa.array([list(one) for one in attributes], pa.list_(pa.string()))
        tables[ITEMS] = pa.table({"item_id": list(log.item_ids), "title": list(titles), "attributes": described})
    whole = with_recipe(section)
    if whole.columns.clicked is not None:
        tables[EXPOSURES] = _exposures(whole)
    for name, table in tables.items():
        with atomic_path(folder / name) as temporary:
            pq.write_table(table, temporary)
    return {name: table.num_rows for name, table in tables.items()}


def _interactions(log: InteractionLog) -> pa.Table:
    columns = {"user_id": log.user_ids[log.user_of_event], "item_id": log.item_ids[log.items]}
    if log.clock != "none":
        columns["timestamp"] = log.times
    return pa.table(columns)


def _exposures(section: LogFile) -> pa.Table:
    """Every row that was shown, in the file's order, but for those without a user, an item or a time."""
    path = locate(section.path)
    everything = section.model_copy(update={"columns": section.columns.model_copy(update={"clicked": None})})
    with reader() as opened, told_by(path, "a table of interactions"):
        table = open_table(opened, path, section, knows_log(section.columns))
        kept = rows_kept(opened, table, everything)
        rows = read_rows(opened, table, log_places(opened, table, section.columns), kept, everything)
        told = {flag: find(table, name) for flag in (*_FLAGS, "slate") if (name := getattr(section.columns, flag))}
        chosen = ", ".join(f"{is_true(one) if flag in _FLAGS else one.text} AS {flag}" for flag, one in told.items())
        flags = opened.database.sql(f"SELECT {chosen} FROM {table.source}{kept}").to_arrow_table()
    ids = {"user_id": rows.users, "item_id": rows.items}
    columns = {name: labels.texts.take(pa.array(labels.codes)) for name, labels in ids.items()}
    if rows.timed:
        columns["timestamp"] = pa.array(rows.times.seconds)
    if "shown" not in told:
        columns["shown"] = pa.array(np.ones(flags.num_rows, dtype=np.bool_))
    columns |= {flag: flags[flag] for flag in told}
    usable = ~np.isnan(rows.times.seconds)
    for labels in ids.values():
        usable &= ~labels.unusable[labels.codes]
    return pa.table(columns).filter(pa.array(usable))
