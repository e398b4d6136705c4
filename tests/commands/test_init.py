"""`init`: from a log to a first result, with no flag typed by hand."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.commands import init
from fleetrec.simulator.workload import starting_scenario

ZONES = (UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-5)))
ROOT = Path(__file__).parents[2]
JUNK = ("##### rotated #####", ";;;;", "konto 1;;play;2025-03-04T10:00:00Z;0.1", "konto 2;clip-003;play;yesterday;0.5")


def write_log(folder: Path, rows: int, users: int) -> None:
    """clips.csv with names of another language, zones and junk, and titel.csv."""
    rng = np.random.default_rng(0)
    place, clock = rng.integers(0, 200, users), rng.uniform(0, 20 * 86_400, users)
    lines = []
    for user in rng.integers(0, users, rows).tolist():
        place[user] = (place[user] + rng.choice([1, 2, 3, 7])) % 200
        clock[user] += rng.choice([30.0, 600.0, 7200.0])
        moment = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(seconds=float(clock[user]))
        shown = moment.astimezone(ZONES[user % 3]).isoformat(timespec="seconds")
        kind = "play" if rng.random() < 0.8 else "skip"
        lines.append(f"konto {user};clip-{place[user]:03d};{kind};{shown};{rng.random():.2f}")
    for at in range(0, rows, 997):
        lines[at] = JUNK[at % len(JUNK)]
    (folder / "clips.csv").write_text("\n".join(["Wer;Was;Vorgang;Zeitpunkt;Anteil", *lines]) + "\n", encoding="utf-8")
    titles = [f"clip-{item:03d};Clip of the {item}th day;{'Sport' if item % 2 else 'Musik'}" for item in range(200)]
    (folder / "titel.csv").write_text("\n".join(["Nr;Titel;Kategorie", *titles]) + "\n", encoding="utf-8")


def typed(*words: str, **more: Any) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words), **more)
    return done.exit_code, done.output


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_from_a_log_of_20_000_rows_to_the_first_result_no_flag_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting_scenario, "_EVENTS_LEARNT", 20_000)  # one pass, for the test's sake
    write_log(tmp_path, 20_000, 400)
    code, said = typed("init", "clips.csv", "--items", "titel.csv")
    assert code == 0, said
    assert "cannot be read and are left out" in said
    keys = yaml.safe_load(Path("fleet.yaml").read_text(encoding="utf-8"))
    assert keys["workload"]["interactions"]["columns"] == {"user": "Wer", "item": "Was", "time": "Zeitpunkt"}
    code, said = typed("simulate", "fleet.yaml", "--quiet")
    assert code == 0, said
    (summary,) = Path("runs").glob("*/summary.json")
    found = json.loads(summary.read_text(encoding="utf-8"))
    assert found["headline"]
    assert found["interactions"] > 1000


def test_a_scenario_that_is_there_is_not_replaced_unless_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path, 2000, 40)
    code, said = typed("init", "clips.csv", "--yes", "--out", "new/shop.yaml")
    assert code == 0
    assert "its LLM is a stand-in that learns your log in 6 passes" in said
    for command in ("simulate", "compare-policies", "decide"):
        assert f" {command} new/shop.yaml" in said
        assert typed(command, "--help")[0] == 0
    before = Path("new/shop.yaml").read_text(encoding="utf-8")
    code, said = typed("init", "clips.csv", "--out", "new/shop.yaml")
    assert (code, "exists" in said) == (2, True)
    assert typed("init", "clips.csv", "--items", "titel.csv", "--out", "new/shop.yaml", "--overwrite")[0] == 0
    assert Path("new/shop.yaml").read_text(encoding="utf-8") != before
    assert typed("validate", "new/shop.yaml")[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.csv"], "does not exist"),
        (["clips.csv", "--columns", "user=Nobody,item=Was"], "Nobody"),
        (["clips.csv", "--items", "clips.csv"], "clips.csv"),
        (["clips.csv", "--zone", "Europe/Pariss"], "Europe/Paris"),
        (["clips.csv", "--out", "clips.csv/fleet.yaml"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line_and_no_file_is_left(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path, 2000, 40)
    code, said = typed("init", *words)
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert says in line
    assert not Path("fleet.yaml").exists()


def test_on_a_terminal_it_asks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path, 2000, 40)
    held = Path("clips.csv").read_text(encoding="utf-8")
    Path("clips.csv").write_text(held.replace("Wer;Was", "a;b"), encoding="utf-8")
    monkeypatch.setattr(init, "_on_a_terminal", lambda: True)
    code, said = typed("init", "clips.csv", input="2\n")
    assert code == 0, said
    assert "1. a (items: b)" in said
    keys = yaml.safe_load(Path("fleet.yaml").read_text(encoding="utf-8"))
    assert keys["workload"]["interactions"]["columns"]["user"] == "b"


DAYS_OR_MONTHS = "\n".join(
    [
        "user_id,item_id,when",
        *(f"u{n % 20},i{n % 31},{1 + n % 12:02d}/{1 + n // 60:02d}/2025 10:{n % 60:02d}" for n in range(600)),
    ]
)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals on this system")
def test_a_real_terminal_is_asked_between_two_readings_and_yes_stops(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(DAYS_OR_MONTHS, encoding="utf-8")
    cli = [sys.executable, str(ROOT / "cli.py"), "init", "log.csv"]
    master, terminal = os.openpty()
    os.write(master, b"2\n")
    try:
        done = subprocess.run(
            cli, cwd=tmp_path, stdin=terminal, capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1. %d/%m/%Y %H:%M, 2025-01-01" in done.stdout
        keys = yaml.safe_load((tmp_path / "fleet.yaml").read_text(encoding="utf-8"))
        assert keys["workload"]["interactions"]["time"] == {"unit": "%m/%d/%Y %H:%M"}
        done = subprocess.run(
            [*cli, "--yes", "--overwrite"], cwd=tmp_path, stdin=terminal, capture_output=True, text=True
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "%d/%m/%Y %H:%M" in line
    assert "%m/%d/%Y %H:%M" in line
