"""The page of a rehearsal: measured beside simulated times, and what the difference does to accuracy and dollars."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.reports.charts.rehearsal_charts import rehearsal_charts
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.notes import texts_but
from fleetrec.reports.data.quantities import number_text, seconds_text
from fleetrec.reports.data.rehearsal_folder import SOURCES, RehearsalRecords, read_rehearsal
from fleetrec.reports.html import words
from fleetrec.reports.html.render import write_page
from fleetrec.reports.html.tables import Cell, Head, Row, Table
from fleetrec.simulator.core.notes import PREDICTION_TEXT
from fleetrec.simulator.experiments.rehearsal.sentences import effect_text, headline, off_text, sender_text
from fleetrec.simulator.results.sentences import money, signed_share

_TIMES = (("ttft", "time to first token"), ("tpot", "per output token"), ("latency", "latency"))
_PARTS = {"first": "fitted part", "second": "part that judges", "all": "all"}
_COSTS = (
    "usd_provisioned_per_month",
    "usd_provisioned_per_1k_interactions",
    "usd_marginal_per_month",
    "usd_marginal_per_1k_interactions",
)
_ENDS = {
    "due": "due",
    "sent": "sent",
    "answered": "answered",
    "refused": "refused by the server",
    "timed_out": "no whole answer in time",
    "broken_off": "answer broke off",
    "no_answer": "answer that is none",
    "unreachable": "server not reached",
    "held_back": "not sent: too many under way",
    "unfinished": "under way when it ended",
    "late": "sent more than 20 ms late",
}


def write_rehearsal_page(folder: Path) -> Path:
    """Write report.html of a rehearsal's folder; InputError where the folder holds none that is whole."""
    records = read_rehearsal(folder)
    summary, charts = records.summary, rehearsal_charts(records)
    plan = summary["plan"]
    effect = effect_text(summary)
    options = (
        f"--url {plan['url']} --model {plan['model']} --speed {plan['speed']:g} --minutes {plan['seconds'] / 60:g}"
    )
    page = {
        "title": f"{summary['scenario']}, rehearsed at {plan['model']}",
        "kicker": "Rehearsal of a simulated load at a real server",
        "headline": headline(summary),
        "under_headline": [*([effect] if effect else []), sender_text(summary)],
        "warnings": _warnings(summary),
        "choices": [],
        "hangs_on": [],
        "cards": [],
        "charts": charts,
        "tables": {"times": _times(summary), "effect": _effect(summary), "sent": _sent(summary)},
        "scenario": records.scenario,
        "reading": [
            ("Measured", "As the client sees it: from when a request is sent to its first token and to its last."),
            ("Scenario's guess", _guess_text(records)),
            (
                "Fitted profile",
                "Step times, and how its speed spreads around them, fitted to the first part of the measured requests "
                "and simulated on all of them: percentiles are of several draws of that speed, curves of one.",
            ),
            (
                "Errors",
                "Simulated over measured, less one. Those of the part that was not fitted are the ones that count; "
                "intervals hold 95% of the errors to resamples of its measured requests, neighbours drawn together.",
            ),
            ("Cost account", words.ACCOUNTS),
        ],
        "notes": texts_but(summary),
        "reproduce": {
            "words": "The same load at the same moments; what a server then takes is measured anew.",
            "command": f"fleetrec rehearse scenario.yaml {options} --out again",
            "facts": [("seed", str(summary["seed"]))],
        },
        "caveat": PREDICTION_TEXT,
    }
    every = [chart for group in charts.values() for chart in group]
    data = {"charts": [chart.data for chart in every if chart.traces]}
    return write_page(folder / "report.html", "rehearsal.html.j2", page, data)


def _guess_text(records: RehearsalRecords) -> str:
    return (
        f"The measured requests, tokens and moments as they were, as the scenario's {records.summary['guess']} would "
        "have answered them (own GPUs: one replica)."
    )


def _warnings(summary: Mapping[str, Any]) -> list[str]:
    found = []
    if summary["met"] is False:
        found.append(
            "The fitted profile does not come as near to the requests that it has not seen as is to be expected."
        )
    if (summary["sent"]["late_share"] or 0.0) > 0.01:
        found.append("More than 1% of the requests were sent late, so the load was not quite the simulated one.")
    return found


def _times(summary: Mapping[str, Any]) -> Table:
    sources = [name for name in SOURCES if any(name in part for part in summary["times_s"].values())]
    rows = []
    for part in sorted(summary["times_s"], reverse=True):  # what judges comes first
        for key, name in _TIMES:
            for at in ("p50", "p95", "p99"):
                cells = [_time(summary, part, source, key, at) for source in sources]
                rows.append(
                    Row([Cell(f"{name}, {at}", _PARTS[part]), *cells], strong=(key, part) == ("latency", "second"))
                )
    heads = [Head("time"), *(Head(SOURCES[name]) for name in sources)]
    return Table("times-table", "Percentiles of each part, with the error of what was simulated.", heads, rows)


def _time(summary: Mapping[str, Any], part: str, source: str, key: str, at: str) -> Cell:
    value = summary["times_s"][part].get(source, {}).get(key, {}).get(at)
    error = summary["errors"][part].get(source, {}).get(f"{key}_{at}")
    told = "" if error is None else signed_share(error)
    if source == "profile" and error is not None:
        told = off_text(summary, part, f"{key}_{at}")
    return Cell(seconds_text(math.nan if value is None else value), told, value)


def _effect(summary: Mapping[str, Any]) -> Table | None:
    effect = summary.get("effect")
    if not effect:
        return None

    def row(name: str, key: str, text: Any) -> Row:
        held = [effect[source].get(key) for source in ("guess", "profile")]
        return Row([Cell(name), *(Cell("n/a" if value is None else text(value), value=value) for value in held)])

    rows = [
        row(effect["metric"].upper(), "accuracy", lambda value: f"{value:.4f}"),
        row("p95 request latency", "request_latency_p95_s", seconds_text),
        row("requests answered an interaction", "answered_ratio", number_text),
        *(row(metric(f"cost.{name}").label, name, money) for name in _COSTS),
        row("replicas needed", "replicas_provisioned", number_text),
    ]
    heads = [Head(""), Head("with the scenario's guess"), Head("with the fitted profile")]
    caption = (
        "The whole scenario, simulated as it is and with the server's own speed, at the prices of the scenario's GPU."
    )
    return Table("effect-table", caption, heads, rows)


def _sent(summary: Mapping[str, Any]) -> Table:
    sent, tokens, answers = summary["sent"], summary["tokens"], summary["answers"]
    rows = [Row([Cell(name), Cell(f"{sent[key]:,}", value=sent[key])]) for key, name in _ENDS.items()]
    for key, name in (("prompt_tokens", "tokens of a prompt"), ("output_tokens", "tokens of an answer")):
        for prefix, of in (("simulated_", "simulated"), ("", "as the server counts them")):
            value = tokens[f"{prefix}{key}"]
            rows.append(Row([Cell(f"{name}, {of}"), Cell(number_text(math.nan if value is None else value))]))
    rows.append(Row([Cell("answers with titles"), Cell(f"{answers['with_titles']:,}", value=answers["with_titles"])]))
    rows.append(Row([Cell("answers kept as lists"), Cell(f"{answers['lists']:,}", value=answers["lists"])]))
    recall = (answers.get("recall") or {}).get("as_of+1", {}).get("recall@10")
    if recall is not None:
        rows.append(Row([Cell("lists that hold the next item among ten"), Cell(f"{recall:.1%}", value=recall)]))
    return Table(
        "sent-table", "Requests by how they ended, their tokens, and their answers.", [Head(""), Head("")], rows
    )
