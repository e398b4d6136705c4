"""What a month of the chosen policy costs, served in one way or another: own GPUs, autoscaled, on spot, a hosted API.

The runs say which requests its phones make; each way's bill is accounted anew from them (experiments/breakeven). What
users get is that of the runs: a way with other latencies would give them something else, which only a run of it tells.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.breakeven.bills import read_bills
from fleetrec.simulator.experiments.breakeven.breakeven import NAMES
from fleetrec.simulator.experiments.breakeven.monthly import Monthly, Way
from fleetrec.simulator.experiments.decision.judgement import Interval, Judged, estimate
from fleetrec.simulator.experiments.decision.sensitivity import Axis, Point
from fleetrec.simulator.experiments.decision.value import POINT
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.statistics import over_runs

ANEW = "accounted anew"


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
        of_runs = [read_bills(place) for place in places]
        bills = [of_run.at(of_run.represents) for of_run in of_runs]
    except InputError:
        return []
    return [_served(judged, v, way, [bill[way] for bill in bills]) for way in bills[0] if way != "none"]


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
    if judged.value.worth_usd is None or len(known) < 2:  # one is how the runs were served
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
