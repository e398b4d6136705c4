"""Engagement of users who react: what they took, how long they stayed, whether they came back, and what it was worth.

Every figure is a ratio of two sums over devices, so that its interval counts users and differences between runs are
paired user by user.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.metrics import clustered_ratio
from fleetrec.simulator.core.notes import ENGAGEMENT, Note, note
from fleetrec.simulator.results.sentences import between, money

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PREFIX = "engagement."
RATIOS: Mapping[str, tuple[str, str]] = {
    "choices_per_day": ("choices", "days"),
    "choices_per_session": ("choices", "sessions"),
    "slate_share": ("from_slate", "choices"),
    "reciprocal_rank": ("reciprocal", "from_slate"),
    "skip_share": ("skips", "opportunities"),
    "wait_share": ("waits", "opportunities"),
    "sessions_per_day": ("sessions", "days"),
    "opportunities_per_session": ("opportunities", "sessions"),
    "session_s": ("session_s", "sessions"),
    "left_early_share": ("left_early", "sessions"),
    "return_share": ("sessions", "offered"),
    "return_s": ("away_s", "returns"),
    "churn_share": ("churned", "devices"),
    "satisfaction": ("satisfaction", "met"),
    "utility_per_choice": ("utility", "valued"),
    "utility_per_day": ("utility", "valued_days"),
    "screen_value": ("value", "looks"),
    "regret": ("regret", "looks"),
    "regret_per_day": ("regret", "valued_days"),
}
"""figures by the sums over devices that they are ratios of"""
WORDS: Mapping[str, str] = {
    "choices_per_day": "items taken a day",
    "choices_per_session": "items taken a session",
    "slate_share": "share of them from the slate",
    "reciprocal_rank": "reciprocal rank of what was taken from the slate",
    "skip_share": "share of opportunities skipped",
    "wait_share": "share of opportunities spent waiting",
    "sessions_per_day": "sessions a day",
    "opportunities_per_session": "opportunities a session",
    "session_s": "length of a session",
    "left_early_share": "share of sessions left early",
    "return_share": "share of sessions that users came to",
    "return_s": "time until the next session",
    "churn_share": "share of users who stopped for good",
    "satisfaction": "satisfaction at the end",
    "utility_per_choice": "utility of what was taken",
    "utility_per_day": "utility a day",
    "screen_value": "value of the screen",
    "regret": "regret a look, to the best screen",
    "regret_per_day": "regret a day",
}
_SIGNED = frozenset({"satisfaction", "utility_per_choice", "utility_per_day", "screen_value"})
LESS_IS_BETTER = frozenset(
    {"skip_share", "wait_share", "left_early_share", "return_s", "churn_share", "regret", "regret_per_day"}
)
FIRST = "choices_per_day"
"""what a comparison of runs is about where nobody says otherwise"""
_DAY_S = 86_400.0
_PRICED = {
    "choices_per_day": "an item more",
    "sessions_per_day": "a session more",
    "utility_per_day": "1 of utility more",
}


def priced_in(metric: str) -> str:
    """What the price of a gain in a metric is of: a hundredth of an accuracy, or what users do more of."""
    if not metric.startswith(PREFIX):
        return "0.01 over 1,000 interactions"
    return _PRICED.get(metric.removeprefix(PREFIX), "0.01 of a phone over a month")


def metric_words(metric: str) -> str:
    """The dotted name of a metric as it is said."""
    if metric.startswith("accuracy."):
        return metric.removeprefix("accuracy.").upper()
    return WORDS.get(metric.removeprefix(PREFIX), metric)


def bounds(name: str) -> tuple[float, float]:
    """What a figure cannot be below or above."""
    return (-math.inf if name in _SIGNED else 0.0), (
        1.0 if name.endswith("_share") or name == "reciprocal_rank" else math.inf
    )


def device_totals(opportunities: pd.DataFrame, devices: int, horizon_s: float) -> pd.DataFrame:
    """Sums [D] of what each device's user did, a column each (those of `RATIOS`). What items are worth to users of
    one's own is not known, and figures of it are none."""
    told = {name: column.to_numpy() for name, column in opportunities.items()}
    device, outcome = told["device"].astype(np.int64), told["outcome"]
    slate, away = outcome == "slate", outcome == "away"
    came, looks = ~away, np.isfinite(told["value"])
    choices = slate | (outcome == "organic")
    valued, days = choices & np.isfinite(told["utility"]), np.full(devices, horizon_s / _DAY_S)

    def total(values: Any, where: NDArray[np.bool_]) -> Floats:
        held = np.broadcast_to(np.asarray(values, dtype=np.float64), len(device))[where]
        return np.bincount(device[where], held, minlength=devices).astype(np.float64)

    # Rows are by device and time: a session's rows stand together.
    met, t_s = np.flatnonzero(came), told["t_s"]
    key = np.stack([device[met], told["session"][met].astype(np.int64)])
    first = np.ones(len(met), dtype=bool)
    first[1:] = (key[:, 1:] != key[:, :-1]).any(axis=0)
    last, newest = np.roll(first, -1), np.ones(len(met), dtype=bool)
    newest[:-1] = key[0, 1:] != key[0, :-1]
    begins, ends, ones = np.zeros((3, len(device)), dtype=bool)
    begins[met[first]], ends[met[last]], ones[met[newest]] = True, True, True
    returns = np.isfinite(told["return_s"])
    sessions = total(1, begins)
    return pd.DataFrame(
        {
            "devices": np.ones(devices),
            "days": days,
            "met": total(1, ones & np.isfinite(told["satisfaction"])),
            "opportunities": total(1, came),
            "choices": total(1, choices),
            "from_slate": total(1, slate),
            "reciprocal": total(1.0 / (np.maximum(told["place"], 0) + 1.0), slate),
            "skips": total(1, outcome == "skip"),
            "waits": total(1, outcome == "wait"),
            "sessions": sessions,
            "offered": sessions + total(1, away),
            "session_s": total(t_s, ends) - total(t_s, begins),
            "left_early": total(1, told["ends"] == "session"),
            "away_s": total(told["return_s"], returns),
            "returns": total(1, returns),
            "churned": total(1, told["ends"] == "life"),
            "satisfaction": total(told["satisfaction"], ones & np.isfinite(told["satisfaction"])),
            "utility": total(told["utility"], valued),
            "valued": total(1, valued),
            "valued_days": days * valued.any(),
            "looks": total(1, looks),
            "value": total(told["value"], looks),
            "regret": total(told["best_value"] - told["value"], looks),
        }
    )


def of_ratio(totals: pd.DataFrame, name: str) -> tuple[Floats, Floats]:
    """Sums [D] above and below the line of a figure."""
    above, below = RATIOS[name]
    return totals[above].to_numpy(np.float64), totals[below].to_numpy(np.float64)


def engagement_section(totals: pd.DataFrame, users: Ints) -> dict[str, Any]:
    """Counts, then every figure, then the 95% intervals of these, users [D] being clusters."""
    found: dict[str, Any] = {
        name: int(totals[name].sum()) for name in ("opportunities", "choices", "from_slate", "sessions")
    }
    intervals: dict[str, list[float]] = {}
    for name in RATIOS:
        mean, half = clustered_ratio(*of_ratio(totals, name), users)
        low, high = bounds(name)
        found[name], intervals[name] = mean, [max(mean - half, low), min(mean + half, high)]
    return found | {"intervals": intervals}


def engagement_by(
    totals: pd.DataFrame, users: Ints, groups: Mapping[str, tuple[Ints, Sequence[str]]]
) -> dict[str, Any]:
    """The same of each group of devices: for each way to part them, numbers [D] of names."""
    found: dict[str, Any] = {}
    for way, (numbers, names) in groups.items():
        held = {name: np.flatnonzero(numbers == number) for number, name in enumerate(names)}
        found[way] = {
            name: {"devices": len(some)} | engagement_section(totals.iloc[some], users[some])
            for name, some in held.items()
            if len(some)
        }
    return found


def thirds(values: Floats) -> Ints:
    """In which third [D] of the devices each one's value is; equal values are in the same one."""
    return np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")


def found_alone(interactions: pd.DataFrame, opportunities: pd.DataFrame) -> NDArray[np.bool_]:
    """Which interactions [M] users found by themselves, whatever the screen showed: what a prediction is judged on.

    Both tables are by device and time, and what was taken at an opportunity is an interaction."""
    outcome = opportunities["outcome"].to_numpy()
    taken = opportunities["device"].to_numpy()[np.isin(outcome, ("slate", "organic"))]
    alone = outcome[np.isin(outcome, ("slate", "organic"))] == "organic"
    order = np.lexsort((interactions["step"].to_numpy(), interactions["device"].to_numpy()))
    if not np.array_equal(taken, interactions["device"].to_numpy()[order]):
        raise ValueError("interactions and opportunities are not of one run")
    found = np.empty(len(order), dtype=bool)
    found[order] = alone
    return found


def engagement_headline(summary: Mapping[str, Any]) -> str:
    """The run in one line: what users took, where from, who left, and for what a month."""
    held, cost = summary["engagement"], summary["cost"]
    if not held["sessions"]:
        within = f"in the {summary['simulated_seconds']:,.0f} s that are simulated"
        return f"Nobody came to the screen {within}: set a longer duration, or other workload.arrivals or fleet.churn"
    name = "usd_provisioned_per_month"
    said = f"Users took {_stated(held, FIRST, '{:.2f}')} items a day each"
    if held["choices"]:
        said += f", {held['slate_share']:.0%} of them from the slate"
    said += f"; {_stated(held, 'churn_share', '{:.1%}')} stopped for good"
    if isinstance(cost.get(name), int | float) and math.isfinite(cost[name]):
        month = {"mean": cost[name], "low": cost[f"{name}_low"], "high": cost[f"{name}_high"]}
        said += f"; {between(money, month, 'a month')} for {summary['represented']['devices']:,} phones"
    return f"{said}. What a policy adds to that is told by `compare`, beside a run of another."


def _stated(held: Mapping[str, Any], name: str, form: str) -> str:
    low, high = held["intervals"][name]
    ends = "" if not math.isfinite(low) else f" (95%: {form.format(low)} to {form.format(high)})"
    return form.format(held[name]) + ends


def engagement_notes(users: str, model: str, calibrated: bool) -> list[Note]:
    """What a run measures whose users are of a kind and choose by a `model`; `calibrated`: its policy has a threshold
    that was found on replay."""
    said = (
        "users of kind {users} react to what they are shown, by {model}: results measure engagement in this model of "
        "users, and say nothing of what real people would do; accuracy is of what users found by themselves"
    )
    notes = [note(ENGAGEMENT, said, users=users, model=model)]
    if calibrated:
        text = (
            "the request threshold was calibrated on what users did before the run, and does not follow its share here"
        )
        notes.append(note("calibrated_on_replay", text))
    return notes
