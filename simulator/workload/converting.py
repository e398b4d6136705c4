"""A log as our own Parquet: its interactions, what is known of its items, and of a log of what was shown, all of it."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.workload.exposures import exposure_table
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.recipe import with_recipe

INTERACTIONS, ITEMS, EXPOSURES = "interactions.parquet", "items.parquet", "exposures.parquet"


def convert(section: LogFile, folder: Path) -> dict[str, int]:
    """Write a log to `folder`; the rows of each file written. What it then reads is the same log.

    interactions.parquet: user_id, item_id and, where there are times, timestamp in seconds. items.parquet, where
    items are described: item_id, title, attributes. exposures.parquet, where the log says what was clicked: the same
    three for every row that was shown, and shown, clicked, random, slate, position, propensity as far as the log tells
    them.
    """
    log = load_log(section)
    tables = {INTERACTIONS: _interactions(log)}
    if log.titles is not None or log.attributes is not None:
        titles, attributes = log.titles or [""] * log.n_items, log.attributes or [()] * log.n_items
        described = pa.array([list(one) for one in attributes], pa.list_(pa.string()))
        tables[ITEMS] = pa.table({"item_id": list(log.item_ids), "title": list(titles), "attributes": described})
    whole = with_recipe(section)
    if whole.columns.clicked is not None:
        tables[EXPOSURES] = exposure_table(whole)
    for name, table in tables.items():
        with atomic_path(folder / name) as temporary:
            pq.write_table(table, temporary)
    return {name: table.num_rows for name, table in tables.items()}


def _interactions(log: InteractionLog) -> pa.Table:
    columns = {"user_id": log.user_ids[log.user_of_event], "item_id": log.item_ids[log.items]}
    if log.clock != "none":
        columns["timestamp"] = log.times
    return pa.table(columns)
