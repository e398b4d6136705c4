"""The unit of each column of a run's tables, told by its name: for Parquet's field metadata and `DataFrame.attrs`."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa

UNIT_KEY = "unit"
"""of a field's metadata in Parquet"""
UNITS_KEY = "units"
"""of `DataFrame.attrs`: unit by column"""
_EXACT = {
    "usd_per_1k_interactions": "USD per 1,000 interactions",
    "usd_per_month": "USD per month",
    "gpu_seconds": "GPU s",
    "gco2": "g",
}
_BY_END = {"_per_s": "1/s", "_s": "s", "_bytes": "B", "joules": "J", "tokens": "tokens"}
_BY_BEGINNING = {"bytes_": "B", "usd": "USD"}


def unit_of(column: str) -> str | None:
    """The unit of a column; None for counts, places, names and shares, which have none."""
    if column in _EXACT:
        return _EXACT[column]
    of_end = next((unit for end, unit in _BY_END.items() if column.endswith(end)), None)
    return of_end or next((unit for begin, unit in _BY_BEGINNING.items() if column.startswith(begin)), None)


def units_of(columns: Iterable[str]) -> dict[str, str]:
    """The units of those columns that have one."""
    return {column: unit for column in columns if (unit := unit_of(column)) is not None}


def with_units(table: pa.Table) -> pa.Table:
    """The table with each field's unit, and nothing else, in its metadata."""
    fields = []
    for field in table.schema:
        unit = unit_of(field.name)
        fields.append(field.with_metadata(None if unit is None else {UNIT_KEY: unit}))
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def telling_units(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame, which tells its columns' units in `attrs`."""
    frame.attrs[UNITS_KEY] = units_of(map(str, frame.columns))
    return frame
