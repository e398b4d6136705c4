"""Tables of one run's page: its two worlds side by side, how requests ended, costs, classes of devices, regions."""

import math
from collections.abc import Mapping
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data import series
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.metric_names import Metric, metric
from fleetrec.reports.data.months import of_fleet
from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.data.run_folder import RunRecords, on_api, setting, stated_cost
from fleetrec.reports.html.tables import Cell, Head, Row, Table, heads_of, pairs_table
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import PREFIX

_REGION_LIVES = ("choices_per_day", "slate_share", "churn_share")
_REGION_COSTS = ("cost.usd_provisioned_per_1k_interactions", "cost.usd_provisioned_per_month")
_PERCENTILES = ("p50", "p95", "p99")
_TOTALS = (
    "usd_marginal",
    "usd_provisioned",
    "usd_replicas",
    "usd_network",
    "gpu_joules",
    "device_joules",
    "bytes_up",
    "bytes_down",
    "gco2",
)
_MAY_BE_UNKNOWN = ("gpu_joules", "gco2")


def worlds_table(run: RunRecords) -> Table | None:
    """What the simulated phones met beside what the fleet that they stand for meets; None where a run lacks the latter.

    A figure that only one of the two has leaves the other's place empty.
    """
    represented = setting(run.summary, "represented")
    if not represented:
        return None
    kind = "replica" if setting(run.summary, "cloud", "cpu_seconds") is None else "core"

    def both(name: str, simulated: str, of_fleet: str) -> Row:
        of = metric(simulated or of_fleet)
        own, fleet = _value(run, simulated), _value(run, of_fleet)
        texts = [of.text(value) if math.isfinite(value) else "" for value in (own, fleet)]
        return Row([Cell(name), *map(Cell, texts)])

    api, needed = on_api(run.summary), represented.get("replicas")
    configured = None if api else setting(run.scenario, "cloud", "replicas")
    served = "on a hosted API" if api else f"on {counted(needed, kind)} that it needs" if needed else "no replicas do"
    rows = [
        Row([Cell("devices"), Cell(f"{len(run.devices):,}"), Cell(f"{represented.get('devices', 0):,}")]),
        Row([Cell(f"{kind}s"), _number_cell(configured), _cost_cell(run, metric("cost.replicas_provisioned"))]),
        Row([Cell("requests a second at the peak"), Cell(""), _cost_cell(run, metric("cost.requests_per_s_peak"))]),
        *(both(f"request latency, {p}", f"latency_s.request.{p}", f"represented.latency_s.{p}") for p in _PERCENTILES),
        *(
            both(f"of that, in the queue, {p}", f"latency_s.queue.{p}", f"represented.queue_s.{p}")
            for p in _PERCENTILES
        ),
        *(
            both(f"{name}, {p}", "", f"represented.{key}.{p}")
            for key, name in (("ttft_s", "time to first token"), ("tpot_s", "time per output token"))
            for p in (_PERCENTILES if key in represented else ())
        ),
        both("busy (share of time not idle)", "cloud.utilization", "represented.utilization"),
        both("headroom (load more that would do)", "cloud.headroom", "represented.headroom"),
        Row([Cell(f"{currency().label} a month"), Cell(""), _cost_cell(run, metric("cost.usd_provisioned_per_month"))]),
    ]
    heads = [
        Head(""),
        Head("simulated phones", "on the configured cloud"),
        Head("represented fleet", served),
    ]
    caption = "Two worlds: what was simulated, and the fleet that it stands for in its busiest stretch; 95% intervals"
    return Table("worlds", caption, heads, rows)


def _value(run: RunRecords, key: str) -> float:
    value = setting(run.summary, *key.split(".")) if key else None
    return float(value) if isinstance(value, int | float) else math.nan


def _number_cell(value: Any) -> Cell:
    return Cell(f"{value:,}" if isinstance(value, int) else "")


def _cost_cell(run: RunRecords, of: Metric) -> Cell:
    held: Estimate = stated_cost(run.summary, of.key.removeprefix("cost."))
    interval = f"{of.text(held.low)} to {of.text(held.high)}" if math.isfinite(held.low + held.high) else ""
    return Cell(of.text(held.mean), interval)


def requests_table(run: RunRecords) -> Table:
    """Requests by how they ended, and how many of those asked for were sent and answered."""
    counts = series.outcomes(run)
    total = max(len(run.requests), 1)
    rows = [
        [name.replace("_", " "), f"{n:,}", f"{n / total:.1%}"]
        for name, n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    steps = [(name, setting(run.summary, "requests", name)) for name in ("asked", "sent", "answered")]
    rows[:0] = [[f"{name}, in all", f"{n:,}", f"{n / total:.1%}"] for name, n in steps if isinstance(n, int)]
    caption = f"How {counted(len(run.requests), 'request')} ended"
    return pairs_table("requests", caption, ["outcome", "requests", "share"], rows, "simulated")


def cost_table(run: RunRecords) -> Table:
    """Money, joules, bytes and carbon: of the run, of 1,000 interactions, of a month of the represented fleet."""
    cost, n = run.summary.get("cost") or {}, len(run.interactions)
    times = of_fleet(run.summary)
    rows = []
    for key in _TOTALS:
        of, value = metric(f"cost.{key}"), cost.get(key)
        name = f"{of.label}{', of the fleet that this one stands for' if of.world == 'represented' else ''}"
        if value is None and key in _MAY_BE_UNKNOWN:
            rows.append([name, *["unknown: the hosted API does not tell"] * 3])
        if isinstance(value, int | float):
            each = cost.get(f"{key}_per_1k_interactions", value * 1000 / n if n else None)
            month = math.nan if key == "usd_replicas" else cost.get(f"{key}_per_month", value * times)
            rows.append([name, *map(of.text, (value, each, month))])
    heads = ["", "whole run", "per 1,000 interactions", "a month, represented fleet"]
    return pairs_table("cost-table", "What the run cost", heads, rows)


def class_table(run: RunRecords) -> Table:
    """Energy and bytes of a device, by class."""
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
    return pairs_table("classes", "By device class", heads, rows, "simulated")


def region_table(run: RunRecords) -> Table | None:
    """Each region's figures; None where there are no regions."""
    regions = setting(run.summary, "by_region")
    if not regions:
        return None
    keys = [f"{PREFIX}{name}" for name in _REGION_LIVES]
    keys += [f"accuracy.ndcg@{run.k}", "requests.ratio", "latency_s.request.p95", "represented.latency_s.p95"]
    keys += ["cloud.utilization", "represented.utilization", "cost.replicas_provisioned", *_REGION_COSTS]
    metrics = [metric(key) for key in keys if any(_known(own, key) for own in regions.values())]
    rows = []
    for name, own in regions.items():
        texts = [m.text(setting(own, *m.key.split("."))) for m in metrics]
        rows.append(Row([Cell(str(name)), Cell(f"{own['devices']:,}"), *map(Cell, texts)]))
    return Table("regions", "By region", [Head("region"), Head("devices"), *heads_of(metrics)], rows)


def _known(own: Mapping[str, Any], key: str) -> bool:
    return setting(own, *key.split(".")) is not None
