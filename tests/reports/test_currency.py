"""Money in the currency of the scenario on every page, figure and table; files hold US dollars."""

import io
import json
import re
from pathlib import Path

import matplotlib.text
import pytest
import yaml
from matplotlib.figure import Figure
from rich.console import Console

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.months import cent_a_month
from fleetrec.reports.data.quantities import money_tick
from fleetrec.reports.figures import style
from fleetrec.reports.figures.experiment_figures import draw_figures
from fleetrec.reports.html import write_report
from fleetrec.reports.terminal.comparison import print_comparison
from fleetrec.reports.terminal.summary import print_run_summary
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.experiments.comparison.compare import compare
from fleetrec.simulator.experiments.folders import currency_of
from fleetrec.simulator.results.sentences import calling, money
from fleetrec.simulator.scenario.sections import Currency
from tests.reports.fake_experiments import COST, write_experiment
from tests.reports.fake_runs import summary_of, write_run
from tests.reports.pages import data_of, read
from tests.simulator.experiments.decision.worlds import sweep_of

EURO = Currency(code="EUR", per_usd=0.5)
DOLLARS = re.compile(r"\$|USD|[Dd]ollar")


def in_euro(folder: Path) -> Path:
    """Every run in the folder of a scenario that tells money in euro."""
    for path in folder.rglob("scenario.yaml"):
        scenario = yaml.safe_load(path.read_text()) or {}
        path.write_text(yaml.safe_dump(scenario | {"tariffs": {"currency": EURO.model_dump()}}))
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of all figures that were saved."""
    words: list[str] = []
    save = style.save

    def keep(figure: Figure, path: Path, *run: str | None) -> Path:
        figure.draw_without_rendering()
        words.extend(text.get_text() for text in figure.findobj(matplotlib.text.Text))
        return save(figure, path, *run)

    monkeypatch.setattr(style, "save", keep)
    return words


@pytest.mark.parametrize(
    ("usd", "told"),
    [
        (1e6, "€500,000"),
        (-8e5, "−€400,000"),
        (0.004, "€0.00200"),
        (0.00004, "under €0.0001"),
        (0.0, "€0"),
        (float("nan"), "n/a"),
    ],
)
def test_an_amount_has_three_digits_and_its_minus_before_the_sign(usd: float, told: str) -> None:
    with told_in(EURO):
        assert money(usd) == told


def test_a_month_that_nobody_knows_is_of_the_currency_too() -> None:
    gain = {"mean": 0.01, "low": 0.005, "high": 0.015}
    with told_in(EURO):
        said = calling("yes", "NDCG@10", "'all'", "srm", 0.1, gain, None, None)
    assert said.endswith(", for EUR a month that are not known: the notes say why.")


def test_ticks_are_short_and_a_cent_of_the_currency_is_what_it_is_a_month() -> None:
    with told_in(EURO):
        assert [money_tick(value) for value in (-4e5, 2.5e9, 0.02)] == ["−€400k", "€2.5B", "€0.02"]
        assert cent_a_month(900_000.0) == "€0.01 is €9,000 a month"


@pytest.mark.parametrize("write", [write_run, write_experiment])
def test_pages_and_figures_of_runs_and_sweeps_know_no_dollar(tmp_path: Path, drawn: list[str], write) -> None:
    folder = in_euro(write(tmp_path / "made"))
    page = write_report(folder)
    draw_figures(folder)
    found = data_of(page)
    assert found["money"] == "€"
    assert "€" in read(page).text
    assert any("€" in text for text in drawn)
    for text in (read(page).text, *drawn):
        assert DOLLARS.search(text) is None, text


def test_the_browsers_points_are_in_the_currency_and_its_axis_of_cost_has_the_month(tmp_path: Path) -> None:
    found = data_of(write_report(in_euro(write_experiment(tmp_path / "made"))))
    at = next(i for i, metric in enumerate(found["metrics"]) if metric["key"] == COST)
    assert found["metrics"][at]["label"] == "EUR per 1,000 interactions, provisioned"
    assert [variant["values"][at][0] for variant in found["variants"]] == [0.005, 0.01, 0.015, 0.02]


def test_the_answer_and_tables_of_a_comparison_are_in_the_currency_of_its_baseline(tmp_path: Path) -> None:
    folder = in_euro(sweep_of(tmp_path / "sweep", {"never": (0.3, 0.0), "all": (0.5, 1.0)}))
    found = compare(folder)
    out = io.StringIO()
    with told_in(currency_of(folder)):
        print_comparison(found.table, found.answer, Console(file=out, width=100, highlight=False))
    assert "for €1,500 a month" in found.answer["headline"]
    assert "cost, EUR" in out.getvalue()
    assert DOLLARS.search(out.getvalue().replace("cost.usd_", "")) is None


def test_the_terminals_summary_of_a_run_is_in_the_currency() -> None:
    out, costs = io.StringIO(), summary_of()["cost"] | {"usd_marginal": 3.0}
    with told_in(EURO):
        print_run_summary(summary_of(cost=costs), Console(file=out, width=100, highlight=False))
    assert "€1.50 marginal" in out.getvalue()
    assert DOLLARS.search(out.getvalue()) is None


def test_a_damaged_scenario_of_a_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "scenario.yaml").write_text("tariffs: {currency: {code: EUR, per_usd: none}}\n")
    with pytest.raises(InputError, match=r"scenario.yaml: cannot be read \(.*\); run the scenario again"):
        currency_of(tmp_path)
    (tmp_path / "scenario.yaml").write_text(json.dumps([1]))
    with pytest.raises(InputError, match="cannot be read"):
        currency_of(tmp_path)
