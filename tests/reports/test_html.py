"""HTML reports hold what the folder holds, load nothing, run nothing that a name smuggles in, and are reproducible."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from markupsafe import Markup

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.charts.experiment_charts import experiment_charts, frontier_chart, key_charts
from fleetrec.reports.charts.run_charts import COLOURS
from fleetrec.reports.data.experiment_folder import read_experiment
from fleetrec.reports.html import write_report
from fleetrec.reports.html.glossary import GLOSSARY, linked, word_id
from tests.reports.fake_experiments import COST, NDCG, answer_of, write_experiment
from tests.reports.fake_runs import write_run
from tests.reports.pages import HOSTILE, choice_texts, data_of, read


def test_a_report_loads_nothing_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "sweep")
    page = write_report(folder)
    assert page == folder / "report.html"
    found = read(page)
    assert [address for address in found.addresses if not address.startswith("#")] == ["data:,"]
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= found.ids
    assert "default-src 'none'" in page.read_text(encoding="utf-8")
    first = page.read_bytes()
    assert write_report(folder).read_bytes() == first


def test_an_experiments_report_says_question_answer_saving_caveats_and_how_to_reproduce(tmp_path: Path) -> None:
    text = read(write_report(write_experiment(tmp_path / "sweep"))).text
    for words in (
        "Which policy is worth its cost?",
        "inconsistency 20% costs a quarter less than always at the same accuracy.",
        "saves 25% of USD per 1,000 interactions, provisioned (at least 20%, with 95% over all variants): $0.03",
        "Quality of item_lm, cost of llama-3.1-8b",
        "Logged choices do not react to slates",
        "global_time at 80% of events",
        "fleetrec sweep experiment.yaml",
        "numpy 2.0.0",
        "4 more seeds would resolve the rest",
        "0.1835 to 0.1915",
    ):
        assert words in text


def test_keys_that_explain_nothing_are_not_drawn(tmp_path: Path) -> None:
    shares = [{"key": f"x.{i}", "metric": "ndcg@10", "share_of_variance": 0.0} for i in range(9)]
    text = read(write_report(write_experiment(tmp_path / "sweep", answer=answer_of(NAMES, sensitivity=shares)))).text
    assert "No key by itself explains a percent of what varies" in text
    assert "Share of the variance that each key explains" not in text


@pytest.mark.parametrize("kind", ["sweep", "run"])
def test_names_that_look_like_markup_are_shown_as_text(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "x"
    if kind == "sweep":
        names = ["a", "b", "c", HOSTILE]
        decision = decision_of(winner=HOSTILE, policy=HOSTILE, runner_up=None, ties=[["a", HOSTILE]])
        decision["nothing"][0]["baseline"] = HOSTILE
        hangs = [{"key": "llm", "text": HOSTILE, "values": {}}]
        answer = answer_of(
            names,
            notes=[{"key": "any", "text": HOSTILE, "values": {}}],
            decision=decision,
            winner=HOSTILE,
            hangs_on=hangs,
        )
        write_experiment(folder, names, question=HOSTILE, answer=answer)
    else:
        write_run(
            folder,
            devices=10,
            headline=HOSTILE,
            notes=[{"key": "any", "text": HOSTILE, "values": {}}],
            scenario=HOSTILE,
        )
    found = read(write_report(folder))
    assert found.count["script"] == 3
    assert "img" not in found.count
    assert HOSTILE in found.text


def test_without_conclusions_the_report_says_so_and_shows_the_results(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "sweep", concluded=False)
    text = read(write_report(folder)).text
    assert "no answer.json here" in text
    assert "no comparisons.parquet here" in text
    assert "Not compared yet, so none is named better. Highest mean: “always”" in text


def test_a_folder_that_is_nothing_and_damaged_files_are_one_line_each(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"not the folder of a run, a sweep"):
        write_report(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder"):
        write_report(tmp_path / "nowhere")
    folder = write_experiment(tmp_path / "sweep")
    for name in ("answer.json", "comparisons.parquet", "results.parquet", "experiment.json"):
        held = (folder / name).read_bytes()
        (folder / name).write_bytes(b"{")
        with pytest.raises(InputError, match=name.replace(".", r"\.")) as caught:
            write_report(folder)
        assert "\n" not in str(caught.value)
        (folder / name).write_bytes(held)
    (folder / "results.parquet").unlink()
    with pytest.raises(InputError, match=r"results\.parquet"):
        write_report(folder)


def test_failed_and_missing_runs_are_listed_with_the_reason(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "sweep")
    results = pd.read_parquet(folder / "results.parquet")
    gone = (results["seed"] == 3) & results["variant"].isin(["never", "always"])
    results[~gone].to_parquet(folder / "results.parquet", index=False)
    failed = folder / "runs" / "v0" / "3"
    failed.mkdir(parents=True)
    (failed / "failure.json").write_text(json.dumps({"error": "the disk is full"}), encoding="utf-8")
    text = read(write_report(folder)).text
    assert "1 run failed" in text
    assert "never 3 the disk is full" in text
    assert "always 3 not run yet" in text


def test_without_comparisons_intervals_are_students_t_over_seeds(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "sweep", concluded=False)
    results = pd.read_parquet(folder / "results.parquet")
    results.loc[results["variant"] == "never", NDCG] = [0.10, 0.12, 0.14]
    results.to_parquet(folder / "results.parquet", index=False)
    found = read_experiment(folder).estimate("never", NDCG)
    half = 4.302653 * 0.02 / math.sqrt(3)  # t(0.975, 2) from a table; the sample's deviation is 0.02
    assert (found.mean, found.low, found.high) == pytest.approx((0.12, 0.12 - half, 0.12 + half), rel=1e-6)


def test_the_front_is_the_answers_own_in_picture_table_and_script_and_without_an_answer_there_is_none(
    tmp_path: Path,
) -> None:
    """The answer leaves two variants off its front that, by their means, nothing beats: a page must not add them."""
    names = ("never", "random 20%", "inconsistency 20%", "always")
    front = [{"variant": name, "x": 0.0, "y": 0.0, "probability_on_front": 0.9} for name in ("never", "always")]
    folder = write_experiment(tmp_path / "sweep", names, answer=answer_of(names, frontier=front))
    experiment = read_experiment(folder)
    drawn = next(trace for trace in frontier_chart(experiment).traces if trace["name"] == "front")
    assert drawn["x"] == [0.01, 0.04]
    page = write_report(folder)
    assert data_of(page)["front"]["names"] == ["never", "always"]
    assert read(page).text.count("on the front (90%)") == 2 + 2  # in the table of variants and in that of costs
    assert read_experiment(write_experiment(tmp_path / "open", concluded=False)).front == []


def test_a_variant_has_one_colour_in_every_picture_of_a_page(tmp_path: Path) -> None:
    experiment = read_experiment(write_experiment(tmp_path / "sweep"))
    drawn = experiment_charts(experiment)
    found: dict[str, set[str]] = {}
    for chart in (frontier_chart(experiment), *drawn.time, drawn.latency):
        for trace in chart.traces:
            names = [name for name in experiment.looks if name in trace.get("name", "")]
            colour = (trace.get("marker") or trace["line"]).get("color")
            if names and "lines+markers" not in trace["mode"]:
                found.setdefault(names[0], set()).add(colour if trace["mode"] == "markers" else trace["line"]["color"])
    for name, colour in zip(experiment.shown, drawn.cost.traces[0]["marker"]["color"], strict=True):
        found[name].add(colour)
    assert found == {name: {COLOURS[place]} for name, place in experiment.looks.items()}
    assert data_of(write_report(tmp_path / "sweep"))["looks"] == experiment.looks


def test_the_cost_chart_draws_each_account_as_the_table_states_it(tmp_path: Path) -> None:
    """The marginal cost of a small fleet is above its provisioned one: neither is cut to fit the other."""
    run = write_run(tmp_path / "run", devices=20)
    page = data_of(write_report(run))
    (chart,) = [chart for chart in page["charts"] if chart["id"] == "cost"]
    assert [trace["x"] for trace in chart["traces"]] == [[0.0386], [0.07]]
    sweep = read_experiment(write_experiment(tmp_path / "sweep"))
    assert [trace["x"] for trace in experiment_charts(sweep).cost.traces] == [[0.01, 0.02, 0.03, 0.04], [0.07] * 4]


def test_no_line_joins_kinds_and_a_line_that_joins_quantities_keeps_their_distances(tmp_path: Path) -> None:
    kinds, weights = key_charts(read_experiment(write_experiment(tmp_path / "sweep")))
    assert [trace["mode"] for trace in kinds.traces] == ["markers", "markers"]
    assert (weights.traces[1]["mode"], weights.traces[1]["x"]) == ("lines+markers", [0.5, 1.5])


def test_each_word_of_the_glossary_is_explained_on_the_page_and_linked_where_it_is_met(tmp_path: Path) -> None:
    page = write_report(write_run(tmp_path / "run", devices=20))
    found = read(page)
    assert {word_id(word) for word in GLOSSARY} <= found.ids
    assert {"#word-provisioned", "#word-staleness", "#word-ndcg-k"} <= set(found.addresses)
    assert linked("HR@10 <b>of a slate</b> and a slate") == Markup(
        '<a class="word" href="#word-hr-k">HR@10</a> &lt;b&gt;of a <a class="word" href="#word-slate">slate</a>'
        "&lt;/b&gt; and a slate"
    )


NAMES = ("never", "random 20%", "inconsistency 20%", "always")


def decision_of(**changes: Any) -> dict[str, Any]:
    """A decision in which "random 20%" wins and the SRM alone is what doing nothing means."""
    nothing = {"baseline": "srm", "mean": 0.35, "low": 0.34, "high": 0.36, "variant": "random 20%", "shown": "adds"}
    base = {"call": "yes", "policy": "random 20%", "winner": "random 20%", "winner_by": "saving", "ties": []}
    return base | {"runner_up": "always", "nothing": [nothing], "more_seeds": None, "represents": 1000000} | changes


def test_winner_runner_up_and_doing_nothing_stand_beside_each_other_with_intervals_and_dollars_a_month(
    tmp_path: Path,
) -> None:
    folder = write_experiment(tmp_path / "sweep", answer=answer_of(NAMES, decision=decision_of(), winner="random 20%"))
    results = pd.read_parquet(folder / "results.parquet")
    results["cost.usd_provisioned_per_month"] = 21600.0 + 100 * (results["seed"] - 2)
    results.to_parquet(folder / "results.parquet", index=False)
    winner, second, nothing = choice_texts(write_report(folder))
    assert "; $0.01 is $" in frontier_chart(read_experiment(folder)).layout["xaxis"]["title"]["text"]
    # t(0.975, 2) = 4.303 from a table and a deviation of 100 over three seeds give 248, of which three digits are said
    month = "$21,600 a month 95%: $21,400 to $21,800"
    assert winner == f"Winner random 20% NDCG@10 0.1500 95%: 0.1460 to 0.1540 {month} as good for less"
    assert second == f"Runner-up always NDCG@10 0.1875 95%: 0.1835 to 0.1915 {month}"
    assert nothing == (
        "Doing nothing the phone's own model alone NDCG@10 0.3500 95%: 0.3400 to 0.3600 $0 a month no request is made "
        "calling is shown to add accuracy"
    )


def test_a_winner_that_the_answer_does_not_name_is_named_nowhere(tmp_path: Path) -> None:
    more = {"seeds": 1, "of": NDCG, "variant": "always", "against": "never", "effect": 0.01}
    decision = decision_of(winner=None, winner_by=None, runner_up=None, more_seeds=more)
    answer = answer_of(NAMES, decision=decision, winner=None, saving=None)
    page = write_report(write_experiment(tmp_path / "sweep", answer=answer))
    first, policy, _ = choice_texts(page)
    assert first == "Winner none is shown 1 more seed would show a difference as large as one seen"
    assert policy.startswith("Policy random 20%")
    assert policy.endswith("not shown to be better than the other variants")
    assert "winner," not in read(page).text
    assert data_of(page)["winner"] is None


def test_ties_and_policies_off_their_share_are_marked_as_such(tmp_path: Path) -> None:
    answer = answer_of(NAMES, decision=decision_of(ties=[["never", "always"]]))
    folder = write_experiment(tmp_path / "sweep", answer=answer)
    results = pd.read_parquet(folder / "results.parquet")
    own = results["variant"] == "random 20%"
    results["requests.wanted_ratio"] = np.where(own, 0.4, np.nan)
    results["requests.realised_ratio"] = np.where(own, 1.07, 0.3)
    results["requests.decisions"] = 10000.0
    results.to_parquet(folder / "results.parquet", index=False)
    text = read(write_report(folder)).text
    assert "never on the front (90%), tied with always" in text
    assert "random 20% on the front (90%), asked 107%, told 40%" in text
    assert "Not asked at the share that they were told: “random 20%” asked 107%, told 40%." in text


def test_an_optimisation_is_reproduced_by_its_goals_and_limits(tmp_path: Path) -> None:
    goals = {"accuracy.ndcg@10": "maximize", COST: "minimize"}
    limits = {"latency_s.slate.p95": 0.2}
    folder = write_experiment(tmp_path / "study", kind="optimisation", directions=goals, limits=limits)
    given = {"base": "scenarios/fake.yaml", "set": ["fleet.devices=9"], "trials": 12, "sampler": "tpe"}
    given |= {"sampler_seed": 3, "batch": 2}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    command = (
        "optimize scenarios/fake.yaml --set 'fleet.devices=9' --maximize accuracy.ndcg@10 "
        f"--minimize {COST} --limit latency_s.slate.p95=0.2 --seeds 1,2,3 --trials 12 --sampler tpe --sampler-seed 3 "
        "--batch 2 --space space.yaml"
    )
    assert command in read(write_report(folder)).text


def test_a_price_that_no_run_has_is_labelled_as_interpolated(tmp_path: Path) -> None:
    names = ("never", "random 20%", "random 60%", "always")
    saving = answer_of(names)["saving"]
    ends = {"family": "random", "below": "random 20%", "variant": "random 60%", "cost_of_run": 0.05}
    for interpolated in (True, False):
        answer = answer_of(names, saving=saving | ends | {"interpolated": interpolated})
        text = read(write_report(write_experiment(tmp_path / str(interpolated), names, answer=answer))).text
        assert ("“random”, between two of its runs, would save 25%" in text) == interpolated
        assert ("Interpolated: no run has this price" in text) == interpolated
        assert ("“random 60%” saves 25%" in text) != interpolated
    assert "which itself costs $0.05" in read(tmp_path / "True" / "report.html").text


def test_a_comparison_of_policies_has_a_report(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    rows = []
    for i, name in enumerate(("never", "always")):
        write_run(folder / name, devices=15, request_share=0.5 * i)
        rows.append({"policy": name, "folder": name, "accuracy": 0.1 + i / 20, "low": 0.09 + i / 20, "high": None})
    today = [{"policy": "SRM alone", "accuracy": 0.35, "low": 0.34, "high": 0.36, "cost": 0.0, "ratio": 0.0}]
    comparison = {
        "scenario": "fake",
        "seed": 7,
        "metric": "ndcg@10",
        "cost": COST.split(".")[1],
        "today": today,
        "policies": rows,
        "frontier": [{"variant": "always", "x": 0.04, "y": 0.15}],
        "headline": "'always' is the most accurate",
    }
    (folder / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")
    page = write_report(folder)
    text = read(page).text
    assert "'always' is the most accurate" in text
    assert "fleetrec compare-policies never/scenario.yaml" in text
    assert "SRM alone needs no cloud 0.3500 0.3400 to 0.3600 $0" in text
    assert choice_texts(page) == [
        "Without a cloud SRM alone NDCG@10 0.3500 95%: 0.3400 to 0.3600 $0 a month no request is made"
    ]
    assert data_of(page)["front"]["names"] == ["always"]
    (folder / "comparison.json").write_text(json.dumps({"seed": 1}), encoding="utf-8")
    with pytest.raises(InputError, match=r"comparison\.json: not a whole comparison"):
        write_report(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"decision": -1}, "decision: "),
        ({"decision": {"nothing": [1]}}, "decision.nothing.0: "),
        (
            {"decision": {"cheaper": {"variant": "never", "share_saved": 0.5}}},
            "the file: Value error, decision.cheaper",
        ),
        ({"frontier": [{"x": 1.0}]}, "frontier.0.variant: "),
        ({"today": [{"policy": "srm", "accuracy": None, "low": 0.0, "high": 1.0}]}, "today.0.accuracy: "),
        ({"metric": ["ndcg@10"]}, "metric: "),
    ],
    ids=["decision", "doing nothing", "cheaper", "front", "today", "metric"],
)
def test_an_answer_that_somebody_has_edited_is_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    folder = write_experiment(tmp_path / "sweep")
    path = folder / "answer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(f"answer.json: {said}")) as found:
        write_report(folder)
    assert str(found.value).isprintable()


def test_the_stated_cost_stands_on_the_axis_and_else_the_account_that_every_run_has(tmp_path: Path) -> None:
    stated = write_experiment(tmp_path / "stated")
    silent = write_experiment(tmp_path / "silent", concluded=False)
    for folder in (stated, silent):
        results = pd.read_parquet(folder / "results.parquet")
        results.loc[0, COST] = math.nan
        results.to_parquet(folder / "results.parquet", index=False)
    assert read_experiment(stated).cost == COST
    assert read_experiment(silent).cost == "cost.usd_marginal_per_1k_interactions"
