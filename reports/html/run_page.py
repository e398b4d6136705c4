"""The page of one run: headline, key figures, accuracy beside baselines, time, latency, lists, cost, scenario."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.metrics import accuracy_per_query, clustered_mean
from reports import bar_charts, charts, series
from reports.bar_charts import ACCOUNTS_NOTE
from reports.charts import Chart
from reports.estimates import Estimate, grouped_shares
from reports.html import words
from reports.html.render import write_page
from reports.html.tables import pairs_table, run_accuracy_table, run_groups_table
from reports.metric_names import metric
from reports.quantities import number_text, seconds_text
from reports.run_folder import ACCOUNTS, PREDICTION_NOT_ENGAGEMENT, RunRecords, read_run, setting, stated_cost
from simulator.wording import counted

_TOTALS = (
    ("marginal account, USD", "usd_marginal"),
    ("provisioned account, USD, for the fleet that this one stands for", "usd_provisioned"),
    ("configured replicas, USD", "usd_replicas"),
    ("network, USD", "usd_network"),
    ("energy of the GPUs, J", "gpu_joules"),
    ("energy of the devices, J", "device_joules"),
    ("sent up, bytes", "bytes_up"),
    ("sent down, bytes", "bytes_down"),
    ("carbon, gCO2", "gco2"),
)


def write_run_page(folder: Path) -> Path:
    """Write report.html of a run's folder; InputError where the folder is not a whole run."""
    run = read_run(folder)
    intervals = _intervals(run)
    times = series.request_times_s(run)
    slate = run.interactions["slate_latency_s"].to_numpy(np.float64)
    objective_s = setting(run.scenario, "cloud", "slo", "p95_latency")
    drawn: dict[str, Any] = {
        "beside": _beside(run, intervals),
        "time": charts.over_time({run.title: run}),
        "latency": [
            charts.latency({"slate": slate}, "slate-latency", "Until a new slate is on screen"),
            charts.latency(times, "request-latency", "A request, from issue to delivery", objective_s),
        ],
        "lists": [chart for chart in (charts.staleness(run), charts.places(run)) if chart is not None],
        "cost": _cost_chart(run),
    }
    every = [drawn["beside"], *drawn["time"], *drawn["latency"], *drawn["lists"], drawn["cost"]]
    summary = run.summary
    page = {
        "run": run.run,
        "title": str(run.scenario.get("description") or run.title),
        "kicker": f"Run of {run.title}",
        "headline": str(summary.get("headline") or "no headline"),
        "under_headline": [words.quality_and_cost(summary).capitalize() + "."],
        "warnings": [],
        "cards": _cards(run, intervals),
        "charts": drawn,
        "tables": {
            "accuracy": run_accuracy_table(summary, intervals),
            "groups": run_groups_table(summary, run.k),
            "requests": _requests_table(run),
            "cost": _cost_table(run),
            "classes": _class_table(run),
            "regions": _region_table(run),
        },
        "scenario": (folder / "scenario.yaml").read_text(encoding="utf-8"),
        "reading": [
            ("Quality and cost", words.models_note(summary)),
            ("Cost account", words.account_note(summary)),
            ("Split", words.split_note(summary)),
            ("Intervals", words.OVER_USERS),
            ("Prediction, not engagement", words.PREDICTION),
        ],
        "notes": words.other_notes(summary),
        "reproduce": {
            "words": "With the scenario of this folder, defaults filled in; the same versions give the same bytes.",
            "command": "python cli.py simulate scenario.yaml --out again",
            "facts": [("seed", str(summary.get("seed"))), *words.versions(summary.get("versions") or {})],
        },
        "caveat": PREDICTION_NOT_ENGAGEMENT,
    }
    data = {"charts": [chart.data for chart in every if chart.traces]}
    return write_page(folder / "report.html", "run.html.j2", page, data)


def _intervals(run: RunRecords) -> dict[str, Estimate]:
    """95% intervals of the run's accuracies at every reported k, users being clusters."""
    ranks = run.interactions["rank"].to_numpy(np.int64)
    found: dict[str, Estimate] = {}
    for k in [int(k) for k in setting(run.scenario, "metrics", "k") or (run.k,)]:
        per_query = accuracy_per_query(ranks, (k,))
        hit = grouped_shares(per_query[f"hr@{k}"] > 0, np.zeros(len(ranks), np.int64), run.users, 1)
        found[f"hr@{k}"] = Estimate(float(hit.share[0]), float(hit.low[0]), float(hit.high[0]))
        for name in (f"ndcg@{k}", f"mrr@{k}"):
            mean, half = clustered_mean(per_query[name], run.users)
            found[name] = Estimate(mean, max(mean - half, 0.0), min(mean + half, 1.0))
    return found


def _cards(run: RunRecords, intervals: Mapping[str, Estimate]) -> list[dict[str, str]]:
    summary = run.summary

    def card(name: str, key: str, note: str = "") -> dict[str, str]:
        value = setting(summary, *key.split("."))
        return {
            "name": name,
            "value": metric(key).text(value if isinstance(value, int | float) else None),
            "note": note,
        }

    accuracy = []
    for name in (f"ndcg@{run.k}", f"hr@{run.k}"):
        held = intervals[name]
        note = f"{held.low:.4f} to {held.high:.4f}" if math.isfinite(held.low) else ""
        accuracy.append(card(name.upper(), f"accuracy.{name}", note))
    replicas = setting(summary, "cost", "replicas_provisioned")
    return [
        *accuracy,
        card("requests sent an interaction", "requests.ratio", _asked(summary)),
        card("p95 request latency", "latency_s.request.p95"),
        card(
            "USD per 1,000 interactions, provisioned",
            "cost.usd_provisioned_per_1k_interactions",
            counted(replicas, "replica") if isinstance(replicas, int) else "the objective cannot be met",
        ),
        card("USD per 1,000 interactions, marginal", "cost.usd_marginal_per_1k_interactions"),
        card("staleness of the list", "freshness.mean_staleness", "interactions not seen, in the mean"),
        {
            "name": "simulated",
            "value": seconds_text(run.span_s),
            "note": f"{counted(len(run.devices), 'device')}, {counted(len(run.interactions), 'interaction')}",
        },
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
        x = charts.numbers([math.nan if value is None else value for value in values])
        nothing = [0.0] * (len(rows) - 1)
        ends = {
            "array": [*charts.numbers([own.high - own.mean]), *nothing],
            "arrayminus": [*charts.numbers([own.mean - own.low]), *nothing],
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
        "ticktext": [charts.plain(row) for row in rows],
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
    return bar_charts.accounts(["this run"], held, [0], "US dollars per 1,000 interactions", note)


def _requests_table(run: RunRecords) -> Any:
    counts = run.requests["outcome"].value_counts()
    total = max(len(run.requests), 1)
    rows = [
        [str(name), f"{int(n):,}", f"{n / total:.1%}"] for name, n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return pairs_table(
        "requests", f"How {counted(len(run.requests), 'request')} ended", ["outcome", "requests", "share"], rows
    )


def _cost_table(run: RunRecords) -> Any:
    cost, n = run.summary.get("cost") or {}, len(run.interactions)
    rows = []
    for name, key in _TOTALS:
        value = cost.get(key)
        if isinstance(value, int | float):
            each = cost.get(f"{key}_per_1k_interactions", value * 1000 / n if n else None)
            rows.append([name, number_text(float(value)), "n/a" if each is None else number_text(each)])
    return pairs_table("cost-table", "What the run cost", ["", "whole run", "per 1,000 interactions"], rows)


def _class_table(run: RunRecords) -> Any:
    groups = run.devices.groupby("class", sort=True)
    rows = [
        [
            str(name),
            f"{len(held):,}",
            *(number_text(float(held[c].mean())) for c in ("joules", "bytes_up", "bytes_down")),
        ]
        for name, held in groups
    ]
    heads = ["class", "devices", "J a device", "bytes up a device", "bytes down a device"]
    return pairs_table("classes", "By device class", heads, rows)


def _region_table(run: RunRecords) -> Any:
    """Each region's figures; None where there are no regions."""
    regions = setting(run.summary, "by_region")
    if not regions:
        return None
    columns = {
        f"NDCG@{run.k}": f"accuracy.ndcg@{run.k}",
        "requests sent an interaction": "requests.ratio",
        "p95 request latency": "latency_s.request.p95",
        "the cloud is busy": "cloud.utilization",
        "replicas provisioned": "cost.replicas_provisioned",
        "USD per 1,000 interactions": "cost.usd_provisioned_per_1k_interactions",
    }
    rows = [
        [
            str(name),
            f"{own['devices']:,}",
            *(metric(key).text(setting(own, *key.split("."))) for key in columns.values()),
        ]
        for name, own in regions.items()
    ]
    return pairs_table("regions", "By region", ["region", "devices", *columns], rows)
