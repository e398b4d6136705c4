"""Names from a stranger's files: ids with slashes, control characters, mark-up or 5,000 letters are read as they are,
reach no path, and move no cursor where they are printed."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.commands.typed import one_line, typed

STRANGE = ["../../evil", "a/b", "\x1b[31mred\x1b[2J", "\u202egnp", "x" * 5000, "<script>alert(1)</script>", "=1+1"]
STRANGE += ['q"uo,te', "nul\x07", "C:\\x", " padded ", "%s{}", "--set", "[bold]"]
SCENARIO = """\
name: strange
workload:
  interactions: {path: log.parquet, items: items.csv}
  split: {kind: per_user, last: 3, min_history: 2}
fleet: {devices: 6}
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 8, epochs: 0}
llm:
  candidates: {kind: table, path: answers.parquet, missing: previous}
  list_length: 8
  served_as: llama-3.1-8b
engine: {threads: 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log whose users and items have strange names, their titles, answers for all of them, and a scenario."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    n = len(STRANGE)
    events = [(STRANGE[k % n], STRANGE[(k * k + k // n) % n], 1_700_000_000 + 60 * k) for k in range(20 * n)]
    pd.DataFrame(events, columns=["user_id", "item_id", "timestamp"]).to_parquet("log.parquet")
    titles = [(name, f"Title {name}", f"{name}|b") for name in STRANGE]
    pd.DataFrame(titles, columns=["item_id", "title", "genres"]).to_csv("items.csv", index=False)
    rows = [(user, 0, item, rank) for user in STRANGE for rank, item in enumerate(STRANGE[:8])]
    pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"]).to_parquet("answers.parquet")
    (work / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    return work


def harmless(printed: str) -> bool:
    """Whether nothing in it moves a cursor or turns the direction of the text."""
    return all(line.isprintable() for line in printed.split("\n"))


@pytest.mark.parametrize(
    "command",
    [
        ("data", "describe", "log.parquet", "--items", "items.csv"),
        ("data", "check-table", "answers.parquet", "log.parquet"),
        ("evaluate", "s.yaml"),
        ("prompts", "export", "s.yaml", "--out", "prompts\x1b[2J.parquet"),
    ],
)
def test_a_log_of_strange_names_is_read_and_prints_no_escape(folder: Path, command: tuple[str, ...]) -> None:
    told = typed(*command)
    assert told.exit_code == 0, told.output
    assert harmless(told.output)


def test_every_strange_name_of_a_table_is_found_in_the_log(folder: Path) -> None:
    counts = json.loads(typed("data", "check-table", "answers.parquet", "log.parquet", "--json").stdout)
    assert (counts["unknown_user_rows"], counts["unknown_items"]) == (0, 0)


def test_a_run_on_strange_names_writes_into_its_folder_alone_and_escapes_them_on_its_page(
    folder: Path, one_core: None
) -> None:
    before = set(folder.parent.rglob("*"))
    ran, reported = typed("simulate", "s.yaml", "--out", "out\x1b[2J"), typed("report", "out\x1b[2J")
    assert (ran.exit_code, reported.exit_code) == (0, 0), ran.output + reported.output
    assert harmless(ran.output + reported.output)
    out = folder / "out\x1b[2J"
    assert all(path.is_relative_to(out) for path in set(folder.parent.rglob("*")) - before)
    assert set(pd.read_parquet(out / "items.parquet")["item_id"]) <= {name.strip() for name in STRANGE}
    assert "<script>alert(1)" not in (out / "report.html").read_text(encoding="utf-8")


def test_a_mistake_beside_a_name_of_any_length_is_one_line_of_a_screen(folder: Path) -> None:
    (folder / "bad.csv").write_text(f"time,{'x' * 100_000}\n0,\x1b[2J{'y' * 100_000}\n")
    line = one_line(typed("validate", "s.yaml", "--set", "tariffs.carbon=bad.csv"))
    assert harmless(line)
    assert len(line) < 2100
