"""What a policy needs to know before the stream: its fusion fitted, its model of gains trained, its threshold.

All of it from held-out decisions, on which no model was trained. Only `oracle_dp` looks at the stream itself: it is a
bound, not a policy that anybody could run.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock

import numpy as np

from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.policies.counterfactual import Decisions, curve_for, threshold_for
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.gain_model import ExpectedGain, feature_flops
from fleetrec.simulator.policies.oracle import best_requests
from fleetrec.simulator.policies.request.oracle_dp import Schedule
from fleetrec.simulator.policies.request.share import Curve
from fleetrec.simulator.policies.uncertainty import SCORES, WithCoin
from fleetrec.simulator.preparation.held_out import HeldOut, enough, looked_at, rewards_of, scarce
from fleetrec.simulator.preparation.policy_training import expected_gain, fitted_weights
from fleetrec.simulator.preparation.prepare import Prepared, decides_joining
from fleetrec.simulator.preparation.training import TrainedModels, list_slates
from fleetrec.simulator.ranking.list_view import Floats, Fusion, ListView, UncertaintyScore
from fleetrec.simulator.ranking.slates import ListSlates, Queries
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs


@dataclass(frozen=True)
class Tuned:
    """A policy ready to run."""

    fusion: Fusion | None = None
    """one that was fitted; none where the scenario says it all"""
    uncertainty: UncertaintyScore | None = None
    threshold: float | None = None
    """on the uncertainty score, as the stream begins"""
    curve: Curve | None = None
    """by which the threshold follows the wanted share; none where the scenario names the threshold"""
    notes: Sequence[Note] = ()
    """what of the calibration is to be known"""
    schedule: Schedule | None = None
    flops: float = 0.0
    """what an uncertainty score costs a device beyond a ranking"""


def tune(policy: sections.Policy, inputs: SlateInputs, prepared: Prepared, held_out_of: Callable[[], HeldOut]) -> Tuned:
    """What a policy with slates of these inputs needs to know before its run; `held_out_of` is called where held-out
    decisions are."""
    if not policy.slate.asks:
        return Tuned()
    return policy.request.prepare(_BeforeStream(policy, inputs, prepared, held_out_of))


@dataclass(frozen=True)
class _BeforeStream:
    """What request policies may have worked out (sections/request.py: Preparation)."""

    policy: sections.Policy
    inputs: SlateInputs
    prepared: Prepared
    held_out_of: Callable[[], HeldOut]

    def nothing(self) -> Tuned:
        """It needs nothing."""
        return Tuned(self.fitted)

    def score(self, name: str, threshold: float = math.inf) -> Tuned:
        """A score that needs no training, and at or above which the policy may ask."""
        score = SCORES[name]
        flops = score.flops_per_candidate * self.inputs.length
        return Tuned(self.fitted, score, threshold if threshold < math.inf else None, flops=flops)

    def share(self, name: str, ratio: float) -> Tuned:
        """The same, with the threshold of a share."""
        score = SCORES[name]
        found = self._calibrated(lambda held_out, slates: score, ratio, "give a threshold", [])
        return replace(found, flops=score.flops_per_candidate * self.inputs.length)

    def expected_gain(self, ratio: float, hidden: int, seed: int) -> Tuned:
        """A model of gains, from the artifact store or trained now: it learns from slates, so it hangs on what these
        show."""
        request, inputs, prepared = self.policy.request, self.inputs, self.prepared
        shown = [inputs.slate.dumped(), inputs.fusion.model_dump(), inputs.exclude_seen]

        def train(held_out: HeldOut, slates: ListSlates) -> ExpectedGain:
            return expected_gain(request, inputs, prepared, held_out, slates, ratio, hidden, seed)

        found = self._calibrated(train, ratio, "set kind: random", shown)
        assert isinstance(found.uncertainty, WithCoin)
        assert isinstance(found.uncertainty.score, ExpectedGain)
        flops = feature_flops(inputs.length, prepared.trained.srm.kept.shape.dim) + found.uncertainty.score.model.flops
        return replace(found, flops=flops)

    def fresh_is_better(self) -> Tuned:
        """A score that knows the future."""
        return Tuned(self.fitted, FreshIsBetter(self._slates, self.prepared.trained), 1.0)

    def best_schedule(self, ratio: float) -> Tuned:
        """The best request times at zero latency."""
        slates = self._slates(self.prepared.scores)
        return Tuned(self.fitted, schedule=best_schedule(self.policy, self.prepared, slates, ratio))

    def _slates(self, scores: SrmScores) -> ListSlates:
        """The policy's slates in the stream, by these scores."""
        return list_slates(self.inputs, self.prepared.trained, scores, self.prepared.source, self.fitted)

    def _calibrated(
        self,
        score_of: Callable[[HeldOut, ListSlates], UncertaintyScore],
        ratio: float,
        instead: str,
        shown: Sequence[object],
    ) -> Tuned:
        """A score, the threshold on it and how shares go with thresholds, which runs on the same preparation share,
        where what is `shown` is alike too."""
        prepared = self.prepared

        def find() -> tuple[UncertaintyScore, float, Curve | None, list[Note]]:
            held_out = self._held_out()
            enough(held_out, "policy.request.ratio", instead)
            slates = list_slates(self.inputs, prepared.trained, held_out.scores, held_out.source, self.fitted)
            uncertainty = WithCoin(score_of(held_out, slates))
            scores = looked_at(slates, held_out.decisions, uncertainty)
            held_out.source.save()
            threshold = threshold_for(held_out.decisions, scores, ratio)
            curve = curve_for(held_out.decisions, scores, ratio) if 0.0 < ratio < 1.0 else None
            return uncertainty, threshold, curve, scarce(held_out)

        return Tuned(self.fitted, *prepared.memo.get(["threshold", self.policy.request.model_dump(), *shown], find))

    def _held_out(self) -> HeldOut:
        return self.prepared.memo.get(["held_out"], self.held_out_of)

    @cached_property
    def fitted(self) -> Fusion | None:
        """A fusion that has to be fitted, with weights that runs on the same preparation share; None: it has not."""
        rule = self.policy.fusion.fitted() if self.policy.slate.uses_llm else None
        if rule is None:
            return None

        def fit() -> Floats:
            held_out = self._held_out()
            enough(held_out, f"policy.fusion: {rule.kind}", "choose a fusion that is not fitted, such as linear")
            weights = fitted_weights(rule, self.inputs, self.prepared, held_out)
            held_out.source.save()
            return weights

        return RunningFusion(rule, self.prepared.memo.get(["logistic fusion", self.inputs.fusion.model_dump()], fit))


class FreshIsBetter:
    """1 where a fresh list would put the next item higher than the one in hand, else 0: it knows the future."""

    def __init__(self, slates_of: Callable[[SrmScores], ListSlates], trained: TrainedModels):
        self._slates_of, self._histories = slates_of, trained.histories
        self._lock = Lock()  # lists are kept in a table that one thread at a time may add to

    def __call__(self, view: ListView) -> Floats:
        items = self._histories.item_at(view.user, view.step + 1)
        in_hand = Queries(view.user, view.step, view.as_of, items, view.step, view.weights)
        slates = self._slates_of(view.scores)
        with self._lock:
            now = slates.place(in_hand)[0]
            fresh = slates.place(replace(in_hand, as_of=view.step))[0]
        return np.where((fresh >= 0) & ((now < 0) | (fresh < now)), 1.0, 0.0)


def best_schedule(policy: sections.Policy, prepared: Prepared, slates: ListSlates, ratio: float) -> Schedule:
    """The best request times of the whole fleet for `ratio` requests an interaction, if answers took no time."""
    population = prepared.population
    count = population.n_interactions
    decisions = Decisions(population.users, population.first_step - 1, count, prepared.preloaded)
    device, nth = ragged(count)
    row = population.first_row[device] + nth - 1  # after which each decision is taken; the first one as a device joins
    t_s = population.stream.t_s
    tied = (nth > 0) & (t_s[row] == t_s[np.minimum(row + 1, len(t_s) - 1)])
    may_ask = ~tied & np.where(nth == 0, decides_joining(policy, population)[device], policy.decides("interaction"))
    reward = rewards_of(slates, prepared.trained, decisions)
    asks = best_requests(decisions, reward, may_ask, int(ratio * len(device)))
    rows, joins = np.zeros(len(t_s), dtype=bool), np.zeros(len(count), dtype=bool)
    rows[row[asks & (nth > 0)]] = True
    joins[device[asks & (nth == 0)]] = True
    return Schedule(rows, joins, population.first_step - 1)
