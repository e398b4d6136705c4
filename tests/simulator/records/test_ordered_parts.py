"""Parts of a table, as a run leaves them, become one table in order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fleetrec.simulator.records.ordered_parts import ordered

SCHEMA = pa.schema(
    [("device", pa.int32()), ("step", pa.int32())]
    + [(f"value_{number}", pa.float64()) for number in range(5)]
    + [("outcome", pa.string())]
)


@pytest.mark.parametrize("on_disk", [False, True])
def test_parts_are_one_table_by_device_and_step(on_disk: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    places = rng.permutation(60)
    columns = {"device": places // 7, "step": places % 7}
    columns |= {f"value_{number}": rng.random(60) for number in range(5)}
    whole = pa.table(columns | {"outcome": [f"text {place}" for place in places]}).cast(SCHEMA)
    parts: list[pa.Table | Path] = []
    for number, start in enumerate(range(0, 60, 25)):
        part = whole.slice(start, 25)
        parts.append(tmp_path / f"{number}.parquet" if on_disk else part)
        if on_disk:
            pq.write_table(part, parts[-1])
    found = ordered(parts, SCHEMA, ("device", "step"))
    assert found.equals(whole.sort_by([("device", "ascending"), ("step", "ascending")]))
    assert found.schema == SCHEMA
    assert ordered([whole.drop_columns(["step"])], pa.schema([SCHEMA.field("device")]), ("device",)).num_rows == 60


def test_no_part_is_an_empty_table() -> None:
    assert ordered([], SCHEMA, ("device", "step")).equals(SCHEMA.empty_table())
