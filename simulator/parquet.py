"""Tables as Parquet files."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from models.artifacts import atomic_path


def write_table(table: pa.Table | pd.DataFrame, path: Path) -> None:
    """Write `table` to `path`, whole or not at all, with nothing of pandas in it: equal rows are equal bytes."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary)
