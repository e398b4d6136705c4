"""Valid input at the edge of what can be said: nothing that is zero, empty or alone ends a run."""

import itertools
import json
import os
import re
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fleetrec.models.llm.table import check_table
from fleetrec.models.llm.table_reading import read_table
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.reports.data.run_folder import read_mapping
from fleetrec.simulator.cloud.calibration.profile import load_profile
from fleetrec.simulator.cloud.capacity.traces import read_trace
from fleetrec.simulator.engine.cloud_service import LlmService
from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest, Variant
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.records.run_manifest import read_manifest
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.event_checks import Clock, check_events, fleet_clocks, policy_clocks
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.scenario.sections.workload import TimeForm
from fleetrec.simulator.scenario.text_files import read_object, read_rows
from fleetrec.simulator.scenario.units import DURATION, POWER, SIZE
from fleetrec.simulator.simulation import simulate_prepared
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.tables.table import Column, reader
from fleetrec.simulator.workload.times import ParsedTimes, plan_times, why_unusable
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny
from tests.small import noted

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


def test_a_catalogue_of_one_item_runs_with_every_slate_however_the_engine_goes_about_it(tmp_path: Path) -> None:
    rows = [f"u{u},only,{1700000000 + 600 * (6 * k + u)}" for k in range(30) for u in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n", encoding="utf-8")

    def scenario(slate: str, batching: bool, sleep: bool) -> sections.Scenario:
        return scenario_of(
            workload={"interactions": {"path": str(tmp_path / "log.csv")}, "exclude_seen": False},
            fleet={"devices": 3},
            duration="30min",
            llm={"candidates": {"kind": "item_lm", "dim": 8, "layers": 1, "heads": 1, "max_length": 10, "epochs": 1}},
            policy={"slate": slate, "request": {"kind": "random", "ratio": 0.4}},
            engine={"batching": batching, "sleep": sleep},
        )

    store = ArtifactStore(tmp_path / "cache")
    prepared = {s: prepare(scenario(s, True, True), "cpu", NullProgress(), store) for s in ("llm", "cloud_srm")}
    for slate in SLATES:
        for batching, sleep in itertools.product((True, False), repeat=2):
            held = prepared["cloud_srm" if slate == "cloud_srm" else "llm"]
            result = simulate_prepared(scenario(slate, batching, sleep), held, None, "cpu", NullProgress())
            ranks = result.interactions["rank"]
            assert set(ranks) <= {-1, 0}, (slate, batching, sleep)  # there is one place to be found at
            assert slate not in ("popular", "frequent", "recent") or set(ranks) == {0}, (slate, batching, sleep)


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("policy.update.upload", {"policy": {"update": {"kind": "fleet", "upload": "1us"}}}),
        ("policy.update.every", {"policy": {"update": {"kind": "fleet", "every": "1us"}}}),
        ("policy.request.every", {"policy": {"request": {"kind": "cloud_push", "every": "1us"}}}),
        ("fleet.churn", {"fleet": {"churn": {"kind": "on_off", "online": "1us", "offline": "1us"}}}),
        ("cloud.autoscale.period", {"cloud": {"autoscale": {"period": "1us"}}}),
        ("cloud.failures.every", {"cloud": {"failures": {"every": "1us", "repair": "1us"}}}),
    ],
)
def test_a_clock_that_would_never_let_a_run_end_is_told_before_it(
    key: str, changes: dict[str, object], tmp_path: Path
) -> None:
    scenario = scenario_of(**changes)
    with pytest.raises(InputError, match=rf"^{key}: a period of [12]us means more than .* events over 2 d"):
        check_events(_clocks(scenario, 500), 2 * 86400.0)
    check_events(_clocks(scenario_of(), 1_000_000), 2 * 86400.0)


def _clocks(scenario: Scenario, devices: int) -> list[Clock]:
    return [
        *fleet_clocks(scenario.fleet, devices),
        *policy_clocks(scenario.policy, scenario.cloud, devices),
    ]


@pytest.mark.parametrize("value", ["1e308d", "1e30GB", "-1e300W", "1e11s", "9" * 400])
def test_a_quantity_whose_sums_would_be_no_numbers_is_refused(value: str) -> None:
    kind = SIZE if "GB" in value else POWER if "W" in value else DURATION
    with pytest.raises(ValueError, match=r"expected a .* of at most|expected a finite"):
        kind.read(value)


@pytest.fixture
def endless(tmp_path: Path) -> list[Path]:
    os.mkfifo(tmp_path / "pipe")
    return [tmp_path / "pipe", Path("/dev/zero")]


def test_what_may_never_end_is_not_read(endless: list[Path], log_file: Path) -> None:
    log = load_log(LogFile(path=str(log_file)))
    for path in endless:
        for read in (
            lambda path: load_log(LogFile(path=str(path))),
            lambda path: read_table(path, log),
            lambda path: list(read_rows(str(path), "carbon")),
            lambda path: read_object(path, "config", "one"),
            load_profile,
            Scenario.load,
            read_trace,
        ):
            with pytest.raises(InputError, match=r"is a pipe, a device or a socket"):
                read(path)


@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 50_000, "a: 2024-13-45", "{" * 20_000 + "}" * 20_000])
def test_what_is_nested_without_end_or_no_date_is_one_line(text: str, tmp_path: Path) -> None:
    for name, read in (
        ("a.json", lambda path: read_object(path, "config", "one")),
        ("run.json", lambda path: read_manifest(path.parent)),
        ("b.json", read_mapping),
        ("c.yaml", read_mapping),
        ("d.yaml", load_profile),
        ("experiment.json", lambda path: ExperimentFolder(path.parent).manifest()),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(InputError) as found:
            read(tmp_path / name)
        assert str(found.value).isprintable()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": [[1]]}, "seeds.0: "),
        ({"variants": [{"name": ["a"], "folder": "a", "settings": {}}]}, "variants.0.name: "),
        ({"variants": [{"name": "a", "folder": 1, "settings": {}}]}, "variants.0.folder: "),
        ({"variants": [{"name": "a", "folder": "../../a", "settings": {}}]}, "'../../a' is no folder of a variant"),
        ({"metrics": None}, "metrics: "),
        ({"directions": {"accuracy": "up"}}, "directions.accuracy: "),
    ],
    ids=["seeds", "name", "folder", "outside", "metrics", "directions"],
)
def test_the_plan_of_an_experiment_that_somebody_has_edited_is_one_line(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    plan = Manifest("sweep", "s", "?", "s.yaml", "0", [1], {}, [Variant("a", "a", {})], ["hr@10"], None, {})
    folder = ExperimentFolder(tmp_path)
    folder.write_manifest(plan)
    assert folder.manifest() == plan
    (tmp_path / "experiment.json").write_text(json.dumps(asdict(plan) | change), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"experiment.json: {said}")) as found:
        folder.manifest()
    assert str(found.value).isprintable()


def test_labels_of_a_damaged_parquet_log_are_one_line(tmp_path: Path) -> None:
    ids = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes()), pa.py_buffer(b"\xff\xfe")]
    )
    table = pa.table({"user_id": ids, "item_id": pa.array(["a", "b"]), "timestamp": pa.array([1.0, 2.0])})
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"log.parquet cannot be read as a table of interactions"):
        load_log(LogFile(path=str(tmp_path / "log.parquet")))


def test_a_fleet_that_never_asks_has_an_account_of_nothing(tmp_path: Path) -> None:
    cost = simulate_tiny(fleet_of(2, "llm", True, True, "never"), ArtifactStore(tmp_path)).summary["cost"]
    assert (cost["replicas_provisioned"], cost["usd_serving"]) == (0, 0)


def test_a_run_is_kept_without_its_account_where_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by no time")

    monkeypatch.setattr(LlmService, "provision", broken)
    summary = simulate_tiny(fleet_of(3, "llm", True, True), ArtifactStore(tmp_path / "c"), tmp_path / "run").summary
    error = noted(summary["notes"])["provisioned_none"]["error"]
    assert re.fullmatch(r"ZeroDivisionError: by no time; .+\.py:\d+", error)
    assert summary["cost"]["usd_provisioned"] is None
    assert summary["cost"]["usd_marginal"] > 0
    assert (tmp_path / "run" / "interactions.parquet").stat().st_size > 0


def test_a_mistake_in_the_code_of_the_account_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: object) -> None:
        raise AttributeError("no such thing")

    monkeypatch.setattr(LlmService, "provision", mistaken)
    with pytest.raises(AttributeError, match="no such thing"):
        simulate_tiny(fleet_of(3, "llm", True, True), ArtifactStore(tmp_path / "c"))


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
        ({"as_of_time": [float("nan")] * 960}, "as_of_time is neither seconds since 1970 nor an ISO time"),
        ({"as_of_time": [1e308] * 960}, "as_of_time is neither seconds since 1970 nor an ISO time"),
    ],
    ids=["lists", "bytes", "beyond whole numbers", "ranks", "tokens", "time", "no moment", "no moment of ours"],
)
def test_a_table_that_cannot_be_meant_is_one_line(
    log_file: Path, tmp_path: Path, change: dict[str, list[object]], said: str
) -> None:
    table = answers().assign(**change)
    table.drop(columns="as_of" if "as_of_time" in change else []).to_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=said) as found, warnings.catch_warnings(action="error"):
        check_table(tmp_path / "bad.parquet", load_log(LogFile(path=str(log_file))))
    assert "\n" not in str(found.value)


def test_a_table_with_broken_words_of_pandas_is_one_line(log_file: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table(answers()).replace_schema_metadata({b"pandas": b"{not json"}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t.parquet: not readable as Parquet \(.*\); write it"):
        check_table(tmp_path / "t.parquet", load_log(LogFile(path=str(log_file))))


def times_of(column: pa.Array) -> ParsedTimes:
    with reader() as opened:
        opened.database.register("raw", pa.table({"t": column}))
        kind = "VARCHAR" if pa.types.is_string(column.type) else "DOUBLE"
        plan = plan_times(opened, "raw", Column("t", kind, "t"), TimeForm(), "here")
        return plan.parsed(np.array([value for (value,) in opened.rows(f"SELECT {plan.cell} FROM raw")], dtype=float))


@pytest.mark.parametrize("mark", ["9999-12-31", "9999-12-31T23:59:59Z", "0001-01-01", "2300-01-01"])
def test_a_date_of_any_year_is_read_and_one_that_marks_an_unknown_time_is_told(mark: str) -> None:
    raw = pa.array(["2020-01-01", mark, "2020-01-02T00:00:00Z"])
    seconds = times_of(raw).seconds
    assert np.isnan(seconds).tolist() == [False, True, False]
    assert mark in why_unusable(mark)


def test_days_written_as_numbers_are_days_with_a_mark_for_none_among_them() -> None:
    found = times_of(pa.array([20200101.0, 99991231.0, 20200103.0]))
    assert found.dated
    assert found.seconds[2] - found.seconds[0] == 2 * 86400
    assert np.isnan(found.seconds[1])
