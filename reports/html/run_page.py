"""The page of one run: headline, key figures, accuracy beside baselines, time, latency, lists, cost, scenario."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.charts import bar_charts, run_charts
from fleetrec.reports.charts.bar_charts import ACCOUNTS_NOTE
from fleetrec.reports.charts.engagement_charts import engagement_charts
from fleetrec.reports.charts.run_charts import Chart
from fleetrec.reports.data import series
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.months import month_text, of_fleet
from fleetrec.reports.data.notes import caveat_of
from fleetrec.reports.data.quantities import seconds_text
from fleetrec.reports.data.run_folder import (
    ACCOUNTS,
    RunRecords,
    on_api,
    read_run,
    setting,
    stated_cost,
)
from fleetrec.reports.html import words
from fleetrec.reports.html.decision import PER_MONTH, Choice, interval_text, month_texts
from fleetrec.reports.html.engagement_tables import (
    engagement_groups_table,
    engagement_table,
    feedback_groups_table,
    feedback_table,
    fit_table,
    stated,
)
from fleetrec.reports.html.render import write_page
from fleetrec.reports.html.run_tables import class_table, cost_table, region_table, requests_table, worlds_table
from fleetrec.reports.html.tables import run_accuracy_table, run_groups_table
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import PREFIX
from fleetrec.simulator.results.sentences import WITHOUT_CLOUD, between, money, signed
from fleetrec.simulator.results.summary import off_share


def write_run_page(of: Path | RunRecords) -> Path:
    """Write report.html of a run's folder, or of what was read of one; InputError where it is not a whole run."""
    run = read_run(of) if isinstance(of, Path) else of
    intervals = series.accuracy_intervals(run)
    times = {name: series.request_times(run, name) for name in series.REQUEST_TIMES}
    slate = series.slate_times(run)
    objectives = series.latency_objectives(run)
    drawn: dict[str, Any] = {
        "engagement": engagement_charts(run),
        "beside": _beside(run, intervals),
        "time": run_charts.over_time({run.title: run}),
        "latency": [
            run_charts.latency({"slate": slate}, "slate-latency", "Until a new slate is on screen"),
            run_charts.latency(times, "request-latency", "A request, from issue to delivery", objectives),
        ],
        "lists": [chart for chart in (run_charts.staleness(run), run_charts.places(run)) if chart is not None],
        "cost": _cost_chart(run),
    }
    every = [*drawn["engagement"], drawn["beside"], *drawn["time"], *drawn["latency"], *drawn["lists"], drawn["cost"]]
    summary = run.summary
    page = {
        "run": run.run,
        "title": str(run.scenario.get("description") or run.title),
        "kicker": f"Run of {run.title}",
        "headline": str(summary.get("headline") or "no headline"),
        "under_headline": [words.as_sentence(words.quality_and_cost(summary))],
        "warnings": _warnings(summary),
        "choices": _choices(run, intervals),
        "hangs_on": words.hangs_on(summary),
        "cards": _cards(run, intervals),
        "charts": drawn,
        "tables": {
            "engagement": engagement_table(summary),
            "engagement_groups": engagement_groups_table(summary),
            "feedback": feedback_table(summary),
            "feedback_groups": feedback_groups_table(summary),
            "users_fit": fit_table(summary),
            "accuracy": run_accuracy_table(summary, intervals),
            "groups": run_groups_table(summary, run.k),
            "worlds": worlds_table(run),
            "requests": requests_table(run),
            "cost": cost_table(run),
            "classes": class_table(run),
            "regions": region_table(run),
        },
        "scenario": (run.folder / "scenario.yaml").read_text(encoding="utf-8"),
        "reading": [
            ("Quality and cost", words.models_note(summary)),
            ("Cost account", words.account_note(summary)),
            ("Split", words.split_note(summary)),
            ("Intervals", words.OVER_USERS),
            words.measured(summary),
        ],
        "notes": words.other_notes(summary),
        "reproduce": {
            "words": "With the scenario of this folder, defaults filled in; the same versions give the same bytes.",
            "command": "fleetrec simulate scenario.yaml --out again",
            "facts": [("seed", str(summary.get("seed"))), *words.versions(summary.get("versions") or {})],
        },
        "caveat": caveat_of(summary),
    }
    data = {"charts": [chart.data for chart in every if chart.traces]}
    return write_page(run.folder / "report.html", "run.html.j2", page, data)


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    off = off_share(summary.get("requests") or {})
    return [] if off is None else [f"The policy did not ask at the share that it was told: {off}."]


def _choices(run: RunRecords, intervals: Mapping[str, Estimate]) -> list[Choice]:
    """The run beside doing nothing: the best of the baselines that need no request."""
    of = metric(f"accuracy.ndcg@{run.k}")
    own, name = intervals[f"ndcg@{run.k}"], f"ndcg@{run.k}"
    month = month_texts(stated_cost(run.summary, PER_MONTH.removeprefix("cost.")))
    figures = [(f"{of.label} {of.text(own.mean)}", interval_text(of, own)), month]
    held = run.baselines(name)
    found = [Choice("This run", run.title, figures, colour=0)]
    if held:
        best = max(held, key=lambda baseline: held[baseline])
        alone = [(f"{of.label} {of.text(held[best])}", ""), (f"{money(0.0)} a month", "no request is made")]
        added = setting(run.summary, "gain_over", best)
        remark = f"the run adds {between(signed, added)} to it" if added else ""
        found.append(Choice("Doing nothing", WITHOUT_CLOUD.get(best, best), alone, remark))
    return found


_ENGAGED = ("choices_per_day", "slate_share", "return_share", "churn_share", "regret")
_MARGINAL = "cost.usd_marginal_per_1k_interactions"
_PROVISIONED = "cost.usd_provisioned_per_1k_interactions"


def _month(summary: Mapping[str, Any]) -> str:
    text = month_text(summary, _MARGINAL)
    return f"{text}, of the represented fleet" if text else ""


def _cards(run: RunRecords, intervals: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    """Key figures in two groups, since a figure is of one world or of the other."""
    summary = run.summary

    def card(name: str, key: str, note: str = "") -> dict[str, str]:
        value = setting(summary, *key.split("."))
        text = metric(key).text(value if isinstance(value, int | float) else None)
        return {"name": name, "value": text, "note": note}

    def cost(name: str, key: str) -> dict[str, str]:
        return card(name, key, interval_text(metric(key), stated_cost(summary, key.removeprefix("cost."))))

    accuracy = []
    for name in (f"ndcg@{run.k}", f"hr@{run.k}"):
        of = metric(f"accuracy.{name}")
        accuracy.append(card(name.upper(), of.key, interval_text(of, intervals[name])))
    replicas = setting(summary, "cost", "replicas_provisioned")
    engaged = []
    for name in _ENGAGED if "engagement" in summary else ():
        of, held = metric(f"{PREFIX}{name}"), stated(summary["engagement"], name)
        engaged.append(card(of.label, of.key, "" if held is None else interval_text(of, held)))
    simulated = [
        *engaged,
        *accuracy,
        card("requests sent an interaction", "requests.ratio", _asked(summary)),
        card("p95 request latency", "latency_s.request.p95"),
        card("staleness of the list", "freshness.mean_staleness", "interactions not seen, in the mean"),
        card(metric(_MARGINAL).label, _MARGINAL, _month(summary)),
    ]
    represented = [
        cost(f"{currency().label} a month", PER_MONTH),
        cost(metric(_PROVISIONED).label, _PROVISIONED),
        card("p95 request latency", "represented.latency_s.p95"),
    ]
    if not on_api(summary):
        represented += [
            cost("replicas needed", "cost.replicas_provisioned")
            if isinstance(replicas, int)
            else {"name": "replicas needed", "value": "n/a", "note": "the objective cannot be met"},
            card("busy", "represented.utilization", "share of the time not idle"),
            card("headroom", "represented.headroom", "load more that would do"),
        ]
    devices, interactions = counted(len(run.devices), "device"), counted(len(run.interactions), "interaction")
    fleet = setting(summary, "represented", "devices")
    where = "a hosted API whose limits are wide enough" if on_api(summary) else "the replicas that it needs"
    of_fleet = f": {counted(fleet, 'device')} in the busiest stretch" if isinstance(fleet, int) else ""
    return [
        {
            "title": f"The simulated phones, on the configured cloud: {devices}, {interactions}, "
            f"{seconds_text(run.span_s)}",
            "cards": simulated,
        },
        {"title": f"The represented fleet, on {where}{of_fleet}", "cards": represented},
    ]


def _asked(summary: Mapping[str, object]) -> str:
    """How many requests were asked for, sent and answered; nothing for a run of before these were told apart."""
    counts = [(name, setting(summary, "requests", name)) for name in ("asked", "sent", "answered")]
    return ", ".join(f"{value:,} {name}" for name, value in counts if isinstance(value, int))


def _beside(run: RunRecords, intervals: Mapping[str, Estimate]) -> Chart:
    """NDCG@k and HR@k of the run with intervals, above those of the baselines."""
    rows = ["this run", *(str(name) for name in run.summary.get("baselines") or {})]
    traces = []
    for name, colour, symbol in ((f"ndcg@{run.k}", "@blue", "circle"), (f"hr@{run.k}", "@vermilion", "diamond")):
        own = intervals[name]
        values = [own.mean, *(setting(run.summary, "baselines", row, name) for row in rows[1:])]
        x = run_charts.numbers([math.nan if value is None else value for value in values])
        nothing = [0.0] * (len(rows) - 1)
        ends = {
            "array": [*run_charts.numbers([own.high - own.mean]), *nothing],
            "arrayminus": [*run_charts.numbers([own.mean - own.low]), *nothing],
        }
        bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 5, **ends}
        marker = {"color": colour, "size": 11, "symbol": symbol}
        hover = "%{x:.4f}<extra>" + name.upper() + "</extra>"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name.upper(),
                "x": x,
                "y": list(range(len(rows))),
                "error_x": bars,
                "marker": marker,
                "hovertemplate": hover,
            }
        )
    yaxis = {
        "tickvals": list(range(len(rows))),
        "ticktext": [run_charts.plain(row) for row in rows],
        "autorange": "reversed",
    }
    layout = {"xaxis": {"title": {"text": "accuracy"}, "rangemode": "tozero"}, "yaxis": yaxis}
    title = f"NDCG@{run.k} and HR@{run.k}"
    note = "The bar is the run's 95% interval over users. Baselines rank the same interactions without a request."
    return Chart(
        "beside",
        title,
        f"{title} of the run and of each baseline; the table below has the figures.",
        traces,
        layout,
        note,
        150 + 34 * len(rows),
    )


def _cost_chart(run: RunRecords) -> Chart:
    """Dollars per 1,000 interactions on both accounts, each as summary.json states it."""
    held = {account: [stated_cost(run.summary, key)] for account, key in ACCOUNTS.items()}
    note = ACCOUNTS_NOTE
    if math.isnan(held["provisioned"][0].mean):
        note += " No number of replicas meets the objective, so there is no provisioned cost."
    thousands = len(run.interactions) / 1000 * of_fleet(run.summary)
    months = {account: [cost.mean * thousands for cost in costs] for account, costs in held.items()}
    return bar_charts.accounts(["this run"], held, [0], note, months)
