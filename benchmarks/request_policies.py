"""Request policies at equal budgets and no latency, between random requests and the best request times there are.

Every streamed interaction is ranked under every list that its device could hold; then each policy is replayed on these
ranks. First thresholds and models come from the held-out tails of the training part; then each threshold follows what
has been asked so far (policies/share.py), so that every policy spends the same share of decisions, and the share that
it spent is printed. Asking for the oldest lists is a token bucket of the fleet, spent on the oldest first. The oracles
know the future and are bounds: the greedy one asks as often as it likes, up to such a bucket. Coins, and the order of
the devices, are drawn anew in each world; what a decision got is its mean over worlds, and intervals are over users.

    python benchmarks/request_policies.py scenarios/movielens_1m.yaml [--worlds N] [--set key=value]... [--json]
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec import Scenario
from fleetrec.models.runtime.progress import RichProgress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.counterfactual import Bools, Decisions, Floats, curve_for, threshold_for
from fleetrec.simulator.policies.oracle import best_requests
from fleetrec.simulator.policies.request.learned import LearnedRequest
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.policies.uncertainty import SCORES, WithCoin
from fleetrec.simulator.preparation.held_out import HeldOut, held_out_of, looked_at, rewards_of
from fleetrec.simulator.preparation.policy_training import expected_gain
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import list_slates
from fleetrec.simulator.ranking.list_view import UncertaintyScore
from fleetrec.simulator.ranking.slates import ListSlates
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs

BUDGETS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
RESAMPLES = 2000
AGAINST = ("random", "staleness", "inconsistency", "rank distance alone")


@dataclass(frozen=True)
class Stream:
    """The decisions of a fleet and the reward of every list to each."""

    scenario: sections.Scenario
    prepared: Prepared
    slates: ListSlates
    held_out: HeldOut
    decisions: Decisions
    reward: Floats  # [P] NDCG@10 of the next item
    age: Floats  # [P] interactions that a list has not seen

    @cached_property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Whose each decision is, and its number among the user's."""
        return ragged(self.decisions.count)

    def within(self, asks: Bools, budget: float, draws: Draws, first: Floats | None = None) -> tuple[Bools, Floats]:
        """Replay a policy under a token bucket of the fleet; decisions of one number come in a keyed order, where
        `first` [P] is given those of the highest first."""
        decisions = self.decisions
        owner, within = self.places
        starts = np.cumsum(decisions.count) - decisions.count
        asked, shown = np.zeros(len(owner), dtype=bool), np.zeros(len(owner), dtype=np.int64)
        number, tokens = np.zeros(len(starts), dtype=np.int64), 0.0
        for decision in range(int(decisions.count.max())):
            here = np.flatnonzero(decisions.count > decision)
            tokens += budget * len(here)
            wanting = here[asks[decisions.pair(here, np.asarray(decision), number[here])]]
            wanting = wanting[np.argsort(draws.uniform("benchmark.order", wanting, decision), kind="stable")]
            if first is not None:
                held = first[decisions.pair(wanting, np.asarray(decision), number[wanting])]
                wanting = wanting[np.argsort(-held, kind="stable")]
            granted = wanting[: int(tokens + 1e-9)]
            tokens -= len(granted)
            number[granted] = decision + 1
            asked[starts[granted] + decision] = True
            shown[starts[here] + decision] = number[here]
        return asked, self.reward[decisions.pair(owner, within, shown)]

    def following(self, scores: "Scores", ratio: float, draws: Draws) -> tuple[Bools, Floats]:
        """Replay a policy whose threshold follows the wanted share; decisions of one number come in a keyed order."""
        decisions, (past, now) = self.decisions, scores
        owner, within = self.places
        starts = np.cumsum(decisions.count) - decisions.count
        asked, shown = np.zeros(len(owner), dtype=bool), np.zeros(len(owner), dtype=np.int64)
        number = np.zeros(len(starts), dtype=np.int64)
        held_out = self.held_out.decisions
        first, curve = threshold_for(held_out, past, ratio), curve_for(held_out, past, ratio)
        share = Share(first, ratio, curve, np.arange(len(owner), dtype=np.float64))
        counted = 0  # decisions so far, which stand for the time
        for decision in range(int(decisions.count.max())):
            here = np.flatnonzero(decisions.count > decision)
            here = here[np.argsort(draws.uniform("benchmark.order", here, decision), kind="stable")]
            while len(here):
                threshold = share.at(float(counted))
                some = here[: int(min(share.until_s - counted + 1, len(here)))]
                wanting = some[now[decisions.pair(some, np.asarray(decision), number[some])] >= threshold]
                share.asked += len(wanting)
                counted, here = counted + len(some), here[len(some) :]
                number[wanting] = decision + 1
                asked[starts[wanting] + decision] = True
                shown[starts[some] + decision] = number[some]
        return asked, self.reward[decisions.pair(owner, within, shown)]


def stream_of(scenario: sections.Scenario) -> Stream:
    """Rank everything: lists that were never made before are made now, and kept."""
    progress = RichProgress()
    prepared = prepare(scenario, "cpu", progress)
    trained, population = prepared.trained, prepared.population
    slates = list_slates(SlateInputs.of(scenario), trained, prepared.scores, prepared.source)
    count = population.n_interactions
    decisions = Decisions(population.users, population.first_step - 1, count, prepared.preloaded)
    reward = rewards_of(slates, trained, decisions)
    assert prepared.source is not None
    prepared.source.save()
    user, decision, number = decisions.pairs()
    age = np.zeros(len(reward))
    jobs = decisions.queries(user, decision, number, np.full(len(user), -1))
    age[decisions.pair(user, decision, number)] = jobs.step - jobs.as_of
    return Stream(scenario, prepared, slates, held_out_of(prepared, "cpu", progress), decisions, reward, age)


Scores = tuple[Floats, Floats]
"""Of every pair of decision and list: held out, and in the stream."""


def scores_of(stream: Stream, uncertainty: UncertaintyScore) -> Scores:
    """What a policy looks at."""
    held_out = stream.held_out
    past = list_slates(SlateInputs.of(stream.scenario), stream.prepared.trained, held_out.scores, held_out.source)
    return looked_at(past, held_out.decisions, uncertainty), looked_at(stream.slates, stream.decisions, uncertainty)


def by_gain(stream: Stream, request: LearnedRequest) -> Scores:
    """What a learned policy looks at."""
    inputs, prepared, held_out = SlateInputs.of(stream.scenario), stream.prepared, stream.held_out
    past = list_slates(inputs, prepared.trained, held_out.scores, held_out.source)
    gain = expected_gain(request, inputs, prepared, held_out, past, request.ratio, request.hidden, request.seed)
    return scores_of(stream, WithCoin(gain))


def fixed_scores(stream: Stream) -> dict[str, Scores]:
    """The scores that no budget changes."""
    scores = {
        "entropy": "entropy",
        "margin": "closeness",
        "inconsistency": "inconsistency",
        "rank distance alone": "rank_gap",
        "invalid items alone": "invalid_penalty",
    }
    return {name: scores_of(stream, WithCoin(SCORES[score])) for name, score in scores.items()}


def at_random(stream: Stream, ratio: float, draws: Draws) -> Bools:
    """Where [P] a coin says so, the same for every list."""
    user, decision, number = stream.decisions.pairs()
    asks = np.zeros(len(stream.reward), dtype=bool)
    coin = draws.uniform("request.random", user, decision)
    asks[stream.decisions.pair(user, decision, number)] = coin < ratio
    return asks


def fresh_is_better(stream: Stream) -> Bools:
    """Where [P] a fresh list would put the next item higher within the ten that count."""
    user, decision, number = stream.decisions.pairs()
    at = stream.decisions.pair(user, decision, number)
    asks = np.zeros(len(stream.reward), dtype=bool)
    asks[at] = stream.reward[stream.decisions.pair(user, decision, decision + 1)] > stream.reward[at]
    return asks


def interval(difference: Floats, owner: NDArray[np.int64]) -> list[float]:
    """Mean of a paired difference and its 95% interval, by a bootstrap over users."""
    users, group = np.unique(owner, return_inverse=True)
    sums, counts = np.bincount(group, weights=difference), np.bincount(group)
    drawn = np.random.default_rng(1).integers(len(users), size=(RESAMPLES, len(users)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return [float(difference.mean()), float(low), float(high)]


def at_budget(stream: Stream, scores: Mapping[str, Scores], budget: float, worlds: int) -> dict[str, Any]:
    """Every policy at one budget, in so many worlds."""
    told = {**scores, "learned": by_gain(stream, LearnedRequest(ratio=budget))}
    everywhere = np.ones(len(stream.reward), dtype=bool)
    fixed: dict[str, Bools] = {
        "never": np.zeros(len(stream.reward), dtype=bool),
        "always, without a budget": everywhere,
        "oracle_greedy": fresh_is_better(stream),
    }
    owner, within = stream.places
    total = len(owner)
    outcomes = {name: (np.zeros(total), np.zeros(total)) for name in ("random", "staleness", *fixed, *told)}
    for world in range(worlds):
        draws = Draws(stream.scenario.seed + world)
        found = {name: stream.following(held, budget, draws) for name, held in told.items()}
        found["staleness"] = stream.within(everywhere, budget, draws, stream.age)
        for name, asks in {"random": at_random(stream, budget, draws), **fixed}.items():
            found[name] = stream.within(asks, budget if name == "oracle_greedy" else 1.0, draws)
        for name, values in found.items():
            for sums, one in zip(outcomes[name], values, strict=True):
                sums += one.astype(np.float64) / worlds
    best = best_requests(stream.decisions, stream.reward, np.ones(total, dtype=bool), int(budget * total))
    in_hand = np.where(best, within + 1, 0)
    in_hand = np.maximum.accumulate(in_hand + owner * (total + 1)) - owner * (total + 1)
    outcomes["oracle_dp"] = best.astype(np.float64), stream.reward[stream.decisions.pair(owner, within, in_hand)]
    users = stream.decisions.users[owner]
    gap = outcomes["oracle_dp"][1].mean() - outcomes["random"][1].mean()
    return {
        name: {
            "requests": float(asked.mean()),
            "ndcg@10": float(values.mean()),
            "share_of_gap": float((values.mean() - outcomes["random"][1].mean()) / gap),
            **{f"minus_{other}": interval(values - outcomes[other][1], users) for other in AGAINST},
        }
        for name, (asked, values) in outcomes.items()
    }


def main() -> None:
    """Print NDCG@10 by policy and budget, with paired intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--devices", type=int)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--worlds", type=int, default=1, help="draws of coins and of who comes first")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.worlds < 1:
        parser.error("argument --worlds: at least 1")
    devices = [f"fleet.devices={arguments.devices}"] if arguments.devices else []
    stream = stream_of(Scenario.load(arguments.scenario, [*arguments.overrides, *devices]))
    scores = fixed_scores(stream)
    found = {
        float(budget): at_budget(stream, scores, float(budget), arguments.worlds)
        for budget in arguments.budgets.split(",")
    }
    stream.held_out.source.save()
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{stream.scenario.name}: {len(stream.decisions.count)} devices, {len(stream.places[0])} decisions, no latency"
    )
    for budget, rows in found.items():
        print(
            f"\nbudget {budget:.0%}{'':15}requests NDCG@10 of gap   minus "
            + "   minus ".join(a.ljust(21) for a in AGAINST)
        )
        for name, row in rows.items():
            text = "   ".join("{:+.4f} [{:+.4f}, {:+.4f}]".format(*row[f"minus_{other}"]) for other in AGAINST)
            print(f"{name:22}{row['requests']:8.3f}{row['ndcg@10']:9.4f}{row['share_of_gap']:7.0%}   {text}")


if __name__ == "__main__":
    main()
