"""The held-out decisions: the ends of the validation users' training parts, which no model was trained on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.metrics import accuracy_per_query
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.wording import counted
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.deployment import Deployed
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.counterfactual import Decisions
from fleetrec.simulator.preparation.prepare import CandidateStore, Prepared
from fleetrec.simulator.preparation.training import VALIDATION_SEED, TrainedModels, candidate_source, srm_scores
from fleetrec.simulator.ranking.list_view import Floats, Ints, ListView
from fleetrec.simulator.ranking.slates import ListSlates
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.scenario.inputs import PreparationInputs

FEW_USERS = 64
"""held-out users whose lists are asked for where each takes seconds or money, or somebody's own answers"""
FEWEST_DECISIONS = 20
"""held-out decisions below which nothing is found on them"""


@dataclass(frozen=True)
class HeldOut:
    """The held-out ends of the training part, with what ranks them."""

    decisions: Decisions
    srm: Deployed
    scores: SrmScores
    source: CandidateStore
    n_held_out: int
    """decisions that were held out; fewer are left where a table has no lists for them"""


def held_out_decisions(inputs: PreparationInputs, data: TrainingSet) -> Decisions:
    """Every decision at the ends of the validation users, who begin with a preloaded list as a fleet does.

    Where each list takes seconds or money, of `FEW_USERS` of them: their lists are made before the stream begins.
    """
    users = np.flatnonzero(data.fit_end < data.valid_end)
    if inputs.lists.candidates.dear:
        users = np.sort(users[Draws(VALIDATION_SEED).first_of(FEW_USERS, len(users), "calibration users")])
    step = np.maximum(data.fit_end - 1, 0)[users]
    begins_with = np.maximum(step - inputs.lag, -1) if inputs.lag is not None else np.full(len(users), -1)
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


def held_out_of(prepared: Prepared, device: str, progress: Progress, source: CandidateStore | None = None) -> HeldOut:
    """The held-out decisions with what ranks them.

    Lists come from `source` where one is given, else from what makes the stream's. Of a table those decisions are
    left whose own lists it holds: an older list is no measure of a newer one.
    """
    inputs, trained, srm = prepared.inputs, prepared.trained, prepared.srm
    decisions = held_out_decisions(inputs, trained.training)
    first = np.maximum(np.maximum(trained.training.fit_end - 1, 0) - (inputs.lag or 0), 0)
    scores = srm_scores(trained, first, decisions.users, srm)
    n_held_out = int(decisions.count.sum())
    if source is None:
        source, _ = candidate_source(inputs.lists.exact(), trained, srm, first, scores, device, progress)
    if inputs.lists.candidates.recorded:
        decisions = with_lists(decisions, source)
    return HeldOut(decisions, srm, scores, source, n_held_out)


def enough(held_out: HeldOut, key: str, instead: str) -> None:
    """InputError where what `key` names would rest on next to nothing; `instead`: what needs no held-out decisions."""
    left = int(held_out.decisions.count.sum())
    if left < FEWEST_DECISIONS:
        lists = (
            f"the table has lists for {left} of the {held_out.n_held_out:,} held-out decisions before the stream that "
            "it is found on; add the answers to the prompts whose part is 'calibration' (prompts export)"
            if held_out.n_held_out >= FEWEST_DECISIONS
            else f"the log holds out {counted(left, 'decision')} before the stream to find it on, and "
            f"{FEWEST_DECISIONS} are needed; use a longer log"
        )
        raise InputError(f"{key}: {lists}, or {instead}")


def scarce(held_out: HeldOut) -> list[Note]:
    """A note where a table has lists for less than half of the held-out decisions."""
    left = int(held_out.decisions.count.sum())
    if 2 * left >= held_out.n_held_out:
        return []
    said = (
        "the policy is calibrated on {left:,} of {held_out:,} held-out decisions, for which there are lists in "
        "the table; prompts export writes the prompts of the others, too (part: calibration)"
    )
    return [note("calibration_scarce", said, left=left, held_out=held_out.n_held_out)]


def rewards_of(slates: ListSlates, trained: TrainedModels, decisions: Decisions) -> Floats:
    """NDCG@10 [P] of the user's next item under every pair of decision and list."""
    user, decision, number = decisions.pairs()
    step = decisions.first[user] + decision
    queries = decisions.queries(user, decision, number, trained.histories.item_at(decisions.users[user], step + 1))
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
