"""What offline accuracy is worth: the policies of experiments/offline_accuracy.yaml where users take the log's items
whatever is shown, and where they choose, and how far their orders agree.

    python benchmarks/offline_accuracy.py [--out runs/offline_accuracy] [--jobs N] [--read] [--page FILE.md]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from fleetrec.models.runtime.progress import RichProgress
from fleetrec.simulator.core.resampling import INTERVAL
from fleetrec.simulator.experiments.comparison.matched_runs import read_records
from fleetrec.simulator.experiments.comparison.records import RATIO, ExperimentRecords
from fleetrec.simulator.experiments.folders import full_metric
from fleetrec.simulator.experiments.sweeps import executor_for, make_plan, read_sweep, run_sweep
from fleetrec.simulator.results.engagement import WORDS

Floats = NDArray[np.float64]

SWEEP = Path("experiments/offline_accuracy.yaml")
NDCG, CHOICES = "ndcg@10", "choices_per_day"
ONLINE = (CHOICES, "utility_per_day", "sessions_per_day")
"""what users did where they choose, more of which is better"""
SLOW = ("always, 30 s late", "always, 30 s late, blocking")


class World:
    """The finished runs of one kind of users: figures of policies [V], and under resamples of users [V, B]."""

    def __init__(self, folder: Path, names: Sequence[str] | None = None):
        self.records: ExperimentRecords
        self.records, _ = read_records(folder, None)
        held = [variant.name for variant in self.records.variants]
        self.names = [name for name in held if names is None or name in names]
        self._places = [held.index(name) for name in self.names]
        self._weights = self.records.weights()

    def means(self, metric: str) -> Floats:
        """[V]"""
        return np.asarray(self.records.measure(full_metric(metric)).means[self._places])

    def drawn(self, metric: str) -> Floats:
        """[V, B]: the same users are taken in a draw, whoever the world is of."""
        return np.asarray(self.records.measure(full_metric(metric)).resampled(self._weights).mean(axis=1)[self._places])

    def difference(self, metric: str, one: str, other: str) -> tuple[float, float, float]:
        """The one less the other, paired user by user: mean and ends of the 95% interval."""
        at, to = self.records.index(one), self.records.index(other)
        found = self.records.measure(full_metric(metric)).difference(to)
        return float(found.mean[at]), float(found.low[at]), float(found.high[at])


def agreement(offline: Floats, online: Floats, drawn: tuple[Floats, Floats]) -> dict[str, tuple[float, float, float]]:
    """Rank correlations of two orders of policies [V], with intervals of their draws [V, B]."""
    found = {}
    for name, statistic in (("Kendall's tau", kendalltau), ("Spearman's rho", spearmanr)):
        draws = [float(statistic(a, b).statistic) for a, b in zip(drawn[0].T, drawn[1].T, strict=True)]
        low, high = np.nanquantile(draws, INTERVAL)
        found[name] = float(statistic(offline, online).statistic), float(low), float(high)
    return found


def shown_signs(drawn: Floats) -> NDArray[np.int64]:
    """[V, V]: 1 where a policy is shown to be above another at 95%, -1 below, 0 where neither is."""
    low, high = np.quantile(drawn[:, None] - drawn[None], INTERVAL, axis=-1)
    return np.asarray((low > 0).astype(np.int64) - (high < 0))


def told(found: tuple[float, float, float], form: str = "{:+.3f}") -> str:
    """A figure with its interval."""
    return f"{form.format(found[0])} (95%: {form.format(found[1])} to {form.format(found[2])})"


def verdict(found: tuple[float, float, float], more: str, less: str) -> str:
    """What an interval shows."""
    return more if found[1] > 0 else less if found[2] < 0 else "no difference is shown"


def page(replay: World, choice: World) -> str:
    """The page of the study, in Markdown."""
    names = choice.names
    offline, before = replay.means(NDCG), replay.drawn(NDCG)
    lines = ["# What offline accuracy is worth", ""]
    main = agreement(offline, choice.means(CHOICES), (before, choice.drawn(CHOICES)))
    tau = main["Kendall's tau"]
    signs, acts = shown_signs(before), shown_signs(choice.drawn(CHOICES))
    upper = np.triu_indices(len(names), 1)
    pairs = len(upper[0])
    both = (signs[upper] != 0) & (acts[upper] != 0)
    against = both & (signs[upper] != acts[upper])
    only_offline = (signs[upper] != 0) & (acts[upper] == 0)
    lines += [
        f"In the built-in world the orders of {len(names)} policies by NDCG@10 on a replayed log and by what people "
        f"take a day where they choose agree with a Kendall's tau of {told(tau, '{:.2f}')}. Of {pairs} pairs of "
        f"policies, {int((signs[upper] != 0).sum())} are told apart by replay and {int((acts[upper] != 0).sum())} by "
        f"people who choose; {int(both.sum())} by both, of which {int(against.sum())} the other way round. In "
        f"{int(only_offline.sum())} pairs replay shows a gain that people are not shown to act on.",
        "",
        "Made by `python benchmarks/offline_accuracy.py`, of the runs of `experiments/offline_accuracy.yaml`: "
        f"{choice.records.results['devices'].iloc[0]:.0f} phones, one day, one seed, so it holds for new users of one "
        "world. Nothing here is of real people: those who choose do so by the utilities of the "
        "[built-in world](synthetic_world.md) ([how](../how-to/users.md)), and in its log 15% of interactions go back "
        "to items had before, which users who choose find dull.",
        "",
        "## How far the orders agree",
        "",
        "| where users choose | Kendall's tau with NDCG@10 on replay | Spearman's rho |",
        "|---|---|---|",
    ]
    for metric in (*ONLINE, NDCG):
        found = agreement(offline, choice.means(metric), (before, choice.drawn(metric)))
        label = "NDCG@10 of what they find alone" if metric == NDCG else WORDS[metric]
        lines.append(f"| {label} | {' | '.join(told(one, '{:.2f}') for one in found.values())} |")
    lines += [
        "",
        "Intervals are of 400 resamples of users, the same ones in both worlds.",
        "",
        "## Every policy",
        "",
        "| policy | NDCG@10, replay | place on replay | items a day | utility a day | sessions come to "
        "| stopped for good | regret a look | requests an item | dollars a month |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    place = np.argsort(np.argsort(-offline, kind="stable")) + 1
    columns = [CHOICES, "utility_per_day", "return_share", "churn_share", "regret", RATIO]
    held = {metric: choice.means(metric) for metric in (*columns, "cost.usd_provisioned_per_month")}
    for v in np.argsort(-held[CHOICES], kind="stable"):
        cells = [f"{offline[v]:.4f}", f"{place[v]}", f"{held[CHOICES][v]:.2f}", f"{held['utility_per_day'][v]:.1f}"]
        cells += [f"{held['return_share'][v]:.1%}", f"{held['churn_share'][v]:.1%}", f"{held['regret'][v]:.2f}"]
        cells += [f"{held[RATIO][v]:.2f}", f"{held['cost.usd_provisioned_per_month'][v]:,.0f}"]
        lines.append(f"| {names[v]} | {' | '.join(cells)} |")
    lines += ["", "## Where they disagree", ""]
    held_in = [names[v] for n in np.flatnonzero(against) for v in (int(upper[0][n]), int(upper[1][n]))]
    for name in dict.fromkeys(sorted(held_in, key=lambda one: -held_in.count(one))):
        if held_in.count(name) > 1:
            lines += [f"{held_in.count(name)} of the {int(against.sum())} pairs are of '{name}'.", ""]
    found_pairs = [(int(upper[0][n]), int(upper[1][n])) for n in np.flatnonzero(against)]
    if found_pairs:
        lines += ["| replay prefers | people prefer | NDCG@10 on replay | items a day |", "|---|---|---|---|"]
        for a, b in found_pairs:
            a, b = (a, b) if signs[a, b] > 0 else (b, a)
            gain, taken = (w.difference(m, names[a], names[b]) for w, m in ((replay, NDCG), (choice, CHOICES)))
            lines.append(f"| {names[a]} | {names[b]} | {told(gain, '{:+.4f}')} | {told(taken, '{:+.2f}')} |")
    else:
        lines.append("No pair of policies is shown to be ordered one way by replay and the other way by people.")
    lines += ["", "Why, as far as one change at a time tells it:", ""]
    for what, one, other in (
        ("Repeats (shown or not, always asking)", "always, repeats shown", "always"),
        ("Repeats (shown or not, without the cloud)", "SRM alone, repeats shown", "SRM alone"),
        ("Fresh lists (always against never asking)", "always", "never"),
        ("The cloud at all (always against the SRM alone)", "always", "SRM alone"),
        ("The phone's part (fused against the LLM's own order)", "always", "always, LLM order"),
        ("Late answers (30 s, the user goes on)", SLOW[0], "always"),
        ("Late answers (30 s, the screen waits)", SLOW[1], "always"),
    ):
        if one in names and other in names:
            first, then = replay.difference(NDCG, one, other), choice.difference(CHOICES, one, other)
            lines.append(f"- {what}: NDCG@10 on replay {told(first, '{:+.4f}')}; items a day {told(then, '{:+.2f}')}.")
    lines += ["", "## Does the paper's inconsistency request pay when users react?", ""]
    for share in ("10%", "30%"):
        one, other = f"inconsistency {share}", f"random {share}"
        first, then = replay.difference(NDCG, one, other), choice.difference(CHOICES, one, other)
        ratio = dict(zip(names, held[RATIO], strict=True))
        lines.append(
            f"- At {share}, against as many requests at random: NDCG@10 on replay {told(first, '{:+.4f}')}: "
            f"{verdict(first, 'it pays', 'it costs')}. Where users choose, items a day {told(then, '{:+.2f}')}: "
            f"{verdict(then, 'it pays', 'it costs')}. There it sent {ratio[one]:.2f} requests an item taken, random "
            f"{ratio[other]:.2f}: its threshold was calibrated on replay and does not hold its share."
        )
    lines += ["", "## Does a slower cloud lose people?", ""]
    for one in SLOW:
        if one not in names:
            continue
        moved = {m: choice.difference(m, one, "always") for m in (CHOICES, "wait_share", "return_share", "churn_share")}
        lines.append(
            f"- {one.capitalize()}, against at once: items a day {told(moved[CHOICES], '{:+.2f}')}: "
            f"{verdict(moved[CHOICES], 'more', 'fewer')}; share of opportunities spent waiting "
            f"{told(moved['wait_share'], '{:+.3f}')}, sessions come to {told(moved['return_share'], '{:+.3f}')}, "
            f"stopped for good {told(moved['churn_share'], '{:+.3f}')}."
        )
    lines += [
        "",
        "The median pause between two opportunities of a session is about 30 s, so an answer that is 30 s late misses "
        "the next screen half the time.",
        "",
        "## What this does not say",
        "",
        "One world, one seed, one day: how far orders agree may differ in another, and people may be moved by what no "
        "utility here has. Logs on disk are not in it yet; users can be [fitted](fitted_users.md) on them.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Run what is not there yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/offline_accuracy"))
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--page", type=Path, default=Path("docs/background/offline_accuracy.md"))
    parser.add_argument("--read", action="store_true", help="only read the runs that are there")
    arguments = parser.parse_args()
    for users in ("replay", "choice"):
        if not arguments.read:
            plan = make_plan(read_sweep(SWEEP), [f"workload.users={users}"], True)
            executor = executor_for("local", arguments.jobs)
            run_sweep(plan, arguments.out / users, executor, RichProgress(), print, True, conclude=False)
    choice = World(arguments.out / "choice")
    replay = World(arguments.out / "replay", choice.names)
    choice = World(arguments.out / "choice", replay.names)
    arguments.page.write_text(page(replay, choice), encoding="utf-8")


if __name__ == "__main__":
    main()
