"""The honest baselines beside every curve: where each would have put the items that the users went on to have.

All of them see the history up to the interaction before, at no delay and no cost; what they learnt, they learnt from
the training part. They are the same for every policy of a world, so they are kept as an artifact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.unique import different_pairs
from fleetrec.models.srm.deployment import Deployed
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.preparation.training import BASELINES, TrainedModels
from fleetrec.simulator.ranking.slates import BaselineSlates, CatalogueSlates, Queries, Slates
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.results.summary import NOT_EVALUATED

Ints = NDArray[np.int64]

FORMAT = 2  # of the artifact and of what is computed: raise it when either changes
DIN_SAMPLE = 2_000
"""interactions on which an SRM without a user state is ranked over the whole catalogue: each costs a full pass"""
_QUERIES_PER_CALL = 8_192


def baseline_ranks(
    trained: TrainedModels,
    srm: Deployed,
    scores: SrmScores,
    users: NDArray[np.integer[Any]],
    steps: NDArray[np.integer[Any]],
    length: int,
    exclude_seen: bool,
    progress: Progress,
) -> dict[str, NDArray[Any]]:
    """Rank [M] of the item of each (user, step) under every baseline; -1 absent, NOT_EVALUATED outside a sample.

    A user has had everything before `step`; a group of simultaneous interactions is taken one after the other.
    """
    pairs, back = different_pairs(users, steps)
    key = {
        "format": FORMAT,
        "pairs": content_hash(pairs),
        "log": trained.split.log.content_hash,
        "training": trained.training.content_hash,
        "srm": srm.content_hash,
        "length": length,
        "exclude_seen": exclude_seen,
        "sample": DIN_SAMPLE,
    }
    folder = trained.store.open("baselines", key)
    if folder is None:
        ranks = _ranks(trained, scores, pairs[0], pairs[1], length, exclude_seen, progress)
        with trained.store.creating("baselines", key) as temporary:
            for name, values in ranks.items():
                np.save(temporary / f"{name}.npy", values.astype(np.int32), allow_pickle=False)
    else:
        ranks = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in (*BASELINES, "srm")}
    return {name: values.astype(np.int32)[back] for name, values in ranks.items()}


def _ranks(
    trained: TrainedModels,
    scores: SrmScores,
    users: Ints,
    steps: Ints,
    length: int,
    exclude_seen: bool,
    progress: Progress,
) -> dict[str, Ints]:
    histories = trained.histories
    kinds: dict[str, Slates] = {
        name: BaselineSlates(trained.baselines[name], histories.n_items, length, exclude_seen) for name in BASELINES
    }
    kinds["srm"] = CatalogueSlates(histories, scores, length, exclude_seen)
    nothing, first_weights = np.full(len(users), -1), np.zeros(len(users), dtype=np.int64)
    queries = Queries(users, steps - 1, nothing, histories.item_at(users, steps), steps - 1, first_weights)
    result = {}
    with progress.task("baselines", len(kinds) * len(users)) as task:
        for name, slates in kinds.items():
            ranks = np.full(len(users), NOT_EVALUATED)
            chosen = np.arange(len(users))
            if name == "srm" and not trained.srm.kept.shape.has_user_state:
                chosen = np.sort(Draws(0).first_of(DIN_SAMPLE, len(users), "baselines.sample"))
            for start in range(0, len(chosen), _QUERIES_PER_CALL):
                part = chosen[start : start + _QUERIES_PER_CALL]
                ranks[part] = slates.place(queries.take(part))[0]
                task.advance(len(part))
            result[name] = ranks
    return result
