"""The parts of a table as one table in order, a column at a time: its rows are never held twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


def ordered(parts: Sequence[pa.Table | Path], schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
    """The rows of all parts by `keys`, of one or two columns of whole numbers of 32 bits, or one of 64, which no two
    rows share."""
    if not parts:
        return schema.empty_table()
    held = pa.concat_tables(pq.read_table(part) if isinstance(part, Path) else part for part in parts)
    order = pa.array(np.argsort(_key(held.select(keys))))
    columns: list[pa.Array] = []
    for name in schema.names:
        columns.append(held.column(name).combine_chunks().take(order))
        held = held.drop_columns([name])  # the last that holds it, where parts are files
    pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=schema)


def _key(columns: pa.Table) -> NDArray[np.int64]:
    first, *second = (column.to_numpy().astype(np.int64) for column in columns.columns)
    key: NDArray[Any] = (first << 32) + second[0] if second else first
    return key
