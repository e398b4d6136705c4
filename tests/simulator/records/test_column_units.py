"""Every column of a run's tables tells its unit, and its numbers lead back to the ids of the user's log."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.records.column_units import unit_of
from fleetrec.simulator.results.run_folder import opened
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("t_s", "s"),
        ("requests_per_s", "1/s"),
        ("bytes_up", "B"),
        ("memory_bytes", "B"),
        ("joules", "J"),
        ("usd", "USD"),
        ("gco2", "g"),
        ("prompt_tokens", "tokens"),
        ("rank", None),
        ("as_of", None),
        ("device", None),
    ],
)
def test_a_columns_name_tells_its_unit(column: str, unit: str | None) -> None:
    assert unit_of(column) == unit


def test_tables_tell_units_in_memory_and_on_disk_and_lead_back_to_the_logs_ids(tmp_path: Path) -> None:
    store, scenario = ArtifactStore(tmp_path / "store"), scenario_of()
    log = prepare_tiny(scenario, store).trained.split.log
    with opened(tmp_path / "run", scenario) as folder:
        result = simulate_tiny(scenario, store, folder)
    assert result.interactions.attrs["units"]["t_s"] == "s"
    schema = pq.read_schema(tmp_path / "run" / "requests.parquet")
    assert schema.field("t_arrived_s").metadata == {b"unit": b"s"}
    assert schema.field("outcome").metadata is None
    ids = pd.read_parquet(tmp_path / "run" / "items.parquet").set_index("item")["item_id"]
    owners = pd.read_parquet(tmp_path / "run" / "users.parquet").set_index("device")
    for row in result.interactions.iloc[::37].itertuples():
        user = log.user_ids.tolist().index(owners.loc[row.device, "user_id"])
        assert log.item_ids[log.items[log.offsets[user] + row.step]] == ids[row.item]
