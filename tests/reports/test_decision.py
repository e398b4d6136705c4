"""A decision on its page, in figures and on the terminal: one sentence, one figure, one table, a month beside all."""

import io
import json

import pytest
from rich.console import Console

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.figures.decision import draw_decision
from fleetrec.reports.html.decision_page import write_decision_page
from fleetrec.reports.terminal.decision import print_decision
from fleetrec.simulator.experiments.decision.answer import decide
from fleetrec.simulator.experiments.decision.value import Value
from fleetrec.simulator.scenario.sections import Currency
from tests.reports.decisions import decided
from tests.reports.pages import HOSTILE, data_of, read
from tests.simulator.experiments.decision.worlds import sweep_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return decided(tmp_path_factory.mktemp("decision") / "sweep")


@pytest.fixture(scope="module")
def decision(folder):
    return json.loads((folder / "decision.json").read_text())


def shown(decision):
    out = io.StringIO()
    print_decision(decision, Console(file=out, width=100, highlight=False))
    return " ".join(out.getvalue().split())


def test_the_page_begins_with_the_sentence_and_holds_the_figure_the_table_and_the_marks(folder, decision):
    page = read(write_decision_page(folder))
    assert decision["sentence"] in page.text
    assert page.addresses == [one for one in page.addresses if one.startswith(("#", "data:"))]
    assert {"decision", "policies", "quality", "policies-table", "circumstances"} <= page.ids
    charts = {chart["id"]: chart for chart in data_of(folder / "decision.html")["charts"]}
    names = [trace["name"] for trace in charts["quality"]["traces"]]
    assert {"the scenario's own LLM: 0.4000", "my LLM: 0.3100"} <= set(names)
    bars = [trace for trace in charts["decision"]["traces"] if trace.get("line", {}).get("width") == 14]
    ends = [[point["value"]["mean"] for point in axis["points"]] for axis in decision["axes"]]
    assert [bar["x"] for bar in bars] == [pytest.approx([min(end), max(end)], rel=1e-4) for end in ends]


def test_money_is_told_in_the_currency_of_the_scenario_and_kept_in_us_dollars(tmp_path, decision):
    folder = sweep_of(tmp_path / "sweep", {"never": (0.3, 0.0), "all": (0.5, 1.0)})
    for path in folder.rglob("scenario.yaml"):
        path.write_text("name: made\ntariffs: {currency: {code: EUR, per_usd: 0.5}}\n")
    euro, usd = Currency(code="EUR", per_usd=0.5), decide(folder, Value(worth_usd=1.0))
    assert Value(worth_usd=0.5).in_usd(euro) == Value(worth_usd=1.0)
    assert usd["policies"][1]["usd_per_month"]["mean"] == pytest.approx(3006)
    assert "Run 'all', at €1,500 a month" in usd["sentence"]
    assert "which at €0.500 for 0.01" in usd["sentence"]
    assert "$" not in usd["sentence"]
    page = read(write_decision_page(folder))
    for said in (
        "EUR a month",
        "EUR per 1,000 interactions",
        "here 0.5 EUR are told for each",
        "fleetrec decide . --worth 0.5",
    ):
        assert said in page.text
    charts = {chart["id"]: chart for chart in data_of(folder / "decision.html")["charts"]}
    spent = next(trace for trace in charts["policies"]["traces"] if trace["name"] == "all")
    assert spent["x"] == [pytest.approx(1503)]
    assert charts["policies"]["layout"]["xaxis"]["tickformat"][0] == "$"
    assert "€1,500" in shown(usd)
    assert "$" not in shown(usd)


def test_every_policy_has_its_month_beside_the_thousand_interactions(folder, decision):
    text = read(write_decision_page(folder)).text
    for said in ("US dollars a month", "US dollars per 1,000 interactions", "J", "gCO2", "represented fleet"):
        assert said in text
    assert "$3,010" in text  # $1.002 for each of 3,000 thousand interactions
    assert "$3,010" in shown(decision)
    assert decision["sentence"] in shown(decision)


def test_a_name_from_a_scenario_is_text(tmp_path):
    page = read(write_decision_page(decided(tmp_path / "sweep", HOSTILE)))
    assert page.count.get("img") is None
    assert HOSTILE in page.text


@pytest.mark.parametrize(("worth", "budget"), [(None, None), (None, 1e6), (0.001, None)])
def test_a_decision_of_any_kind_has_its_page_figures_and_words(tmp_path, worth, budget):
    folder = decided(tmp_path / "sweep", worth=worth, budget=budget)
    held = json.loads((folder / "decision.json").read_text())
    text = read(write_decision_page(folder)).text
    assert held["value"]["taken"][1:] in text
    assert held["value"]["taken"] in shown(held)
    drawn = draw_decision(folder)
    assert [path.name for path in drawn] == [
        f"{name}{end}" for name in ("decision", "policies", "quality") for end in (".png", ".svg")
    ]
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_a_decision_that_is_not_whole_is_refused(tmp_path):
    folder = decided(tmp_path / "sweep")
    (folder / "decision.json").write_text('{"sentence": ""}')
    with pytest.raises(InputError, match=r"decision.json: lacks 'call'; decide again"):
        write_decision_page(folder)
