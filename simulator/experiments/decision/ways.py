"""What a month of the chosen policy costs, served in one way or another: own GPUs, autoscaled, on spot, a hosted API.

The runs say which requests its phones make; each way's bill is accounted anew from them (experiments/breakeven). What
users get is that of the runs: a way with other latencies would give them something else, which only a run of it tells.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json
from fleetrec.simulator.experiments.breakeven.breakeven import NAMES
from fleetrec.simulator.experiments.breakeven.monthly import Monthly, MonthlyBills, Way
from fleetrec.simulator.experiments.decision.judgement import Interval, Judged, estimate
from fleetrec.simulator.experiments.decision.sensitivity import Axis, Point
from fleetrec.simulator.experiments.decision.value import POINT
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.statistics import over_runs
from fleetrec.simulator.records.run_manifest import SUMMARY
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import Scenario

ANEW = "accounted anew"
_COLUMNS = {
    "requests": {"request", "device", "t_arrived_s", "prompt_tokens", "gpu_seconds", "usd_network"},
    "devices": {"user", "bytes_up", "bytes_down"},
    "interactions": {"device"},
}
"""of the tables that bills are made from"""


@dataclass(frozen=True)
class Served:
    """A month of the policy, served in one way."""

    way: Way
    usd_per_month: Interval
    net_usd_per_month: Interval | None
    replicas: float | None
    gpu_joules_per_month: float | None
    gco2_per_month: float | None

    def row(self) -> dict[str, Any]:
        """As JSON."""
        held = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return held | {"name": NAMES[self.way]}


def ways_of(folder: Path, judged: Judged, v: int) -> list[Served]:
    """The ways that the scenario has, for the represented fleet; none where its cloud cannot be billed so."""
    variant = judged.records.variants[v]
    held = ExperimentFolder(folder)
    places = [held.run_folder(variant, seed, training) for seed, training in judged.records.places]
    try:
        bills = [_bills(run_of(place)) for place in places]
    except InputError:
        return []
    return [_served(judged, v, way, [bill[way] for bill in bills]) for way in bills[0] if way != "none"]


def run_of(folder: Path) -> RunResult:
    """A finished run as bills need it, from its folder. InputError where it was made before they could be."""
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _COLUMNS}
    for name, wanted in _COLUMNS.items():
        if lacking := wanted - set(tables[name]):
            raise InputError(f"{folder / name}.parquet: has no {min(lacking)}; run it again")
    return RunResult(read_json(folder / SUMMARY), tables, Scenario.load(folder / "scenario.yaml"), folder=folder)


def _bills(run: RunResult) -> dict[Way, Monthly]:
    if run.scenario.regions or run.scenario.policy.slate.by_cloud_srm:
        raise InputError("regions have clouds of their own, and an SRM in the cloud has no GPUs")
    return MonthlyBills.of(run).at(run.summary["represented"]["devices"])


def _served(judged: Judged, v: int, way: Way, bills: list[Monthly]) -> Served:
    usd = np.array([[bill.usd for bill in bills]])  # [1, R]
    draws = np.stack([bill.draws for bill in bills])[None]  # [1, R, B]
    spent = estimate(over_runs(usd, judged.records.replicates, draws), 0)
    net = None
    if judged.value.worth_usd is not None:
        gain, times = judged.alone[0].gain, judged.value.worth_usd / POINT * judged.interactions_per_month(v) / 1000
        drawn = times * gain.resampled(judged.records.weights())[v : v + 1] - draws
        net = estimate(over_runs(times * gain.by_run[v : v + 1] - usd, judged.records.replicates, drawn), 0)

    def mean(name: str) -> float | None:
        values = [getattr(bill, name) for bill in bills]
        known = all(value is not None and math.isfinite(value) for value in values)
        return float(np.mean(values)) if known else None

    return Served(way, spent, net, mean("replicas"), mean("gpu_joules"), mean("gco2"))


def axis_of(judged: Judged, v: int, ways: list[Served]) -> Axis | None:
    """The way to serve as an axis of the decision, from the policy as its runs were served; None without a worth."""
    row = judged.row(v)
    known = [one for one in ways if one.net_usd_per_month and math.isfinite(one.usd_per_month["mean"])]
    if judged.value.worth_usd is None or not known:
        return None
    gain, policy = row["gain_over_best"], row["policy"]
    base = Point(policy, {}, row["net_usd_per_month"], gain, row["usd_per_month"], None, None)
    points = [
        Point(
            f"{policy}, served by: {NAMES[one.way]}",
            {},
            one.net_usd_per_month or {},
            gain,
            one.usd_per_month,
            None,
            None,
        )
        for one in known
    ]
    return Axis("way to serve", [base, *points], base, ANEW)
