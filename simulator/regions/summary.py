"""summary.json of a run in regions: the totals, and each region's own figures under `by_region`.

Sums go in the order of the regions. Accuracy and percentiles are taken from the merged records, a column at a time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.core.notes import COST_ACCOUNT, Note, data_of, written
from fleetrec.simulator.engine.retraining import Trainer
from fleetrec.simulator.records.columns import Columns
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.regions.messages import RegionState
from fleetrec.simulator.regions.region import GAPS, OWNERS
from fleetrec.simulator.results import summary as parts
from fleetrec.simulator.results.account import account_figures, of_known, worst_of
from fleetrec.simulator.results.collect import pace
from fleetrec.simulator.results.engagement import engagement_headline
from fleetrec.simulator.results.lives import Told
from fleetrec.simulator.results.notes import CAVEAT, account_note
from fleetrec.simulator.results.update_summary import training_cost, update_section
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.regional import device_bounds

_OF_A_REGION = (
    "interactions",
    "accuracy",
    "engagement",
    "feedback",
    "requests",
    "latency_s",
    "freshness",
    "cloud",
    "cost",
    "represented",
)

Figures = dict[str, Any]


def fleet_summary(
    scenario: sections.Scenario,
    folders: list[Path],
    folder: Path,
    states: list[RegionState],
    trainer: Trainer | None,
    lived: Told | None,
    alone: NDArray[np.bool_] | None,
) -> Figures:
    """The summary of a run whose merged tables are in `folder`, from those and how the regions stand at the end.
    Where users react: what is told of them, and which interactions [M] they found by themselves."""
    own = [state.summary for state in states if state.summary is not None]
    columns = _Columns(folder, folders)
    ranks, users, ks = columns.of("interactions", "rank"), columns.of_regions(OWNERS, "user"), scenario.metrics.k
    n = len(ranks)
    judged = slice(None) if alone is None else alone
    ranks, users = ranks[judged], users[judged]
    accuracy = parts.accuracy_section(ranks, users, ks)
    baselines: Figures = {}
    gain: Figures = {}
    for name in own[0]["baselines"]:  # one after the other: each is of all interactions
        values = columns.of_regions("baselines", name)[judged]
        baselines[name] = parts.baseline_section(values, users, ks)
        gain |= parts.gain_section(ranks, {name: values}, users, ks)
    del ranks, users, values
    seen = Columns(folder / "interactions.parquet", ("as_of", "staleness", "list_age_s", "slate_latency_s"))
    requests = columns.frame(
        "requests", ["outcome", "bytes_up", "t_issued_s", "t_arrived_s", "t_started_s", "t_delivered_s"]
    )
    updates, horizon_s = columns.frame("updates"), own[0]["simulated_seconds"]
    trainings = training_cost(trainer, scenario.tariffs)
    devices = scenario.fleet.devices
    pushes = update_section(scenario.policy.update.kind, UpdateLog(0), updates, trainings, devices, horizon_s)
    for name in ("bytes_pushed", "bytes_uploaded"):
        pushes[name] = math.fsum(one["updates"][name] for one in own)
    represents = scenario.fleet.represents or devices
    threshold, bounds = own[0]["requests"]["threshold"], device_bounds(scenario.regions, devices)
    slate, names = scenario.policy.slate, [region.name for region in scenario.regions]
    share = parts.share_section(scenario.policy, len(requests), int(columns.of("devices", "decisions").sum()))
    cost = _costs(
        [one["cost"] for one in own],
        n,
        represents,
        represents / devices,
        trainings.usd,
        columns.frame("account"),
        horizon_s,
    )
    summary = {
        **{name: own[0][name] for name in ("schema_version", "scenario", "seed")},
        "headline": "",  # below, of all the rest
        "notes": data_of(*merged_notes(slate, scenario.cloud, names, [state.notes for state in states], represents)),
        **{name: own[0][name] for name in ("split", "simulated_seconds", "starts_at")},
        "devices": devices,
        "interactions": n,
        "accuracy": accuracy,
        "accuracy_by": {
            kind: _pooled_groups([one["accuracy_by"][kind] for one in own]) for kind in own[0]["accuracy_by"]
        },
        "baselines": baselines,
        "gain_over": gain,
        "freshness": parts.freshness_section(seen),
        **({} if lived is None else lived.sections),
        **({"users_fit": own[0]["users_fit"]} if "users_fit" in own[0] else {}),
        "requests": {**parts.request_section(requests, n), **share, "threshold": threshold},
        "latency_s": parts.latency_section(seen, requests),
        "pace": pace(columns.of_regions(GAPS, "gap_s"), requests),
        "cloud": _clouds([one["cloud"] for one in own], [state.up_s for state in states]),
        "updates": pushes,
        "cost": cost,
        "represented": worst_of([one["represented"] for one in own], represents),
        "hangs_on": own[0]["hangs_on"],
        "models": own[0]["models"],
        "by_region": {
            region.name: {"devices": high - low, "share": region.share, **_of_a_region(one)}
            for region, low, high, one in zip(scenario.regions, bounds, bounds[1:], own, strict=False)
        },
        "versions": own[0]["versions"],
    }
    with told_in(scenario.tariffs.currency):
        summary["headline"] = (
            parts.headline(scenario.policy, summary) if lived is None else engagement_headline(summary)
        )
    found: Figures = parts.finite(summary)
    return found


def _of_a_region(own: Figures) -> Figures:
    """What is told of one."""
    return {name: own[name] for name in _OF_A_REGION if name in own}


class _Columns:
    """Columns of the merged tables in `folder`, and of what else the regions have left in theirs."""

    def __init__(self, folder: Path, folders: list[Path]):
        self._folder, self._folders = folder, folders

    def frame(self, table: str, names: list[str] | None = None) -> pd.DataFrame:
        return pd.read_parquet(self._folder / f"{table}.parquet", columns=names)

    def of(self, table: str, name: str) -> NDArray[Any]:
        return Columns(self._folder / f"{table}.parquet", (name,))[name]

    def of_regions(self, file: str, name: str) -> NDArray[Any]:
        return np.concatenate([Columns(folder / f"{file}.parquet", (name,))[name] for folder in self._folders])


def _pooled_groups(regions: list[Figures]) -> Figures:
    """Accuracy within groups of interactions, which several regions may have."""
    groups: dict[str, list[Figures]] = {}
    for region in regions:
        for name, figures in region.items():
            groups.setdefault(name, []).append(figures)
    return {name: _pooled(figures) for name, figures in groups.items()}


def _pooled(figures: list[Figures]) -> Figures:
    counts = [one["interactions"] for one in figures]
    means = {
        name: math.fsum(count * one[name] for count, one in zip(counts, figures, strict=True)) / sum(counts)
        for name in figures[0]
        if name != "interactions"
    }
    return {"interactions": sum(counts), **means}


def _clouds(regions: list[Figures], up_s: list[float]) -> Figures:
    """Sums over the nodes; utilization is the share of all replicas' time in which they were busy, headroom that of the
    region with the least."""
    total = _totals([{k: v for k, v in one.items() if k not in ("utilization", "headroom")} for one in regions])
    busy = math.fsum((one["utilization"] or 0.0) * up for one, up in zip(regions, up_s, strict=True))
    utilization = busy / sum(up_s) if sum(up_s) > 0 else 0.0
    return {**total, "utilization": utilization, "headroom": of_known([one["headroom"] for one in regions], min)}


def _totals(sections: list[Figures]) -> Figures:
    """Sums of figures, and of those in sections below; some may be of some regions alone."""
    values = {
        name: [one[name] for one in sections if name in one]
        for name in dict.fromkeys(n for one in sections for n in one)
    }
    return {name: _totals(found) if isinstance(found[0], dict) else _sum(found) for name, found in values.items()}


def _costs(
    regions: list[Figures],
    n: int,
    represents: int,
    scale: float,
    training_usd: float,
    draws: pd.DataFrame,
    span_s: float,
) -> Figures:
    """Sums over the regions; trainings, which are the fleet's, on top. `draws` [B] are those of the whole fleet."""
    sums = {name: _sum([one[name] for one in regions]) for name in regions[0]}
    usd = sums["usd_marginal"] + training_usd
    provisioned = math.nan if sums["usd_provisioned"] is None else sums["usd_provisioned"] + training_usd * scale
    return (
        sums
        | {
            "usd_marginal": usd,
            "usd_training": training_usd,
            "usd_marginal_per_1k_interactions": 1000 * usd / max(n, 1),
        }
        | account_figures(
            sums["requests_per_s_peak"], sums["replicas_provisioned"], provisioned, n * scale, span_s, represents, draws
        )
    )


def _sum(values: list[Any]) -> Any:
    """The sum, whole where all are; None where one has none."""
    if any(value is None for value in values):
        return None
    return sum(values) if all(isinstance(value, int) for value in values) else math.fsum(values)


class _Ends:
    """The least and the most of some numbers, written as one where they look the same."""

    def __init__(self, values: Iterable[float]):
        self._values = sorted(values)

    def __format__(self, form: str) -> str:
        low, high = (format(value, form) for value in (self._values[0], self._values[-1]))
        return low if low == high else f"{low} to {high}"


def merged_notes(
    slate: sections.Slate,
    cloud: sections.Cloud,
    names: Sequence[str],
    regions: Sequence[Sequence[Note]],
    represents: int,
) -> list[Note]:
    """What all regions note, what some do by name, and what the cost account is.

    Notes that differ in numbers alone are one, with the range of each number; its value is then that of each region.
    """
    told: dict[tuple[object, ...], dict[str, Note]] = {}
    for name, own in zip(names, regions, strict=True):
        for one in own:
            if one.key not in (CAVEAT.key, COST_ACCOUNT):
                words = [str(value) for value in one.values.values() if not _is_number(value)]
                told.setdefault((one.key, one.template, *words), {})[name] = one
    account = account_note(slate, cloud, "each region's objective for its share", represents)
    replayed = [CAVEAT] if any(one.key == CAVEAT.key for own in regions for one in own) else []
    return [*(_merged(who, len(regions)) for who in told.values()), account, *replayed]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _merged(who: Mapping[str, Note], regions: int) -> Note:
    first, values, shown = next(iter(who.values())), {}, {}
    for name, value in first.values.items():
        each = {region: one.values[name] for region, one in who.items()}
        alike = not _is_number(value) or len(set(each.values())) == 1
        values[name] = shown[name] = value
        if not alike:
            values[name], shown[name] = each, _Ends(each.values())
    where = f"region {', '.join(who)}: " if len(who) < regions else "each region: " if values != first.values else ""
    if len(who) < regions:
        values["regions"] = list(who)
    return Note(first.key, where + written(first.template, shown), values, first.template)
