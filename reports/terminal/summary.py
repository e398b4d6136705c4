"""What a run and a comparison of policies print: the answer first, then figures, then notes."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.months import month_text
from fleetrec.reports.data.quantities import number_text, seconds_text
from fleetrec.reports.data.run_folder import on_api, setting
from fleetrec.reports.terminal.parts import WIDTH, cell, new_table, write_line, write_notes
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import PREFIX
from fleetrec.simulator.results.sentences import money

_MOST_ASSUMPTIONS = 3
"""of what an answer hangs on, those that matter most come first"""
_OUTCOMES = ("completed", "timed_out", "rejected", "lost", "abandoned", "unfinished")
_COLUMNS = {
    "policy": "policy",
    "accuracy": "accuracy",
    "half_width": "95% ±",
    "hr@10": "HR@10",
    "cost": "{currency}\nper 1k",
    "usd_per_month": "{currency}\na month",
    "realised_ratio": "share\nasked",
    "ratio": "requests\nsent",
    "mean_staleness": "list\nstaleness",
    "latency_p95_s": "p95\nlatency",
}
_REGION_LIVES = {"choices_per_day": "items\na day", "churn_share": "stopped"}
_IF_THERE_IS_ROOM = ("realised_ratio", "hr@10", "mean_staleness")


def print_run_summary(summary: Mapping[str, Any], console: Console) -> None:
    """What `simulate` ends with: the headline, accuracy beside the baselines, requests, latency, cost, notes."""
    write_line(console, str(summary.get("headline") or "no headline"), "bold")
    write_line(console, "")
    _accuracy_table(summary, console)
    write_line(console, "")
    facts = new_table(console, ("", ""), left=2, heads_shown=False)
    for name, text in [*_engaged(summary), *_facts(summary)]:
        facts.add_row(name, text)
    console.print(facts)
    if summary.get("by_region"):
        _region_table(summary["by_region"], console)
    assumed = [str(row["text"]) for row in summary.get("hangs_on") or ()]
    write_line(console, "")
    for text in assumed[:_MOST_ASSUMPTIONS]:
        write_line(console, f"hangs on: {text}")
    write_line(console, "")
    write_notes(summary, console)


def _region_table(regions: Mapping[str, Any], console: Console) -> None:
    """One line a region: its size, accuracy, or what users did who react, latency, the use of its cloud and what it
    costs."""
    first = next(iter(regions.values()))
    accuracy = first["accuracy"]
    ndcg = "ndcg@10" if "ndcg@10" in accuracy else next(name for name in accuracy if name.startswith("ndcg@"))
    told = {f"accuracy.{ndcg}": ndcg.upper()}
    if "engagement" in first:
        told = {f"{PREFIX}{name}": text for name, text in _REGION_LIVES.items()}
    heads = (
        "region",
        "devices",
        *told.values(),
        "requests",
        "p95\nlatency",
        "cloud\nuse",
        "replicas\nneeded",
        f"{currency().code}\nper 1k",
        f"{currency().code}\na month",
    )
    table = new_table(console, heads)
    for name, own in regions.items():
        cells = {
            "devices": own["devices"],
            **{key: setting(own, *key.split(".")) for key in told},
            "asked": own["requests"]["asked"],
            "latency_s": own["latency_s"]["request"]["p95"],
            "utilization": own["cloud"]["utilization"],
            "replicas_provisioned": own["cost"]["replicas_provisioned"],
            "usd": own["cost"]["usd_provisioned_per_1k_interactions"],
            "usd_per_month": own["cost"]["usd_provisioned_per_month"],
        }
        table.add_row(escape(name), *(cell(key, value) for key, value in cells.items()))
    write_line(console, "")
    console.print(table)


def print_policy_comparison(comparison: Mapping[str, Any], console: Console) -> None:
    """What comparison.json holds: its headline, a line for what is there today and for each policy, its notes. Columns
    that no row has are left out."""
    write_line(console, comparison["headline"], "bold")
    write_line(console, "")
    full = [{**row, "half_width": _half_width(row)} for row in (*comparison["today"], *comparison["policies"])]
    wanted = [key for key in _COLUMNS if console.width >= WIDTH or key not in _IF_THERE_IS_ROOM]
    shown = [key for key in wanted if any(row.get(key) is not None for row in full)]
    table = new_table(console, [_COLUMNS[key].format(currency=currency().code) for key in shown])
    for row in full:
        table.add_row(*(escape(cell(key, row.get(key))) for key in shown))
    console.print(table)
    write_line(console, "")
    write_notes(comparison, console)


def _half_width(row: Mapping[str, Any]) -> float | None:
    low, high = row.get("low"), row.get("high")
    return None if low is None or high is None else (float(high) - float(low)) / 2


def _accuracy_table(summary: Mapping[str, Any], console: Console) -> None:
    accuracy = summary.get("accuracy") or {}
    keys = [key for key in accuracy if key.startswith(("hr@", "ndcg@"))]
    of = "found alone" if "engagement" in summary else ""
    table = new_table(console, [of, *(key.upper() for key in keys)])
    table.add_row("this run", *(cell(key, accuracy.get(key)) for key in keys))
    baselines = {name: values or {} for name, values in (summary.get("baselines") or {}).items()}
    last = keys[-1] if keys else ""
    for name in sorted(baselines, key=lambda name: (-(baselines[name].get(last) or 0.0), name)):
        table.add_row(escape(f"baseline {name}"), *(cell(key, baselines[name].get(key)) for key in keys))
    console.print(table)


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    def value(*keys: str) -> float:
        found = setting(summary, *keys)
        return math.nan if found is None else float(found)

    def known(key: str) -> str:
        return "unknown" if math.isnan(value("cost", key)) else number_text(value("cost", key))

    def count(*keys: str) -> str:
        found = value(*keys)
        return "n/a" if math.isnan(found) else f"{found:,.0f}"

    def latency(part: str) -> str:
        names = ("p50", "p95", "p99")
        texts = [seconds_text(value("latency_s", part, name)) for name in names]
        return "none" if set(texts) == {"n/a"} else ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True))

    def dollars(key: str) -> str:
        return money(value("cost", key))

    server, api = "replica" if setting(summary, "cloud", "cpu_seconds") is None else "core", on_api(summary)
    ended = [
        f"{name.replace('_', ' ')} {count('requests', name)}" for name in _OUTCOMES[1:] if value("requests", name) > 0
    ]
    asked = ", ".join(
        f"{name} {count('requests', name)} ({number_text(value('requests', key))} an interaction)"
        for name, key in (("asked", "asked_ratio"), ("sent", "ratio"), ("answered", "answered_ratio"))
    )
    month = month_text(summary, "cost.usd_marginal_per_1k_interactions")
    gap_to_response = value("pace", "gap_to_response")
    facts = [
        ("fleet", f"{counted(value('devices'), 'device')}, {counted(value('interactions'), 'interaction')}"),
        ("simulated", seconds_text(value("simulated_seconds"))),
        ("requests", asked + ("; " + ", ".join(ended) if ended else "")),
        ("slate latency", latency("slate")),
        ("request latency", latency("request")),
        ("queueing", latency("queue")),
        ("list on screen", _freshness(value("freshness", "mean_staleness"), value("freshness", "mean_list_age_s"))),
        *([("hosted API", _api(value))] if setting(summary, "cloud", "api") else []),
        (
            "cloud",
            f"{number_text(value('cloud', 'gpu_seconds'))} GPU s; busy {cell('share', value('cloud', 'utilization'))} "
            "of the time (not idle, which is not full), " + _headroom(value("cloud", "headroom")),
        ),
        (
            "cost",
            f"{dollars('usd_marginal')} marginal, {dollars('usd_marginal_per_1k_interactions')} per 1,000 interactions"
            f"{f', {month} of the represented fleet' if month else ''}"
            + ("" if api else f"; {server}s, idle or not: {dollars('usd_replicas')}"),
        ),
        ("provisioned", _provisioned(value, dollars, "" if api else server)),
        ("represented", _represented(value, "" if api else server)),
        (
            "energy",
            f"devices {number_text(value('cost', 'device_joules'))} J; the cloud {known('gpu_joules')} J; "
            f"{known('gco2')} gCO2 in all",
        ),
    ]
    if not math.isnan(gap_to_response):
        text = f"the median gap between interactions is {number_text(gap_to_response)} times the median response time"
        facts.insert(7, ("pace", text))
    return [(name, escape(text)) for name, text in facts if not (api and name == "cloud")]


def _engaged(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What users did who react, where they do."""
    held, moved = summary.get("engagement"), summary.get("feedback")
    if held is None:
        return []

    def said(*names: str) -> str:
        found = [metric(f"{PREFIX}{name}") for name in names]
        return ", ".join(f"{of.label} {of.text(held[name])}" for of, name in zip(found, names, strict=True))

    rows = [
        ("users took", said("choices_per_day", "choices_per_session", "slate_share", "reciprocal_rank")),
        ("and else", said("skip_share", "wait_share", "left_early_share")),
        ("users came", said("sessions_per_day", "session_s", "return_share", "return_s", "churn_share")),
        ("it was worth", said("utility_per_day", "satisfaction", "screen_value", "regret")),
    ]
    if moved is not None:
        names = ("feedback.coverage", "feedback.gini", "feedback.gini_drift", "feedback.popularity_drift")
        told = [(metric(name), moved[name.removeprefix("feedback.")]) for name in names]
        rows.append(("feedback", ", ".join(f"{of.label} {of.text(value)}" for of, value in told)))
    return [(name, escape(text)) for name, text in rows]


def _api(value: Callable[..., float]) -> str:
    """What a hosted API has answered, refused and charged."""
    counts = ", ".join(
        f"{name} {value('cloud', 'api', key):,.0f}"
        for name, key in (("answered", "answered"), ("refused (429)", "refused_429"), ("away (503)", "unavailable_503"))
    )
    usd = ", ".join(
        f"{name} {money(value('cloud', 'api', f'usd_{key}'))}"
        for name, key in (("prompts", "input"), ("cached", "cached_input"), ("answers", "output"), ("fees", "fee"))
    )
    return f"{counts}; {usd}"


def _provisioned(value: Callable[..., float], dollars: Callable[[str], str], server: str) -> str:
    number, devices = value("cost", "replicas_provisioned"), value("cost", "devices_per_replica")
    if math.isnan(number):
        return f"no number of {server}s meets the objective"
    each = "" if math.isnan(devices) else f", one for {counted(devices, 'device')}"
    who = f"with {counted(number, server)}" if server else "paid to a hosted API"
    low, high = (value("cost", f"replicas_provisioned_{end}") for end in ("low", "high"))
    of_replicas = "" if math.isnan(low) or low == high else f" (95%: {low:,.0f} to {high:,.0f})"

    def sure(key: str) -> str:
        if math.isnan(value("cost", f"{key}_low")):
            return dollars(key)
        return f"{dollars(key)} (95%: {dollars(f'{key}_low')} to {dollars(f'{key}_high')})"

    monthly = "usd_provisioned_per_month"
    month = "" if math.isnan(value("cost", monthly)) else f"{sure(monthly)} a month, "
    return (
        f"{dollars('usd_provisioned')} {who}{of_replicas}{each}; {month}"
        f"{sure('usd_provisioned_per_1k_interactions')} per 1,000 interactions"
    )


def _represented(value: Callable[..., float], server: str) -> str:
    """What the represented fleet meets on the servers that it needs; the lines above are of the simulated phones."""
    if math.isnan(value("represented", "replicas")):
        return f"not known: no number of {server}s meets the objective"
    if server and not value("represented", "replicas") > 0:
        return "no request of the represented fleet is served"
    latency = ", ".join(f"{p} {seconds_text(value('represented', 'latency_s', p))}" for p in ("p50", "p95", "p99"))
    where = counted(value("represented", "replicas"), server) if server else "a hosted API whose limits are wide enough"
    busy = f"; busy {cell('share', value('represented', 'utilization'))} of the time, "
    return (
        f"{counted(value('represented', 'devices'), 'device')}, all active after the cut, on {where} at "
        f"{number_text(value('represented', 'requests_per_s'))} requests/s: request latency {latency}"
        + (busy + _headroom(value("represented", "headroom")) if server else "")
    )


def _headroom(share: float) -> str:
    """How much more load would do, in words; a large multiple is said as the times that it is of the busiest load."""
    if math.isnan(share):
        return "headroom n/a"
    if share >= 1:
        return f"could take {number_text(1 + share)} times the busiest load"
    if share < 0:
        return f"overloaded: could take {1 + share:.1%} of the busiest load"
    return f"could take {share:.1%} more than the busiest load"


def _freshness(staleness: float, age_s: float) -> str:
    if math.isnan(staleness):
        return "no list was on screen"
    return f"{number_text(staleness)} interactions and {seconds_text(age_s)} old in the mean"
