"""The speed suite: what is left out is said, each case has a process of its own, and two runs compare case by case."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.benchmark import suite
from fleetrec.simulator.benchmark.cases import BASE, SUITE, Case, chosen_cases
from fleetrec.simulator.benchmark.compare import compare_records
from fleetrec.simulator.benchmark.record import read_record, this_machine
from fleetrec.simulator.benchmark.suite import run_suite
from tests.simulator.experiments.bench_records import LARGE, SHARDED, SMALL, USUAL, figures, record


def test_a_case_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    case = Case("tiny", devices=20)
    ballast = b"x" * 1_500_000_000  # memory of this process, which the other one does not have
    found = run_suite([case], 100, tmp_path, NullProgress(), keep=False)
    assert (found.left_out, len(found.measured)) == ((), 1), found.left_out
    seen = found.measured[0].figures
    assert peak_rss_bytes() > len(ballast) > seen.peak_rss_bytes
    assert seen.interactions == pytest.approx(20 * 30, rel=0.1)
    assert seen.requests / seen.interactions == pytest.approx(0.2, abs=0.06)
    assert seen.times_naive is not None
    assert seen.times_naive > 1
    assert read_record(tmp_path / "bench.json") == found


def test_what_is_too_large_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "available_bytes", lambda: 1_000_000_000)
    large = [case for case in SUITE if case.devices > 10_000]
    found = run_suite(large, 500_000, tmp_path, NullProgress(), keep=False)
    assert found.measured == ()
    assert {left.case.name: left.why for left in found.left_out} == {
        "devices-100k": f"takes about {large[0].needed_bytes / 1e9:.1f} GB, and 1.0 GB are free",
        "devices-1m": "more than 500,000 devices; see --max-devices",
    }


def test_cases_measured_before_are_kept_where_some_are_measured_again(tmp_path: Path) -> None:
    here = USUAL.model_copy(update={"machine": this_machine()})
    here.write(tmp_path)
    again = run_suite([LARGE], 10, tmp_path, NullProgress(), keep=True)
    assert [held.case for held in again.measured] == [SMALL, BASE, SHARDED]
    assert [held.case.name for held in again.left_out] == ["devices-1m", "devices-100k"]
    USUAL.write(tmp_path)
    with pytest.raises(InputError, match="another machine"):
        run_suite([LARGE], 10, tmp_path, NullProgress(), keep=True)


def test_what_takes_longer_than_the_tolerance_allows_is_slower() -> None:
    new = record({SMALL: figures(60.0 * 1.14, 0.5), BASE: figures(60.0), LARGE: figures(20.0, 9.0)})
    changes = compare_records(USUAL, new, tolerance=0.15)
    assert [(change.name, change.verdict) for change in changes.cases] == [
        ("devices-1k", "as before"),
        ("devices-10k", "slower"),
        ("devices-100k", "faster, more memory"),
    ]
    assert changes.slower == ("devices-10k",)
    assert changes.cases[1].time == pytest.approx(1.2)
    assert changes.notes == ("only in the old run: shards-2",)


def test_a_slower_machine_slows_the_naive_loop_too() -> None:
    slow = record({BASE: figures(100.0, naive_per_s=500.0)}, processor="another", torch="2.6")
    changes = compare_records(record({BASE: figures()}), slow)
    assert (changes.cases[0].time, changes.cases[0].naive) == (pytest.approx(2.0), pytest.approx(1.0))
    assert changes.notes == ("another machine: processor one, now another", "another version: torch 2.5, now 2.6")


def test_a_case_of_the_same_name_that_is_another_fleet_is_not_compared() -> None:
    changes = compare_records(USUAL, record({Case(BASE.name, ratio=0.5): figures()}))
    assert changes.cases == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x"}', USUAL.model_dump_json()[:-9]])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "old.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"old\.json") as caught:
        read_record(tmp_path / "old.json")
    assert "\n" not in str(caught.value)


def test_cases_are_chosen_by_how_their_names_begin() -> None:
    assert [case.name for case in chosen_cases(["shards", "list-2"])] == ["list-20", "list-200", "shards-1", "shards-2"]
    assert chosen_cases([]) == SUITE
    with pytest.raises(InputError, match="--only shrads: no case"):
        chosen_cases(["shrads"])
