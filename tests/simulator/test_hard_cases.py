"""Valid input at the edge of what can be said: nothing that is zero, empty or alone ends a run."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.artifacts import ArtifactStore
from models.errors import InputError
from models.llm.table import check_table
from models.llm.table_reading import read_table
from models.progress import NullProgress
from simulator.scenario.sections import LogFile
from simulator.service import LlmService
from simulator.simulation import simulate_prepared
from simulator.workload.loading import load_log
from simulator.workload.times import parse_times, why_unusable
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny

SLATES = ("markov", "popular", "frequent", "recent", "srm", "cloud_srm", "both", "llm")


def fleet_of(devices: int, slate: str, batching: bool, sleep: bool, kind: str = "random"):  # type: ignore[no-untyped-def]
    request = {"kind": "random", "ratio": 0.4} if kind == "random" else {"kind": kind}
    return scenario_of(
        fleet={"devices": devices},
        duration="3h",
        policy={"slate": slate, "request": request},
        engine={"batching": batching, "sleep": sleep},
    )


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_the_smallest_fleets_run_with_every_slate_however_the_engine_goes_about_it(
    devices: int, tmp_path: Path
) -> None:
    store = ArtifactStore(tmp_path)
    prepared = {slate: prepare_tiny(fleet_of(devices, slate, True, True), store) for slate in ("llm", "cloud_srm")}
    for slate in SLATES:
        ranks = []
        for batching, sleep in itertools.product((True, False), repeat=2):
            scenario = fleet_of(devices, slate, batching, sleep)
            held = prepared["cloud_srm" if slate == "cloud_srm" else "llm"]
            result = simulate_prepared(scenario, held, None, "cpu", NullProgress())
            ranks.append(result.interactions["rank"].tolist())
        assert ranks[1:] == ranks[:-1], slate


def test_a_fleet_that_never_asks_has_an_account_of_nothing(tmp_path: Path) -> None:
    cost = simulate_tiny(fleet_of(2, "llm", True, True, "never"), ArtifactStore(tmp_path)).summary["cost"]
    assert (cost["replicas_provisioned"], cost["usd_serving"]) == (0, 0)


def test_a_run_is_kept_without_its_account_where_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by no time")

    monkeypatch.setattr(LlmService, "provision", broken)
    summary = simulate_tiny(fleet_of(3, "llm", True, True), ArtifactStore(tmp_path / "c"), tmp_path / "run").summary
    told = "provisioned account: none, since it could not be computed (ZeroDivisionError: by no time)"
    assert told in summary["notes"]
    assert summary["cost"]["usd_provisioned"] is None
    assert summary["cost"]["usd_marginal"] > 0
    assert (tmp_path / "run" / "interactions.parquet").stat().st_size > 0


@pytest.fixture(scope="module")
def log_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    rows = [f"u{i % 6},i{(i * i) % 13},{1700000000 + 600 * i}" for i in range(200)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n", encoding="utf-8")
    return path


def answers() -> pd.DataFrame:
    rows = [(f"u{u}", a, f"i{(r * r) % 13}", r) for u in range(6) for a in range(40) for r in range(4)]
    return pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"])


def test_what_a_table_calls_zero_is_not_told_but_for_answers_by_scores(log_file: Path, tmp_path: Path) -> None:
    rows = answers().assign(prompt_tokens=0, output_tokens=0, latency_s=0.0)
    rows.to_parquet(tmp_path / "zero.parquet")
    extras = read_table(tmp_path / "zero.parquet", load_log(LogFile(path=str(log_file)))).extras
    assert np.isnan(extras["prompt_tokens"]).all()
    assert np.isnan(extras["latency_s"]).all()
    assert (extras["output_tokens"] == 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"user_id": [["u1"]] * 960}, "column user_id holds list"),
        ({"item_id": [b"i1"] * 960}, "column item_id holds binary"),
        ({"as_of": [1e19] * 960}, "as_of is not a number"),
        ({"rank": [1e308] * 960}, "rank is not a number"),
        ({"prompt_tokens": [1e300] * 960}, "prompt_tokens is not a number of 0 to 1e"),
        ({"latency_s": [-1.0] * 960}, "latency_s is not a number of 0 to 1e"),
    ],
    ids=["lists", "bytes", "beyond whole numbers", "ranks", "tokens", "time"],
)
def test_a_table_that_cannot_be_meant_is_one_line(
    log_file: Path, tmp_path: Path, change: dict[str, list[object]], said: str
) -> None:
    answers().assign(**change).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=said) as found:
        check_table(tmp_path / "bad.parquet", load_log(LogFile(path=str(log_file))))
    assert "\n" not in str(found.value)


def test_a_table_with_broken_words_of_pandas_is_one_line(log_file: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table(answers()).replace_schema_metadata({b"pandas": b"{not json"}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet: not readable as Parquet \(.*\); write it"):
        check_table(tmp_path / "t.parquet", load_log(LogFile(path=str(log_file))))


@pytest.mark.parametrize("mark", ["9999-12-31", "9999-12-31T23:59:59Z", "0001-01-01", "2300-01-01"])
def test_a_date_of_any_year_is_read_and_one_that_marks_an_unknown_time_is_told(mark: str) -> None:
    raw = pa.array(["2020-01-01", mark, "2020-01-02T00:00:00Z"])
    seconds = parse_times(raw, False).seconds
    if mark == "2300-01-01":
        assert seconds[1] == 10413792000
        return
    assert np.isnan(seconds).tolist() == [False, True, False]
    assert mark in why_unusable(raw, False, 1)


def test_days_written_as_numbers_are_days_with_a_mark_for_none_among_them() -> None:
    found = parse_times(pa.array([20200101.0, 99991231.0, 20200103.0]), False)
    assert found.dated
    assert found.seconds[2] - found.seconds[0] == 2 * 86400
    assert np.isnan(found.seconds[1])
