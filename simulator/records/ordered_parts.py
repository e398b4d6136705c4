"""The parts of a table as one table in order, a few columns at a time: its rows are never held twice."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_AT_ONCE = 4
"""columns that are read together: each reading opens every part"""


def ordered(parts: Sequence[pa.Table | Path], schema: pa.Schema, keys: tuple[str, ...]) -> pa.Table:
    """The rows of all parts by `keys`, of one or two columns of whole numbers of 32 bits, or one of 64, which no two
    rows share."""
    if not parts:
        return schema.empty_table()
    order = pa.array(np.argsort(_key(_read(parts, keys))))
    columns: list[pa.Array] = []
    for names in _groups(schema.names):
        held = _read(parts, names)
        for name in names:
            columns.append(held.column(name).combine_chunks().take(order))
            held = held.drop_columns([name])
    pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=schema)


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    return (list(names[start : start + _AT_ONCE]) for start in range(0, len(names), _AT_ONCE))


def _read(parts: Sequence[pa.Table | Path], names: Sequence[str]) -> pa.Table:
    """Columns of all parts, one part after the other."""
    return pa.concat_tables(
        pq.read_table(part, columns=list(names)) if isinstance(part, Path) else part.select(list(names))
        for part in parts
    )


def _key(columns: pa.Table) -> NDArray[np.int64]:
    first, *second = (column.to_numpy().astype(np.int64) for column in columns.columns)
    key: NDArray[Any] = (first << 32) + second[0] if second else first
    return key
