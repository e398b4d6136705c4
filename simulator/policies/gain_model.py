"""The gain that a device may expect of a fresh list: a small model on what it knows, trained before the stream.

After the mis-recommendation detector of IntellectReq (Lv et al., WWW 2024, arXiv 2302.07335), with a cost-aware target:
how much NDCG@10 a fresh list would add to each of the next items, as many as it will be kept for at the wanted ratio.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from fleetrec.simulator.policies.counterfactual import Decisions
from fleetrec.simulator.policies.uncertainty import on_grid
from fleetrec.simulator.ranking.list_view import Floats, Ints, ListView
from fleetrec.simulator.ranking.scored_lists import confidence

FORMAT = 1  # of the artifact, the features and the training: raise it when one changes
LONGEST_HORIZON = 10
_FILE = "gain.safetensors"

FEATURES = (
    "log age",
    "age, up to 8",
    "rank gap",
    "invalid share",
    "entropy",
    "closeness",
    "best logit",
    "state similarity",
    "share consumed",
    "hits since",
    "discounted hits since",
    "newest item's discount",
    "LLM rank of the SRM's best",
    "popularity of the newest item",
)


@dataclass(frozen=True)
class Features:
    """What the model sees; `popularity` [n_items] is a count in the training part."""

    popularity: Ints

    def __call__(self, view: ListView) -> Floats:
        """Features [M, F]."""
        lists, age, queries = view.lists, view.age, len(view.user)
        n = lists.valid.shape[1]
        count, looked = np.maximum(lists.count, 1), np.maximum(age, 1)
        spread, close, best_logit = confidence(view.lists)
        # Few queries have met items of their list: which, and where in it.
        met, place = np.divmod(np.flatnonzero(view.first <= view.step[:, None]), n)
        had_at = view.first[met, place]
        since = had_at > view.as_of[met]
        had, reward = met[since], 1.0 / np.log2(place[since] + 2.0)
        newest = view.histories.item_at(view.user, view.step)
        columns = [
            np.log1p(age),
            np.minimum(age, 8) / 8,
            lists.rank_gap / n,
            1.0 - lists.count / n,
            spread,
            close,
            best_logit,
            view.similarity,
            np.bincount(met, minlength=queries) / count,
            np.bincount(had, minlength=queries) / looked,
            np.bincount(had, reward, queries) / looked,
            np.bincount(had, np.where(had_at[since] == view.step[had], reward, 0.0), queries),
            lists.llm_rank[np.arange(queries), lists.srm_order[:, 0]] / n,
            np.log1p(self.popularity[newest]),
        ]
        return np.array(columns).T


@dataclass(frozen=True)
class GainModel:
    """A linear model and a hidden layer beside it, on standardised features."""

    mean: Floats  # [F]
    scale: Floats  # [F]
    hidden: Floats  # [F, H]
    hidden_bias: Floats  # [H]
    out: Floats  # [H]
    linear: Floats  # [F]
    bias: Floats  # [1]

    def __call__(self, features: Floats) -> Floats:
        """Expected gain [M] in NDCG@10 of each of the next items."""
        x = np.clip((features - self.mean) / self.scale, -4.0, 4.0)
        layer = np.maximum(x @ self.hidden + self.hidden_bias, 0.0)
        return np.asarray(layer @ self.out + x @ self.linear + self.bias)

    @property
    def flops(self) -> float:
        """Of one call for one device."""
        features, hidden = self.hidden.shape
        return float(2 * features * (hidden + 2) + 3 * hidden)

    def save(self, folder: Path) -> None:
        save_file({name: np.ascontiguousarray(values) for name, values in vars(self).items()}, folder / _FILE)

    @staticmethod
    def load(folder: Path) -> "GainModel":
        return GainModel(**load_file(folder / _FILE))


def feature_flops(list_length: int, dim: int) -> float:
    """FLOPs of the features beyond a ranking: softmax and entropy over the list, the cosine, looking up the newest."""
    return list_length * (8.0 + 2.0 * 8) + 6.0 * dim


@dataclass(frozen=True)
class ExpectedGain:
    """The uncertainty of a device that asks where it expects a fresh list to gain."""

    features: Features
    model: GainModel

    def __call__(self, view: ListView) -> Floats:
        return on_grid(self.model(self.features(view)), view)


def gains(decisions: Decisions, reward: Floats, horizon: int) -> tuple[Floats, Floats]:
    """For every pair [P] of decision and list: the mean gain of a fresh list over the next `horizon` items.

    And how many of these items there are before the user's decisions end.
    """
    gain, weight = np.zeros(len(reward)), np.zeros(len(reward))
    user, decision, number = decisions.pairs()
    at = decisions.pair(user, decision, number)
    for ahead in range(horizon):
        inside = decision + ahead < decisions.count[user]
        later = np.where(inside, decision + ahead, decision)
        fresh = reward[decisions.pair(user, later, decision + 1)]
        stale = reward[decisions.pair(user, later, number)]
        gain[at] += np.where(inside, fresh - stale, 0.0)
        weight[at] += inside
    return gain / np.maximum(weight, 1.0), weight
