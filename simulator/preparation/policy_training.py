"""What is trained on held-out decisions: a model of gains, and the weights of a logistic fusion."""

import json

import numpy as np
import scipy  # loads optimize and special where they are used: most runs need neither

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.pytorch import torch_version
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.gain_model import (
    FEATURES,
    FORMAT,
    LONGEST_HORIZON,
    ExpectedGain,
    Features,
    GainModel,
    gains,
)
from fleetrec.simulator.preparation.held_out import HeldOut, looked_at, rewards_of
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import TrainedModels, list_slates
from fleetrec.simulator.ranking.list_view import Floats, Ints, ListView
from fleetrec.simulator.ranking.slates import ListSlates
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.scenario.sections.fusion import FittedFusion

_LOGISTIC_FORMAT = 1


def expected_gain(
    request: sections.RequestPolicy,
    inputs: SlateInputs,
    prepared: Prepared,
    held_out: HeldOut,
    slates: ListSlates,
    ratio: float,
    hidden: int,
    seed: int,
) -> ExpectedGain:
    """The score of a model of gains, from the artifact store or trained now."""
    trained = prepared.trained
    features = Features(popularity(trained))
    key = {
        "format": FORMAT,
        "request": request.model_dump(),
        "slates": _slates_key(inputs, prepared, held_out),
        "fusion": inputs.fusion.model_dump(),
    }
    folder = trained.store.open("gain_model", key)
    if folder is not None:
        return ExpectedGain(features, GainModel.load(folder))
    decisions = held_out.decisions
    horizon = int(np.clip(round(1.0 / max(ratio, 1e-9)), 1, LONGEST_HORIZON))
    gain, weight = gains(decisions, rewards_of(slates, trained, decisions), horizon)
    seen = looked_at(slates, decisions, features, width=len(FEATURES))
    used = np.flatnonzero((weight > 0) & np.isfinite(seen).all(axis=1))
    user = np.searchsorted(decisions.base, used, side="right") - 1
    from fleetrec.simulator.policies.gain_training import train_gain_model

    model = train_gain_model(seen[used], gain[used], weight[used], user, hidden, seed, prepared.inputs.training.threads)
    with trained.store.creating("gain_model", key) as temporary:
        model.save(temporary)
    return ExpectedGain(features, model)


def popularity(trained: TrainedModels) -> Ints:
    """How often each item [n_items] stands in the training part."""
    data = trained.training
    return np.bincount(data.items[data.events_before(data.valid_end)], minlength=trained.histories.n_items)


def _slates_key(inputs: SlateInputs, prepared: Prepared, held_out: HeldOut) -> dict[str, object]:
    return {
        "srm": held_out.srm.content_hash,
        "source": held_out.source.content_hash,
        "data": prepared.trained.training.content_hash,
        "held_out": content_hash(held_out.decisions.first, held_out.decisions.begins_with),
        "slate": inputs.slate.dumped(),
        "exclude_seen": inputs.exclude_seen,
        "threads": prepared.inputs.training.threads,
        "torch": torch_version(),
    }


def fitted_weights(rule: FittedFusion, inputs: SlateInputs, prepared: Prepared, held_out: HeldOut) -> Floats:
    """Weights [F] of the rule's terms, which make the items that users went on to have most likely.

    Over all held-out pairs of decision and list whose list holds the item; from the artifact store or fitted now.
    """
    trained = prepared.trained
    key = {
        "format": _LOGISTIC_FORMAT,
        "fusion": rule.model_dump(),
        "slates": _slates_key(inputs, prepared, held_out) | {"slate": "llm"},
    }
    known = trained.store.load_json("logistic_fusion", key, "weights.json")
    if known is not None:
        return np.array(known)
    decisions = held_out.decisions
    user, decision, number = decisions.pairs()
    step = decisions.first[user] + decision
    queries = decisions.queries(user, decision, number, trained.histories.item_at(decisions.users[user], step + 1))
    blocks: list[tuple[int, Floats, Ints, Floats]] = []

    def look(chosen: Ints, view: ListView) -> None:
        match = view.lists.valid & (view.items == queries.target[chosen][:, None])
        hit = match.any(axis=1)
        terms = rule.terms(view)[hit]
        hidden = np.where(view.lists.valid[hit], 0.0, -np.inf)
        blocks.append((int(chosen[0]), terms, match[hit].argmax(axis=1), hidden))

    list_slates(inputs, trained, held_out.scores, held_out.source, RunningFusion(LlmOnly())).look(queries, look)
    blocks.sort(key=lambda block: block[0])  # threads end in any order
    weights = _fit_logistic(
        np.concatenate([b[1] for b in blocks]),
        np.concatenate([b[2] for b in blocks]),
        np.concatenate([b[3] for b in blocks]),
        np.array(rule.first_weights),
        rule.squared_penalty(),
    )
    with trained.store.creating("logistic_fusion", key) as folder, (folder / "weights.json").open("w") as file:
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
        log_p = logits - scipy.special.logsumexp(logits, axis=1, keepdims=True)
        expected = np.einsum("qn,qnf->f", np.exp(log_p), terms)
        value = -log_p[rows, target].mean() + penalty * float(weights @ weights)
        return float(value), (expected - terms[rows, target].sum(axis=0)) / len(rows) + 2 * penalty * weights

    return np.round(scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x, 6)
