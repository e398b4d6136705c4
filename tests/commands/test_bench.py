"""`bench --against` as it is typed: exit code 1 where something is slower, 2 for a file that is no such file."""

import json
from pathlib import Path

from tests.commands.typed import one_line, typed
from tests.simulator.experiments.bench_records import BASE, USUAL, figures, record


def test_a_slower_run_is_named_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    record({BASE: figures(40.0)}).write(tmp_path / "old")
    USUAL.write(tmp_path / "new")
    told = ("bench", "--out", tmp_path / "new", "--against", tmp_path / "old" / "bench.json")
    found = typed(*told)
    assert found.exit_code == 1
    assert "slower: devices-10k" in found.output
    assert "only in the new run: devices-1k, devices-100k, shards-2" in found.output
    assert "devices-1m left out: takes about 24.6 GB" in found.output
    assert typed(*told, "--tolerance", "0.3").exit_code == 0
    assert json.loads(typed(*told, "--json").stdout)["changes"]["slower"] == ["devices-10k"]


def test_a_file_that_no_suite_wrote_is_a_mistake_in_one_line(tmp_path: Path) -> None:
    USUAL.write(tmp_path)
    (tmp_path / "other.json").write_text('{"speed": 3}', encoding="utf-8")
    told = one_line(typed("bench", "--out", tmp_path, "--against", tmp_path / "other.json"))
    assert "other.json: was not written by this version's `bench --suite`" in told
    assert "bench.json" in one_line(typed("bench", "--out", tmp_path / "none", "--against", tmp_path / "bench.json"))
