"""Commands on logs, as they are typed."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.commands.typed import one_line, typed
from tests.simulator.workload.test_converting import NEWS


def test_a_published_set_is_converted_and_what_is_said_of_it_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("behaviors.tsv").write_text(NEWS)
    converted = typed("data", "convert", "behaviors.tsv", "--format", "mind", "--out", "mind")
    assert converted.exit_code == 0, converted.output
    assert "mind/exposures.parquet: 6 rows" in converted.output
    assert "workload.interactions={path: mind/interactions.parquet, time: {unit: s}}" in converted.output
    described = typed("data", "describe", "mind/interactions.parquet", "--time", "s")
    assert described.exit_code == 0, described.output
    assert "Friday 15 November 2019, 08:55 UTC" in described.output


def test_a_file_of_another_form_is_one_line_of_what_the_format_reads(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    told = one_line(typed("data", "describe", tmp_path / "log.csv", "--format", "kuairand"))
    assert "no column 'user_id'" in told
    assert "format kuairand reads log_standard_4_08_to_4_21_pure.csv" in told


def test_a_set_that_is_not_fetched_is_one_line_of_where_it_is() -> None:
    assert "get UserBehavior.csv from https://tianchi" in one_line(typed("data", "fetch", "taobao_userbehavior"))


def test_every_column_that_a_scenario_names_is_named_on_the_command_line(tmp_path: Path) -> None:
    rows = [f"k{n % 3},p{n % 7},{1_700_000_000 + n},{n % 4 == 0:d},{n % 2:d},s{n // 5}" for n in range(40)]
    log = tmp_path / "log.csv"
    log.write_text("\n".join(["wer,was,wann,genommen,zufall,liste", *rows]) + "\n")
    columns = "user=wer,item=was,time=wann,clicked=genommen,random=zufall,slate=liste"
    described = typed("data", "describe", log, "--columns", columns, "--json")
    assert described.exit_code == 0, described.output
    assert json.loads(described.stdout)["events"] == 10
    assert typed("data", "convert", log, "--columns", columns, "--out", tmp_path / "out").exit_code == 0
    shown = pyarrow.parquet.read_table(tmp_path / "out" / "exposures.parquet")
    assert (shown.num_rows, set(shown.column_names) >= {"clicked", "random", "slate"}) == (40, True)
    assert "clicked, shown, random, slate" in one_line(typed("data", "describe", log, "--columns", "stars=wer"))
    assert "user is said twice" in one_line(typed("data", "describe", log, "--columns", "user=wer,user=was"))
