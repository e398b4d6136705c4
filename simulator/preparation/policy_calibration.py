"""What a policy learns or is calibrated on before the stream: a fitted fusion, a model of gains, a threshold.

All of it from the held-out tails of the training part, which no model was trained on. Only `oracle_dp` looks at the
stream itself: it is a bound, not a policy that anybody could run.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import scipy  # loads optimize where it is used: most runs do not
import torch
from scipy.special import logsumexp

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.metrics import accuracy_per_query
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.wording import counted
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.deployment import Deployed
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.counterfactual import Decisions, curve_for, threshold_for
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.scores import fusion_of
from fleetrec.simulator.policies.gain_model import (
    FEATURES,
    FORMAT,
    LONGEST_HORIZON,
    ExpectedGain,
    Features,
    GainModel,
    feature_flops,
    gains,
    train_gain_model,
)
from fleetrec.simulator.policies.oracle import best_requests
from fleetrec.simulator.policies.request.oracle_dp import Schedule
from fleetrec.simulator.policies.request.share import Curve
from fleetrec.simulator.policies.uncertainty import SCORES, WithCoin
from fleetrec.simulator.preparation.prepare import (
    WITHOUT_CLOUD,
    CandidateStore,
    Prepared,
    decides_joining,
    preloaded_lists,
)
from fleetrec.simulator.preparation.training import (
    VALIDATION_SEED,
    Learnt,
    candidate_source,
    first_deployed,
    list_slates,
    srm_scores,
)
from fleetrec.simulator.ranking.list_view import Floats, Ints, ListView, UncertaintyScore
from fleetrec.simulator.ranking.slates import Fusion, ListSlates, Queries
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.fusion import FittedFusion

_LOGISTIC_FORMAT = 1

FEW_USERS = 64
"""held-out users whose lists are asked for where each takes seconds or money, or somebody's own answers"""
FEWEST_DECISIONS = 20
"""held-out decisions below which nothing is found on them"""


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


@dataclass(frozen=True)
class Tails:
    """The held-out ends of the training part, with what ranks them."""

    decisions: Decisions
    srm: Deployed
    scores: SrmScores
    source: CandidateStore
    held_out: int
    """decisions that were held out; fewer are left where a table has no lists for them"""


def held_out_decisions(scenario: sections.Scenario, data: TrainingSet) -> Decisions:
    """Every decision in the tails of the validation users, who begin with a preloaded list as a fleet does.

    Where each list takes seconds or money, of `FEW_USERS` of them: their lists are made before the stream begins.
    """
    users = np.flatnonzero(data.fit_end < data.valid_end)
    if scenario.llm.candidates.dear:
        users = np.sort(users[Draws(VALIDATION_SEED).permutation(len(users), "calibration users")[:FEW_USERS]])
    step = np.maximum(data.fit_end - 1, 0)[users]
    lag = scenario.fleet.preloaded.lag if scenario.fleet.preloaded else None
    begins_with = np.maximum(step - lag, -1) if lag is not None else np.full(len(users), -1)
    return Decisions(users, step, data.valid_end[users] - 1 - step, begins_with)


def with_lists(decisions: Decisions, source: CandidateSource) -> Decisions:
    """Of each user the decisions before the first one that `source` has no list for."""
    user, nth = ragged(decisions.count)
    lists = source.lists(decisions.users[user], decisions.first[user] + nth)
    missing = np.where(lists.found, decisions.count[user], nth)
    count = decisions.count.copy()
    np.minimum.at(count, user, missing)
    having = np.flatnonzero(decisions.begins_with >= 0)
    begins_with = decisions.begins_with.copy()
    found = source.lists(decisions.users[having], begins_with[having]).found
    begins_with[having] = np.where(found, begins_with[having], -1)
    kept = count > 0
    return Decisions(decisions.users[kept], decisions.first[kept], count[kept], begins_with[kept])


def tails_of(
    scenario: sections.Scenario, learnt: Learnt, device: str, progress: Progress, source: CandidateStore | None = None
) -> Tails:
    """The held-out decisions with what ranks them.

    Lists come from `source` where one is given, else from what the scenario names. Of a table those decisions are left
    whose own lists it holds: an older list is no measure of a newer one.
    """
    decisions = held_out_decisions(scenario, learnt.training)
    first = np.maximum(learnt.training.fit_end - 1, 0)
    first = np.maximum(first - (scenario.fleet.preloaded.lag if scenario.fleet.preloaded else 0), 0)
    srm = first_deployed(scenario, learnt)
    scores = srm_scores(learnt, first, decisions.users, srm)
    held_out = int(decisions.count.sum())
    candidates = scenario.llm.candidates
    if source is None:
        exact = scenario.llm.model_copy(update={"candidates": candidates.exact()})
        scenario = scenario.model_copy(update={"llm": exact})
        source, _ = candidate_source(scenario, learnt, first, scores, device, progress)
    if candidates.recorded:
        decisions = with_lists(decisions, source)
    return Tails(decisions, srm, scores, source, held_out)


def enough(tails: Tails, key: str, instead: str) -> None:
    """InputError where what `key` names would rest on next to nothing; `instead`: what needs no held-out decisions."""
    left = int(tails.decisions.count.sum())
    if left < FEWEST_DECISIONS:
        lists = (
            f"the table has lists for {left} of the {tails.held_out:,} held-out decisions before the stream that it is "
            "found on; add the answers to the prompts whose part is 'calibration' (prompts export)"
            if tails.held_out >= FEWEST_DECISIONS
            else f"the log holds out {counted(left, 'decision')} before the stream to find it on, and "
            f"{FEWEST_DECISIONS} are needed; use a longer log"
        )
        raise InputError(f"{key}: {lists}, or {instead}")


def scarce(tails: Tails) -> list[Note]:
    """A note where a table has lists for less than half of the held-out decisions."""
    left = int(tails.decisions.count.sum())
    if 2 * left >= tails.held_out:
        return []
    said = (
        "the policy is calibrated on {left:,} of {held_out:,} held-out decisions, for which there are lists in "
        "the table; prompts export writes the prompts of the others, too (part: calibration)"
    )
    return [note("calibration_scarce", said, left=left, held_out=tails.held_out)]


def tune(scenario: sections.Scenario, prepared: Prepared, tails_of: Callable[[], Tails]) -> Tuned:
    """What the scenario's policy needs to know before its run; `tails_of` is called where held-out tails are needed."""
    request, fusion = scenario.policy.request, scenario.policy.fusion
    if scenario.policy.slate in WITHOUT_CLOUD:
        return Tuned()
    rule = fusion.fitted() if scenario.policy.slate in ("llm", "both") else None
    fitted = fusion_of(rule, _fitted(rule, scenario, prepared, tails_of)) if rule is not None else None
    return request.prepare(_BeforeStream(scenario, prepared, tails_of, fitted))


@dataclass(frozen=True)
class _BeforeStream:
    """What request policies may have worked out (sections/request.py: Preparation)."""

    scenario: sections.Scenario
    prepared: Prepared
    tails_of: Callable[[], Tails]
    fitted: Fusion | None

    def nothing(self) -> Tuned:
        """It needs nothing."""
        return Tuned(self.fitted)

    def score(self, name: str, threshold: float = math.inf) -> Tuned:
        """A score that needs no training, and at or above which the policy may ask."""
        score = SCORES[name]
        flops = score.flops_per_candidate * self.scenario.llm.list_length
        return Tuned(self.fitted, score, threshold if threshold < math.inf else None, flops=flops)

    def share(self, name: str, ratio: float) -> Tuned:
        """The same, with the threshold of a share."""
        score = SCORES[name]
        found = self._calibrated(lambda tails, slates: score, ratio, "give a threshold", [])
        return replace(found, flops=score.flops_per_candidate * self.scenario.llm.list_length)

    def expected_gain(self, ratio: float, hidden: int, seed: int) -> Tuned:
        """A model of gains, from the artifact store or trained now: it learns from slates, so it hangs on what these
        show."""
        scenario, learnt = self.scenario, self.prepared.learnt
        policy = scenario.policy
        shown = [policy.slate, policy.fusion.model_dump(), scenario.workload.exclude_seen]

        def train(tails: Tails, slates: ListSlates) -> ExpectedGain:
            return expected_gain(scenario, learnt, tails, slates, ratio, hidden, seed)

        found = self._calibrated(train, ratio, "set kind: random", shown)
        assert isinstance(found.uncertainty, WithCoin)
        assert isinstance(found.uncertainty.score, ExpectedGain)
        flops = feature_flops(scenario.llm.list_length, learnt.srm.model.dim) + found.uncertainty.score.model.flops
        return replace(found, flops=flops)

    def fresh_is_better(self) -> Tuned:
        """A score that knows the future."""
        scenario, learnt, source = self.scenario, self.prepared.learnt, self.prepared.source
        fresh = FreshIsBetter(lambda scores: list_slates(scenario, learnt, scores, source, self.fitted), learnt)
        return Tuned(self.fitted, fresh, 1.0)

    def best_schedule(self, ratio: float) -> Tuned:
        """The best request times at zero latency."""
        scenario, prepared = self.scenario, self.prepared
        slates = list_slates(scenario, prepared.learnt, prepared.scores, prepared.source, self.fitted)
        return Tuned(self.fitted, schedule=best_schedule(scenario, prepared, slates, ratio))

    def _calibrated(
        self,
        score_of: Callable[[Tails, ListSlates], UncertaintyScore],
        ratio: float,
        instead: str,
        shown: Sequence[object],
    ) -> Tuned:
        """A score, the threshold on it and how shares go with thresholds, which runs on the same preparation share,
        where what is `shown` is alike too."""
        scenario, prepared = self.scenario, self.prepared

        def find() -> tuple[UncertaintyScore, float, Curve | None, list[Note]]:
            tails = _tails(prepared, self.tails_of)
            enough(tails, "policy.request.ratio", instead)
            slates = list_slates(scenario, prepared.learnt, tails.scores, tails.source, self.fitted)
            uncertainty = WithCoin(score_of(tails, slates))
            scores = looked_at(slates, tails.decisions, uncertainty)
            tails.source.save()
            threshold = threshold_for(tails.decisions, scores, ratio)
            curve = curve_for(tails.decisions, scores, ratio) if 0.0 < ratio < 1.0 else None
            return uncertainty, threshold, curve, scarce(tails)

        return Tuned(self.fitted, *prepared.memo.get(["threshold", scenario.policy.request.model_dump(), *shown], find))


def _tails(prepared: Prepared, tails_of: Callable[[], Tails]) -> Tails:
    return prepared.memo.get(["tails"], tails_of)


def _fitted(
    rule: FittedFusion, scenario: sections.Scenario, prepared: Prepared, tails_of: Callable[[], Tails]
) -> Floats:
    """The weights of a fusion that is fitted, which runs on the same preparation share."""

    def fit() -> Floats:
        tails = _tails(prepared, tails_of)
        enough(tails, f"policy.fusion: {rule.kind}", "choose a fusion that is not fitted, such as linear")
        weights = fitted_weights(rule, scenario, prepared.learnt, tails)
        tails.source.save()
        return weights

    return prepared.memo.get(["logistic fusion", scenario.policy.fusion.model_dump()], fit)


def rewards_of(slates: ListSlates, learnt: Learnt, decisions: Decisions) -> Floats:
    """NDCG@10 [P] of the user's next item under every pair of decision and list."""
    user, decision, number = decisions.pairs()
    step = decisions.first[user] + decision
    queries = decisions.queries(user, decision, number, learnt.histories.item_at(decisions.users[user], step + 1))
    reward = np.zeros(int(decisions.base[-1]))
    reward[decisions.pair(user, decision, number)] = accuracy_per_query(slates.place(queries)[0], (10,))["ndcg@10"]
    return reward


def looked_at(slates: ListSlates, decisions: Decisions, what: Callable[[ListView], Floats], width: int = 0) -> Floats:
    """`what` [M] or [M, width] of every pair of decision and list in hand, over all pairs; infinite without a list."""
    user, decision, number = decisions.pairs()
    in_hand = number <= decision
    user, decision, number = user[in_hand], decision[in_hand], number[in_hand]
    queries = decisions.queries(user, decision, number, np.full(len(user), -1))
    total = int(decisions.base[-1])
    found = np.full((total, width) if width else total, np.inf)
    at = decisions.pair(user, decision, number)

    def look(chosen: Ints, view: ListView) -> None:
        found[at[chosen]] = what(view)

    slates.look(queries, look)
    return found


def expected_gain(
    scenario: sections.Scenario,
    learnt: Learnt,
    tails: Tails,
    slates: ListSlates,
    ratio: float,
    hidden: int,
    seed: int,
) -> ExpectedGain:
    """The score of a model of gains, from the artifact store or trained now."""
    features = Features(popularity(learnt))
    key = {
        "format": FORMAT,
        "request": scenario.policy.request.model_dump(),
        "slates": _slates_key(scenario, learnt, tails),
        "fusion": scenario.policy.fusion.model_dump(),
    }
    folder = learnt.store.open("gain_model", key)
    if folder is not None:
        return ExpectedGain(features, GainModel.load(folder))
    decisions = tails.decisions
    horizon = int(np.clip(round(1.0 / max(ratio, 1e-9)), 1, LONGEST_HORIZON))
    gain, weight = gains(decisions, rewards_of(slates, learnt, decisions), horizon)
    seen = looked_at(slates, decisions, features, width=len(FEATURES))
    used = np.flatnonzero((weight > 0) & np.isfinite(seen).all(axis=1))
    user = np.searchsorted(decisions.base, used, side="right") - 1
    threads = scenario.engine.threads
    model = train_gain_model(seen[used], gain[used], weight[used], user, hidden, seed, threads)
    with learnt.store.creating("gain_model", key) as temporary:
        model.save(temporary)
    return ExpectedGain(features, model)


def popularity(learnt: Learnt) -> Ints:
    """How often each item [n_items] stands in the training part."""
    data = learnt.training
    return np.bincount(data.items[data.events_before(data.valid_end)], minlength=learnt.histories.n_items)


def _slates_key(scenario: sections.Scenario, learnt: Learnt, tails: Tails) -> dict[str, object]:
    return {
        "srm": tails.srm.content_hash,
        "source": tails.source.content_hash,
        "data": learnt.training.content_hash,
        "tails": content_hash(tails.decisions.first, tails.decisions.begins_with),
        "slate": scenario.policy.slate,
        "exclude_seen": scenario.workload.exclude_seen,
        "threads": scenario.engine.threads,
        "torch": torch.__version__,
    }


def fitted_weights(rule: FittedFusion, scenario: sections.Scenario, learnt: Learnt, tails: Tails) -> Floats:
    """Weights [F] of the rule's terms, which make the items that users went on to have most likely.

    Over all pairs of decision and list in the tails whose list holds the item; from the artifact store or fitted now.
    """
    key = {
        "format": _LOGISTIC_FORMAT,
        "fusion": rule.model_dump(),
        "slates": _slates_key(scenario, learnt, tails) | {"slate": "llm"},
    }
    known = learnt.store.load_json("logistic_fusion", key, "weights.json")
    if known is not None:
        return np.array(known)
    decisions = tails.decisions
    user, decision, number = decisions.pairs()
    step = decisions.first[user] + decision
    queries = decisions.queries(user, decision, number, learnt.histories.item_at(decisions.users[user], step + 1))
    blocks: list[tuple[int, Floats, Ints, Floats]] = []

    def look(chosen: Ints, view: ListView) -> None:
        match = view.lists.valid & (view.items == queries.target[chosen][:, None])
        hit = match.any(axis=1)
        terms = rule.terms(view)[hit]
        hidden = np.where(view.lists.valid[hit], 0.0, -np.inf)
        blocks.append((int(chosen[0]), terms, match[hit].argmax(axis=1), hidden))

    list_slates(scenario, learnt, tails.scores, tails.source, fusion_of(LlmOnly())).look(queries, look)
    blocks.sort(key=lambda block: block[0])  # threads end in any order
    weights = _fit_logistic(
        np.concatenate([b[1] for b in blocks]),
        np.concatenate([b[2] for b in blocks]),
        np.concatenate([b[3] for b in blocks]),
        np.array(rule.first_weights),
        rule.squared_penalty(),
    )
    with learnt.store.creating("logistic_fusion", key) as folder, (folder / "weights.json").open("w") as file:
        json.dump(weights.tolist(), file)
    return weights


def _fit_logistic(terms: Floats, target: Ints, hidden: Floats, start: Floats, penalty: float) -> Floats:
    """Weights that make the targets [Q] most likely among the candidates of terms [Q, N, F]; `start` where there is
    nothing to learn from. `hidden` [Q, N] is -inf for what is no candidate."""
    if not len(terms):
        return start
    rows = np.arange(len(terms))

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = terms @ weights + hidden
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        expected = np.einsum("qn,qnf->f", np.exp(log_p), terms)
        value = -log_p[rows, target].mean() + penalty * float(weights @ weights)
        return float(value), (expected - terms[rows, target].sum(axis=0)) / len(rows) + 2 * penalty * weights

    return np.round(scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x, 6)


class FreshIsBetter:
    """1 where a fresh list would put the next item higher than the one in hand, else 0: it knows the future."""

    def __init__(self, slates_of: Callable[[SrmScores], ListSlates], learnt: Learnt):
        self._slates_of, self._histories = slates_of, learnt.histories
        self._lock = Lock()  # lists are kept in a table that one thread at a time may add to

    def __call__(self, view: ListView) -> Floats:
        items = self._histories.item_at(view.user, view.step + 1)
        in_hand = Queries(view.user, view.step, view.as_of, items, view.step, view.weights)
        slates = self._slates_of(view.scores)
        with self._lock:
            now = slates.place(in_hand)[0]
            fresh = slates.place(replace(in_hand, as_of=view.step))[0]
        return np.where((fresh >= 0) & ((now < 0) | (fresh < now)), 1.0, 0.0)


def best_schedule(scenario: sections.Scenario, prepared: Prepared, slates: ListSlates, ratio: float) -> Schedule:
    """The best request times of the whole fleet for `ratio` requests an interaction, if answers took no time."""
    population, policy = prepared.population, scenario.policy
    count = population.n_interactions
    preloaded = preloaded_lists(scenario, population, prepared.source)
    decisions = Decisions(population.users, population.first_step - 1, count, preloaded)
    device, nth = ragged(count)
    row = population.first_row[device] + nth - 1  # after which each decision is taken; the first one as a device joins
    t_s = population.stream.t_s
    tied = (nth > 0) & (t_s[row] == t_s[np.minimum(row + 1, len(t_s) - 1)])
    may_ask = ~tied & np.where(nth == 0, decides_joining(policy, population)[device], policy.decides("interaction"))
    reward = rewards_of(slates, prepared.learnt, decisions)
    asks = best_requests(decisions, reward, may_ask, int(ratio * len(device)))
    rows, joins = np.zeros(len(t_s), dtype=bool), np.zeros(len(count), dtype=bool)
    rows[row[asks & (nth > 0)]] = True
    joins[device[asks & (nth == 0)]] = True
    return Schedule(rows, joins, population.first_step - 1)
