"""The parts of a table as one table in order, a few columns at a time: its rows are never held twice."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_COLUMNS_OF_PARTS = 256
"""that are in memory at once while the parts of a table become one"""


def ordered(parts: Sequence[pa.Table | Path], schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
    """The rows of all parts by `keys`, of one or two columns of whole numbers of 32 bits, or one of 64, which no two
    rows share."""
    if not parts:
        return schema.empty_table()
    at_once = max(1, _COLUMNS_OF_PARTS // len(parts))
    read = _read(parts, list(keys))
    order = pa.array(np.argsort(_key([read.column(name).to_numpy() for name in keys])))
    columns: list[pa.Array] = []
    for first in range(0, len(schema), at_once):
        read = _read(parts, schema.names[first : first + at_once])
        columns += [column.combine_chunks().take(order) for column in read.columns]
    del read
    pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=schema)


def _read(parts: Sequence[pa.Table | Path], names: list[str]) -> pa.Table:
    """Some columns of all parts; of those in files nothing else is in memory."""
    return pa.concat_tables(
        pq.read_table(part, columns=names) if isinstance(part, Path) else part.select(names) for part in parts
    )


def _key(columns: Sequence[NDArray[np.integer[Any]]]) -> NDArray[np.int64]:
    first, *second = columns
    key = first.astype(np.int64)
    for lower in second:
        key <<= 32
        key += lower
    return key
