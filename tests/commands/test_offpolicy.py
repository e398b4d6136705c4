"""`offpolicy` and `data exposures`, as they are typed."""

import json
from pathlib import Path

import pytest

from tests.commands.typed import one_line, typed

SIZES = ("--users", "60", "--items", "20", "--slates", "10", "--places", "3")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exposures") / "shown.csv"
    written = typed("data", "exposures", "--out", out, *SIZES)
    assert written.exit_code == 0, written.output
    assert "1,800 rows written" in written.stdout
    assert "true clicks per item shown: softmax exposure 0." in written.stdout
    return out


def test_a_log_that_the_built_in_world_wrote_is_estimated_from(shown: Path, tmp_path: Path) -> None:
    (tmp_path / "first.csv").write_text("item_id,position\n" + "".join(f"i{n},{n + 1}\n" for n in range(3)))
    told = typed("offpolicy", shown, "--policy", "uniform", "--policy", tmp_path / "first.csv")
    assert told.exit_code == 0, told.output
    assert "the log's own policy" in told.stdout
    assert "first:" in told.stdout
    assert "not on the rest of the slate" in " ".join(told.stdout.split())
    assert max(map(len, told.stdout.splitlines())) <= 100
    figures = json.loads(typed("offpolicy", shown, "--policy", "uniform", "--json").stdout)
    assert (figures["rows"], figures["users"], figures["items"]) == (1800, 60, 20)
    (one,) = figures["policies"]
    assert one["policy"] == "uniform"
    assert one["dr"]["low"] < one["dr"]["value"] < one["dr"]["high"]
    assert figures["notes"][0]["key"] == "item_position"


def test_mistakes_are_one_line(shown: Path, tmp_path: Path) -> None:
    assert "--policy: not given" in one_line(typed("offpolicy", shown))
    assert "does not exist" in one_line(typed("offpolicy", shown, "--policy", tmp_path / "none.csv"))
    assert "does not exist" in one_line(typed("offpolicy", tmp_path / "none.csv", "--policy", "uniform"))
    (tmp_path / "p.csv").write_text("item_id,position\nnever,1\n")
    assert "nothing can be said of it" in one_line(typed("offpolicy", shown, "--policy", tmp_path / "p.csv"))
    pairs = one_line(typed("data", "exposures", "--out", tmp_path / "o.csv", "--users", "1000000", "--items", "1000"))
    assert "--users 1000000 of --items 1000" in pairs
