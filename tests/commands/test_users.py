"""`users`, as it is typed."""

import json
from pathlib import Path

import pytest

from tests.commands.typed import one_line, scenario_in, typed

SMALL = ("--set", "workload.synthetic={users: 150, items: 40, events_per_user: 30, repeats: 0.3}")


def test_users_are_fitted_and_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_in(tmp_path, monkeypatch)
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path / "cache"))
    told = typed("users", scenario, *SMALL)
    assert told.exit_code == 0, told.output
    assert "share of what they had before" in told.stdout
    assert "from which no recommender has learnt" in " ".join(told.stdout.split())
    figures = json.loads(typed("users", scenario, *SMALL, "--json", "--quiet").stdout)
    assert {"popularity", "repeats"} < {row["what"] for row in figures["compared"]}
    few = one_line(typed("users", scenario, "--set", "workload.synthetic={users: 9, items: 40}"))
    assert "too few to fit users who choose on" in few
