"""What offline accuracy is worth: the policies of experiments/offline_accuracy.yaml where users take the log's items
whatever is shown, and where they choose, and how far their orders agree: in the built-in world, and with users fitted
on two real logs below FLEETREC_DATA.

    python benchmarks/offline_accuracy.py [--world NAME] [--out runs/offline_accuracy] [--jobs N] [--read] [--page FILE]
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from fleetrec.models.runtime.progress import RichProgress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.resampling import INTERVAL
from fleetrec.simulator.experiments.comparison.matched_runs import read_records
from fleetrec.simulator.experiments.comparison.records import RATIO, ExperimentRecords
from fleetrec.simulator.experiments.folders import full_metric
from fleetrec.simulator.experiments.sweeps import executor_for, make_plan, read_sweep, run_sweep
from fleetrec.simulator.experiments.sweeps.plan import Plan
from fleetrec.simulator.results.engagement import WORDS
from fleetrec.simulator.scenario import resolved_yaml

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]
"""a figure and the ends of its 95% interval"""

SWEEP = Path("experiments/offline_accuracy.yaml")
_SMALL = (
    "fleet.preloaded={lag: 0}",
    "srm={kind: gru4rec, dim: 32, layers: 1, max_length: 10, epochs: 4}",
    "llm.candidates.epochs=4",
    "engine.threads=1",
)
_IN_FLOAT32 = "llm.candidates.training={learning_rate: 3e-3, batch_size: 32, weight_decay: 0.01, dropout: 0.2}"
WORLDS: Mapping[str, tuple[Path | None, Sequence[str]]] = {
    "built-in": (None, ()),
    "ml-1m": (
        Path("scenarios/movielens_1m.yaml"),
        (*_SMALL, _IN_FLOAT32, "workload.interactions.where=user_id <= 1000"),
    ),
    "foursquare-nyc": (Path("scenarios/foursquare_nyc.yaml"), (*_SMALL, "duration=3d")),
}
"""the scenario that each starts from, if not the sweep's own, and what else it sets"""
NDCG, CHOICES, MONTH = "ndcg@10", "choices_per_day", "cost.usd_provisioned_per_month"
POPULARITY = "feedback.popularity"
ONLINE = (CHOICES, "utility_per_day", "sessions_per_day")
"""what users did where they choose, more of which is better"""
SHARES = ("10%", "30%")
SLOW = ("always, 30 s late", "always, 30 s late, blocking")
CHANGES = (
    ("repeats shown, not hidden (always asking)", "always, repeats shown", "always, repeats hidden"),
    ("repeats shown, not hidden (without the cloud)", "SRM alone, repeats shown", "SRM alone, repeats hidden"),
    ("fresh lists: always against never asking", "always", "never"),
    ("the cloud at all: always against the SRM alone", "always", "SRM alone"),
    ("the phone's part: fused against the LLM's own order", "always", "always, LLM order"),
    ("late answers: 30 s, the user goes on", SLOW[0], "always"),
    ("late answers: 30 s, the screen waits", SLOW[1], "always"),
)
"""one change at a time: what, the policy with it, and without"""
_MOST_PAIRS = 8


class Runs:
    """The finished runs of one kind of users: figures of policies [V], and under resamples of users [V, B]."""

    def __init__(self, folder: Path):
        self.records: ExperimentRecords
        self.records, _ = read_records(folder, None)
        self.names = [variant.name for variant in self.records.variants]
        self._weights, self._drawn = self.records.weights(), dict[str, Floats]()

    def means(self, metric: str) -> Floats:
        """[V]"""
        return np.asarray(self.records.measure(full_metric(metric)).means)

    def drawn(self, metric: str) -> Floats:
        """[V, B]: the same users are taken in a draw, whatever they do."""
        if metric not in self._drawn:
            draws = self.records.measure(full_metric(metric)).resampled(self._weights)
            self._drawn[metric] = np.asarray(draws.mean(axis=1))
        return self._drawn[metric]

    def difference(self, metric: str, one: str, other: str) -> Interval:
        """The one less the other, paired user by user: mean and ends of the 95% interval."""
        at, to = self.names.index(one), self.names.index(other)
        means, drawn = self.means(metric), self.drawn(metric)
        low, high = np.quantile(drawn[at] - drawn[to], INTERVAL)
        return float(means[at] - means[to]), float(low), float(high)


class World:
    """The same policies where users take the log's items, and where they choose."""

    def __init__(self, name: str, folder: Path):
        self.name, self.replay, self.choice = name, Runs(folder / "replay"), Runs(folder / "choice")
        self.names = self.choice.names
        if self.replay.names != self.names:
            raise SystemExit(f"{folder}: other policies have finished on replay than before people who choose")
        self.offline = self.replay.means(NDCG)
        self.told, self.acts = _shown_signs(self.replay.drawn(NDCG)), _shown_signs(self.choice.drawn(CHOICES))

    def agreement(self, metric: str) -> dict[str, Interval]:
        """Rank correlations of the orders by NDCG@10 on replay and by what users did."""
        online, drawn, found = self.choice.means(metric), self.choice.drawn(metric), {}
        offline = self.replay.drawn(NDCG)
        for name, statistic in (("Kendall's tau", kendalltau), ("Spearman's rho", spearmanr)):
            draws = [float(statistic(a, b).statistic) for a, b in zip(offline.T, drawn.T, strict=True)]
            low, high = np.nanquantile(draws, INTERVAL)
            found[name] = float(statistic(self.offline, online).statistic), float(low), float(high)
        return found

    def pairs(self) -> dict[str, int]:
        """How many pairs of policies are told apart by whom."""
        upper = np.triu_indices(len(self.names), 1)
        told, acts = self.told[upper], self.acts[upper]
        held = {"pairs": told >= -1, "replay": told != 0, "people": acts != 0, "both": (told != 0) & (acts != 0)}
        held |= {"against": told * acts < 0, "only replay": (told != 0) & (acts == 0)}
        return {name: int(which.sum()) for name, which in held.items()}

    def reversed(self) -> list[tuple[str, str]]:
        """Pairs (which replay prefers, which people prefer), the widest apart on replay first."""
        better, worse = np.nonzero((self.told > 0) & (self.acts < 0))
        order = np.argsort(self.offline[worse] - self.offline[better], kind="stable")
        return [(self.names[better[n]], self.names[worse[n]]) for n in order]

    def both(self, one: str, other: str) -> tuple[Interval, Interval]:
        """What one has over another: NDCG@10 on replay, and items a day where users choose."""
        return self.replay.difference(NDCG, one, other), self.choice.difference(CHOICES, one, other)

    def asked(self, name: str) -> float:
        """Requests an item taken, where users choose."""
        return float(self.choice.means(RATIO)[self.names.index(name)])


def _shown_signs(drawn: Floats) -> NDArray[np.int64]:
    """[V, V]: 1 where a policy is shown to be above another at 95%, -1 below, 0 where neither is."""
    low, high = np.quantile(drawn[:, None] - drawn[None], INTERVAL, axis=-1)
    return np.asarray((low > 0).astype(np.int64) - (high < 0))


def _told(found: Interval, form: str) -> str:
    """A figure with its interval."""
    return f"{form.format(found[0])} ({form.format(found[1])} to {form.format(found[2])})"


def _verdict(found: Interval, more: str, less: str) -> str:
    """What an interval shows."""
    return more if found[1] > 0 else less if found[2] < 0 else "no difference is shown"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _agreement(worlds: Sequence[World]) -> Iterator[str]:
    heads = ["world", "policies", "Kendall's tau", "Spearman's rho"]
    heads += ["pairs told apart by replay", "by people", "by both", "of which the other way round", "by replay alone"]
    rows = []
    for world in worlds:
        found, pairs = world.agreement(CHOICES), world.pairs()
        counts = [f"{pairs['replay']} of {pairs['pairs']}"]
        counts += [str(pairs[name]) for name in ("people", "both", "against", "only replay")]
        rows.append([world.name, str(len(world.names)), *(_told(one, "{:.2f}") for one in found.values()), *counts])
    yield from _table(heads, rows)


def _by_measure(worlds: Sequence[World]) -> Iterator[str]:
    rows = []
    for metric in (*ONLINE, NDCG):
        label = "NDCG@10 of what they find alone" if metric == NDCG else WORDS[metric]
        rows.append([label, *(_told(world.agreement(metric)["Kendall's tau"], "{:.2f}") for world in worlds)])
    yield from _table(["where users choose", *(world.name for world in worlds)], rows)


def _policies(world: World) -> Iterator[str]:
    forms = {NDCG: "{:.4f}", CHOICES: "{:.2f}", "utility_per_day": "{:.1f}", "return_share": "{:.1%}"}
    forms |= {"churn_share": "{:.1%}", POPULARITY: "{:.3f}", "regret": "{:.2f}", RATIO: "{:.2f}", MONTH: "{:,.0f}"}
    held = {metric: world.choice.means(metric) for metric in forms} | {NDCG: world.offline}
    place = np.argsort(np.argsort(-world.offline, kind="stable")) + 1
    rows = []
    for v in np.argsort(-held[CHOICES], kind="stable"):
        cells = [form.format(held[metric][v]) for metric, form in forms.items()]
        rows.append(
            [world.names[v], cells[0], str(place[v]), *("n/a" if cell == "nan" else cell for cell in cells[1:])]
        )
    heads = ["policy", "NDCG@10, replay", "place on replay", "items a day", "utility a day", "sessions come to"]
    yield from _table(
        [
            *heads,
            "stopped for good",
            "popularity of what they took",
            "regret a look",
            "requests an item",
            "dollars a month",
        ],
        rows,
    )


def _disagreements(world: World) -> Iterator[str]:
    found = world.reversed()
    if not found:
        yield from ("No pair is shown to be ordered one way by replay and the other way by people.", "")
        return
    often = [name for pair in found for name in pair]
    most = max(often, key=often.count)
    yield f"{often.count(most)} of the {len(found)} pairs are of '{most}'." + (
        f" The {_MOST_PAIRS} that are widest apart on replay:" if len(found) > _MOST_PAIRS else ""
    )
    yield ""
    rows = []
    for one, other in found[:_MOST_PAIRS]:
        first, then = world.both(one, other)
        rows.append([one, other, _told(first, "{:+.4f}"), _told(then, "{:+.2f}")])
    yield from _table(["replay prefers", "people prefer", "NDCG@10 on replay", "items a day"], rows)


def _named(world: World, name: str) -> str:
    """A policy that says what the world does anyway is the one that does not say it."""
    return name if name in world.names else name.partition(", repeats")[0]


def _changes(worlds: Sequence[World]) -> Iterator[str]:
    heads, rows = ["what is changed"], []
    heads += [f"{world.name}: {what}" for world in worlds for what in ("NDCG@10 on replay", "items a day")]
    for what, one, other in CHANGES:
        cells = [what]
        for world in worlds:
            first, then = world.both(*(_named(world, name) for name in (one, other)))
            cells += [_told(first, "{:+.4f}"), _told(then, "{:+.2f}")]
        rows.append(cells)
    yield from _table(heads, rows)


def _popularity(worlds: Sequence[World]) -> str:
    """Whether policies stand by how popular what was taken of them is."""
    found = []
    for world in worlds:
        taken = world.choice.means(POPULARITY)
        known = np.isfinite(taken)  # where enough was taken to tell
        orders = (world.offline, world.choice.means(CHOICES))
        on = [float(kendalltau(taken[known], order[known]).statistic) for order in orders]
        found.append(f"{on[0]:.2f} and {on[1]:.2f} {_where(world)}")
    told = "; ".join(found)
    return (
        f"Kendall's tau of the popularity of what was taken with NDCG@10 on replay, and with items a day: {told}. "
        "Where the second is high and the first is not, people take more of what is popular, and replay does not see "
        "it."
    )


def _requests(worlds: Sequence[World]) -> Iterator[str]:
    rows = []
    for world in worlds:
        for share in SHARES:
            pair = f"inconsistency {share}", f"random {share}"
            first, then = world.both(*pair)
            cells = [_told(first, "{:+.4f}"), _verdict(first, "it pays", "it costs")]
            cells += [_told(then, "{:+.2f}"), _verdict(then, "it pays", "it costs")]
            rows.append([f"{world.name}, {share}", *cells, " and ".join(f"{world.asked(name):.2f}" for name in pair)])
    heads = ["world, share of requests", "NDCG@10 on replay", "so", "items a day where users choose", "so"]
    yield from _table([*heads, "requests an item taken: by inconsistency, at random"], rows)


def _slower(worlds: Sequence[World]) -> Iterator[str]:
    of = {CHOICES: "{:+.2f}", "wait_share": "{:+.3f}", "return_share": "{:+.3f}", "churn_share": "{:+.3f}"}
    rows = []
    for world in worlds:
        for one in SLOW:
            moved = {metric: world.choice.difference(metric, one, "always") for metric in of}
            cells = [_told(moved[metric], form) for metric, form in of.items()]
            rows.append([f"{world.name}: {one}", _verdict(moved[CHOICES], "more", "fewer"), *cells])
    yield from _table(["against at once", "so", *(WORDS[metric] for metric in of)], rows)


def _where(world: World) -> str:
    return "in the built-in world" if world.name == "built-in" else f"on {world.name}"


def _in_short(worlds: Sequence[World]) -> Iterator[str]:
    """The answers, a line each."""
    found = [f"{_against(world)} {_where(world)}" for world in worlds]
    yield f"- Shown to be ordered one way by replay and the other way by people: {'; '.join(found)}."
    pays: dict[str, list[str]] = {}
    for world in worlds:
        for share in SHARES:
            taken = world.both(f"inconsistency {share}", f"random {share}")[1]
            pays.setdefault(_verdict(taken, "pays", "costs"), []).append(f"{_where(world)} at {share}")
    told = "; ".join(f"{verdict} {', '.join(places)}" for verdict, places in pays.items())
    yield f"- The paper's inconsistency request against as many at random, by items a day where users choose: {told}."
    lost: dict[str, list[str]] = {}
    for world in worlds:
        for one in SLOW:
            taken = world.choice.difference(CHOICES, one, "always")
            lost.setdefault(_verdict(taken, "more", "fewer"), []).append(f"{_where(world)} ('{one}')")
    told = "; ".join(f"{verdict} {', '.join(places)}" for verdict, places in lost.items())
    yield f"- A cloud that answers 30 s late against one that answers at once, by items a day: {told}."
    left = [
        f"{_where(world)} ('{one}')"
        for world in worlds
        for one in SLOW
        if world.choice.difference("churn_share", one, "always")[1] > 0
    ]
    yield f"- More people stop for good before a cloud that is late: {', '.join(left) or 'shown nowhere'}."
    yield ""


def _against(world: World) -> str:
    """How many pairs are reversed, and whose."""
    names = [name for pair in world.reversed() for name in pair]
    if not names:
        return "no pair"
    most = max(names, key=names.count)
    return f"{counted(len(names) // 2, 'pair')}, {names.count(most)} of them of '{most}',"


def page(worlds: Sequence[World]) -> str:
    """The page of the study, in Markdown."""
    taus = {world.name: world.agreement(CHOICES)["Kendall's tau"] for world in worlds}
    said = ", ".join(f"{_told(taus[world.name], '{:.2f}')} {_where(world)}" for world in worlds)
    records = worlds[0].choice.records
    seeds, devices = len(records.manifest.seeds), f"{records.results['devices'].iloc[0]:.0f}"
    lines = [
        "# What offline accuracy is worth",
        "",
        "Do policies that predict a log better make people choose more? The orders of policies by NDCG@10 on a "
        f"replayed log and by what people take a day where they choose agree with a Kendall's tau of {said}; intervals "
        "here are at 95%.",
        "",
        *_agreement(worlds),
        *_in_short(worlds),
        f"Made by `python benchmarks/offline_accuracy.py`: `experiments/offline_accuracy.yaml` at {seeds} seeds of "
        f"{devices} phones in each world, every policy on replay and before people who choose. The built-in world is "
        "that of `scenarios/closed_loop.yaml`, whose log goes back to earlier items in 15% of interactions; ml-1m and "
        "foursquare-nyc are those of `scenarios/movielens_1m.yaml` (the users numbered up to 1,000, pauses shortened a "
        "hundred times) and `scenarios/foursquare_nyc.yaml` (three days, pauses shortened ten times), with smaller "
        "models. Nobody goes back to a film, and four fifths of check-ins are at places had before: seen items are "
        "hidden but on foursquare-nyc. Seeds draw other phones, users and moods of the same log; models are trained "
        "once. Nothing here is of real people: those who choose do so by the utilities of the [built-in world]"
        "(synthetic_world.md), or by a model [fitted](fitted_users.md) on the log ([how](../how-to/users.md)).",
        "",
        "## How far the orders agree",
        "",
        "Kendall's tau with NDCG@10 on replay. All intervals are of 400 resamples of users, the same ones on replay "
        "and where they choose.",
        "",
        *_by_measure(worlds),
        "One seed of the built-in world, before logs were in this study: 0.53 (0.37 to 0.65) with items taken a day. "
        "While users of a log were pleased by finding nothing (before [`unmet`](../how-to/users.md)): 0.13 (-0.02 to "
        "0.23) and 0.58 (0.17 to 0.79), and with sessions a day -0.31 (-0.56 to 0.15) and -0.33 (-0.74 to 0.17), on "
        "ml-1m and foursquare-nyc.",
        "",
        "## Where they disagree",
        "",
    ]
    for world in worlds:
        lines += [f"### {world.name}", "", *_disagreements(world)]
    lines += ["Why, as far as one change at a time tells it:", "", *_changes(worlds), _popularity(worlds), ""]
    lines += ["## Does the paper's inconsistency request pay when users react?", "", *_requests(worlds)]
    lines += [
        "Both policies of a row are to send as many requests. A threshold of inconsistency is calibrated on replay and "
        "does not hold its share where users choose.",
        "",
        "## Does a slower cloud lose people?",
        "",
        *_slower(worlds),
        "## Every policy",
        "",
    ]
    for world in worlds:
        lines += [f"### {world.name}: what they come to", "", *_policies(world)]
    lines += [
        "## What this does not say",
        "",
        "People may be moved by what no utility here has. What taking nothing is worth, patience, satisfaction and "
        "returns are assumed in all three worlds. Users drawn anew are in the intervals, other logs and trainings are "
        "not.",
        "",
    ]
    return "\n".join(lines)


def _plan(world: str, users: str) -> Plan:
    """The sweep in a world, without policies that do what one before them does."""
    base, overrides = WORLDS[world]
    plan = make_plan(read_sweep(SWEEP, base), [f"workload.users={users}", *overrides], True)
    first = {resolved_yaml(plan.scenarios[one.name]): one for one in reversed(plan.manifest.variants)}
    return replace(plan, manifest=replace(plan.manifest, variants=list(first.values())[::-1]))


def main() -> None:
    """Run what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", choices=WORLDS, action="append", help="these alone; repeatable")
    parser.add_argument("--out", type=Path, default=Path("runs/offline_accuracy"))
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--page", type=Path, default=Path("docs/background/offline_accuracy.md"))
    parser.add_argument("--read", action="store_true", help="only read the runs that are there")
    arguments = parser.parse_args()
    names = arguments.world or [name for name in WORLDS if name == "built-in" or "FLEETREC_DATA" in os.environ]
    for name in () if arguments.read else names:
        for users in ("replay", "choice"):
            executor = executor_for("local", arguments.jobs)
            out = arguments.out / name / users
            run_sweep(_plan(name, users), out, executor, RichProgress(), print, True, conclude=False)
    worlds = [World(name, arguments.out / name) for name in names]
    arguments.page.write_text(page(worlds), encoding="utf-8")


if __name__ == "__main__":
    main()
