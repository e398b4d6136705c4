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
    order = pa.array(np.argsort(_key([_column(parts, name).to_numpy() for name in keys])))
    columns = [_column(parts, name).combine_chunks().take(order) for name in schema.names]
    pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=schema)


def _column(parts: Sequence[pa.Table | Path], name: str) -> pa.ChunkedArray:
    """One column of all parts; of those in files nothing else is in memory."""
    read = (pq.read_table(part, columns=[name]) if isinstance(part, Path) else part.select([name]) for part in parts)
    return pa.concat_tables(read).column(name)


def _key(columns: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.int64]:
    first, *second = columns
    key = first.astype(np.int64)
    for lower in second:
        key <<= 32
        key += lower
    return key
