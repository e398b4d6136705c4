"""What `compare` takes, refuses and prints."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.terminal.comparison import print_comparison
from fleetrec.simulator.experiments.comparison.compare import compare
from tests.simulator.experiments.made_experiment import N_DEVICES, N_STEPS, make_experiment
from tests.simulator.experiments.test_comparison import made


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"baseline": "plian"}, "did you mean 'plain'"),
        ({"metric": "ndgc@10"}, "no figure of the runs has that name"),
        ({"cost": "cost.used"}, "did you mean 'cost.usd'"),
        ({"metric": "cost.usd", "cost": "cost.usd"}, "twice"),
    ],
)
def test_a_name_that_is_not_known_is_one_line(tmp_path: Path, asked: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        compare(made(tmp_path), **asked)
    assert "\n" not in str(error.value)


def test_the_command_prints_the_answer_first_and_json_where_asked(tmp_path: Path) -> None:
    folder = made(tmp_path)
    printed = CliRunner().invoke(app, ["compare", str(folder), "--equal-ratio"])
    assert printed.exit_code == 0, printed.output
    assert printed.output.startswith("At the accuracy of 'plain' 'cheap'")
    as_json = CliRunner().invoke(app, ["compare", str(folder), "--metric", "hr@10", "--json"])
    assert json.loads(as_json.stdout)["metric"] == "accuracy.hr@10"


def test_keys_that_explain_nothing_are_one_line(tmp_path: Path) -> None:
    """A cost that two keys make together and neither by itself, and one that a key makes alone."""
    settings = {f"{a}{b}": {"x.a": a, "x.b": b} for a in (0, 1) for b in (0, 1)}

    def spent(variant: str, _: int) -> Mapping[str, Any]:
        return {"cost": {"usd": 1.0 + (variant in ("01", "10")), "joules": float(variant[0]) + 1.0}}

    folder = make_experiment(tmp_path / "e", settings, lambda *held: (held[2] > 0.3).astype(int) - 1, spent)
    for cost, said in (
        ("cost.usd", "what explains cost.usd over variants: no key by itself, as far as 4 variants tell"),
        ("cost.joules", "what explains cost.joules over variants: x.a 100%, 1 other key under 1%"),
    ):
        found = compare(folder, cost=cost)
        out = io.StringIO()
        print_comparison(found.table, found.answer, Console(file=out, width=200))
        assert said in out.getvalue()
        assert "explains" not in out.getvalue().replace(said, "")


def test_a_variant_may_be_named_in_markup(tmp_path: Path) -> None:
    found = compare(made(tmp_path))
    found.table.loc[found.table["variant"] == "twin", "variant"] = "[red]twin[/red]"
    console = Console(width=100, record=True, force_terminal=False)
    print_comparison(found.table, found.answer, console)
    assert "[red]twin[/red]" in console.export_text()


def test_runs_of_one_world_are_compared_where_they_lie(tmp_path: Path) -> None:
    """The folders of `plain` and `better` at seed 2: the same differences as in a sweep of that seed."""
    folder = made(tmp_path) / "runs"
    runs = [str(folder / name / "2") for name in ("v0", "v2")]
    printed = CliRunner().invoke(app, ["compare", *runs, "--against-cost", "cost.usd", "--json"])
    assert printed.exit_code == 0, printed.output
    answer = json.loads(printed.stdout)
    u = np.random.default_rng(2).random(N_DEVICES * N_STEPS)
    gain = answer["decision"]["difference"]["accuracy.ndcg@10"]
    assert answer["baseline"] == runs[0]  # both are called 2, so they go by their paths
    assert gain["mean"] == pytest.approx((u < 0.45).mean() - (u < 0.30).mean())
    assert gain["low"] > 0.1
    told = {row["metric"]: row for row in answer["differences"]}
    assert told["cost.usd"]["difference"] == pytest.approx(2.04)
    assert told["accuracy.ndcg@10"]["low"] == gain["low"]
    assert (answer["winner"], answer["decision"]["winner_by"]) == (runs[1], "gain")
    assert answer["headline"].endswith("Shown for new users in the world of seed 2 alone.")


def test_the_marginal_account_of_runs_has_its_month_beside_it(tmp_path: Path) -> None:
    """Two dollars and one for 40 phones over a day, which stand for 4,000: $6,000 and $3,000 a month."""

    def spent(variant: str, _: int) -> Mapping[str, Any]:
        usd = {"dear": 2.0, "cheap": 1.0}[variant]
        cost = {"usd_marginal": usd, "usd_marginal_per_1k_interactions": usd}
        return {"cost": cost, "size": {}} | {"represented": {"devices": 4000}}

    folder = make_experiment(
        tmp_path / "e", {"dear": {}, "cheap": {}}, lambda *held: (held[2] > 0.3).astype(int) - 1, spent, seeds=(1,)
    )
    runs = [str(folder.path / "runs" / name / "1") for name in ("v0", "v1")]
    for run in runs:
        summary = json.loads((Path(run) / "summary.json").read_text())
        (Path(run) / "summary.json").write_text(json.dumps(summary | {"devices": 40, "simulated_seconds": 86400.0}))
    answer = json.loads(CliRunner().invoke(app, ["compare", *runs, "--json"]).stdout)
    told = {row["metric"]: row["difference"] for row in answer["differences"]}
    assert told["cost.usd_marginal_per_1k_interactions"] == pytest.approx(-1.0)
    assert told["cost.usd_marginal_per_month"] == pytest.approx(-3000.0)
    printed = CliRunner().invoke(app, ["compare", *runs], env={"COLUMNS": "200"}).output
    assert "USD a month, marginal" in printed
    for amount in ("−$3,000", "−$1.00", "$6,000"):
        assert amount in printed


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (("v0/1", "v2/2"), "was run at seed 2"),
        (("v0/1", "gone"), "holds no finished run"),
        (("v0/1", "v0/1"), "named twice"),
    ],
)
def test_runs_that_cannot_be_paired_are_one_line(tmp_path: Path, runs: tuple[str, ...], said: str) -> None:
    folder = made(tmp_path) / "runs"
    printed = CliRunner().invoke(app, ["compare", *(str(folder / run) for run in runs)])
    assert printed.exit_code == 2
    assert said in printed.output
    assert "Traceback" not in printed.output
