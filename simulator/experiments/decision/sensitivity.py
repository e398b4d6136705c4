"""What a decision hangs on: the chosen policy in other circumstances, and where the answer would turn."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.user_files import read_json
from fleetrec.simulator.experiments.comparison.matched_runs import read_records
from fleetrec.simulator.experiments.decision.circumstances import Elsewhere
from fleetrec.simulator.experiments.decision.judgement import Judged, judge
from fleetrec.simulator.experiments.folders import ExperimentFolder, Variant
from fleetrec.simulator.records.run_manifest import SUMMARY
from fleetrec.simulator.results.sentences import money

QUALITY = "LLM quality"
SIMULATED, PRICED = "simulated", "priced anew"
_SCALES = {"fleet size": math.log}
"""axes whose numbers are compared by ratio"""


@dataclass(frozen=True)
class Point:
    """The chosen policy in some circumstances. value: net dollars a month, or the gain where no worth is known."""

    name: str
    settings: Mapping[str, Any]
    value: Mapping[str, float]
    gain: Mapping[str, float]
    usd_per_month: Mapping[str, float]
    quality: float | None
    """NDCG@10 of fresh lists in the LLM's own order, where the runs tell"""
    at: float | None
    """where it stands on its axis, where that is one of numbers"""

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "value": dict(self.value),
            "gain_over_best": dict(self.gain),
            "usd_per_month": dict(self.usd_per_month),
            "list_ndcg": self.quality,
        }


@dataclass(frozen=True)
class Axis:
    """One circumstance: the points tried, the base among them, in order."""

    name: str
    points: Sequence[Point]
    base: Point
    how: str = SIMULATED

    @property
    def swing(self) -> float:
        """From the least value to the most."""
        values = [point.value["mean"] for point in self.points]
        return max(values) - min(values)

    def turns(self) -> tuple[float, str] | None:
        """How far from the base, as a share of what was tried on that side, the value changes its sign, and at what."""
        return min((found for found in map(self._turn, self._sides()) if found is not None), default=None)

    def _sides(self) -> list[Sequence[Point]]:
        """From the base outward, on either side; points without numbers stand alone."""
        if any(point.at is None for point in self.points):
            return [[self.base, point] for point in self.points if point is not self.base]
        place = list(self.points).index(self.base)
        return [side for side in (self.points[place:], self.points[place::-1]) if len(side) > 1]

    def _turn(self, side: Sequence[Point]) -> tuple[float, str] | None:
        for low, high in pairwise(side):
            if (low.value["mean"] > 0) == (high.value["mean"] > 0):
                continue
            if low.at is None or high.at is None or side[0].at is None or side[-1].at is None:
                return 1.0, f"'{high.name.removeprefix(f'{self.base.name}, ')}'"
            scale = _SCALES.get(self.name, float)
            share = low.value["mean"] / (low.value["mean"] - high.value["mean"])
            at, first, last = (
                scale(low.at) + share * (scale(high.at) - scale(low.at)),
                scale(side[0].at),
                scale(side[-1].at),
            )
            return abs(at - first) / abs(last - first), self._told(math.exp(at) if scale is math.log else at)
        return None

    def _told(self, at: float) -> str:
        if self.name == QUALITY:
            return f"NDCG@10 {at:.4f} of fresh lists"
        if self.how == PRICED:
            worth = self.name == "worth of accuracy"
            return f"{money(at)} for 0.01 over 1,000 interactions" if worth else f"{at:.3g} times the price"
        return f"{self.name} {at:,.0f}" if at >= 1000 else f"{self.name} {at:.3g}"


def axes_of(
    folder: Path, judged: Judged, chosen: int, others: Sequence[Elsewhere], represents: int | None
) -> list[Axis]:
    """The axes on which the chosen policy was simulated elsewhere, that with the largest swing first."""
    own = judged.records.variants[chosen]
    found = []
    for name in dict.fromkeys(other.axis for other in others):
        on_axis = [other for other in others if other.axis == name]
        keys = {key for other in on_axis for key in other.settings}
        base = _point(
            folder, judged, chosen, own, {key: own.settings.get(key) for key in sorted(keys)}, name, represents
        )
        points = [base]
        for other in on_axis:
            names = {other.variant.name} | ({other.beside.name} if other.beside else set())
            records, _ = read_records(folder, other.variant.name, names)
            there = judge(records, judged.value, judged.metric, judged.cost_name)
            points.append(
                _point(
                    folder, there, records.index(other.variant.name), other.variant, other.settings, name, represents
                )
            )
        if all(point.at is not None for point in points):
            points.sort(key=lambda point: point.at or 0.0)
        found.append(Axis(name, points, base))
    return sorted(found, key=lambda axis: -axis.swing)


def priced(judged: Judged, chosen: int, names: Collection[str]) -> list[Axis]:
    """The axes that change no run: worth and dollars, at half and at twice as much; those in `names` were simulated.

    Without a worth of accuracy the value of a policy hangs on neither.
    """
    value = judged.value
    if value.worth_usd is None:
        return []
    base = judged.row(chosen)
    found = []
    for name in ("worth of accuracy", "prices"):
        if any(held.startswith(name) for held in names):
            continue
        points = []
        for times in (0.5, 1.0, 2.0):
            worth = replace(value, worth_usd=value.worth_usd * (times if name == "worth of accuracy" else 1.0))
            price = 1.0 if name == "worth of accuracy" else times
            net = judged.at(worth, price, chosen)
            at = worth.worth_usd if name == "worth of accuracy" else times
            usd = {end: held * price for end, held in base["usd_per_month"].items()}
            called = base["policy"] if times == 1.0 else f"{base['policy']}, {name}: {_TIMES[times]}"
            points.append(Point(called, {}, net, base["gain_over_best"], usd, None, at))
        found.append(Axis(name, points, points[1], PRICED))
    return found


_TIMES = {0.5: "half", 2.0: "twice"}


def _point(
    folder: Path,
    judged: Judged,
    v: int,
    variant: Variant,
    settings: Mapping[str, Any],
    axis: str,
    represents: int | None,
) -> Point:
    row = judged.row(v)
    gain = row["gain_over_best"]
    quality = _list_ndcg(folder, judged, variant)
    at = quality if axis == QUALITY else _number(settings)
    if at is None and represents is not None and set(settings) == {"fleet.represents"}:
        at = float(represents)
    return Point(
        variant.name,
        settings,
        row.get("net_usd_per_month", gain),
        gain,
        row["usd_per_month"],
        quality,
        at,
    )


def _number(settings: Mapping[str, Any]) -> float | None:
    """The value of the one key of an axis, where it is a number."""
    values = list(settings.values())
    number = len(values) == 1 and isinstance(values[0], int | float) and not isinstance(values[0], bool)
    return float(values[0]) if number else None


def _list_ndcg(folder: Path, judged: Judged, variant: Variant) -> float | None:
    """Mean over runs of NDCG@10 of fresh lists in the LLM's own order, which each run measured on its interactions."""
    held = []
    for seed, training in judged.records.places:
        summary = read_json(ExperimentFolder(folder).run_folder(variant, seed, training) / SUMMARY)
        rows = [row["values"] for row in summary.get("hangs_on", ()) if row["key"] == "llm_quality"]
        held += [float(row["fresh_llm_order"]) for row in rows]
    return sum(held) / len(held) if held else None
