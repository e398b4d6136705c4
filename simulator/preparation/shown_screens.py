"""What users left of the screens that a log says they were shown, so that taking nothing is worth what it was to them.

A user who chooses takes nothing of a screen with the probability 1 / (1 + exp(its worth - skip)), so `skip` follows
from how often nothing was taken of which screens. What an item was worth is told by the fitted model from what the user
had had by then; that it was shown at all tells nothing of the user where it was shown at random.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.workload.exposures import Exposures
from fleetrec.simulator.workload.splitting import SplitLog
from fleetrec.simulator.workload.users.fitted import FittedUsers
from fleetrec.simulator.workload.users.utility import Floats, Ints, Moments, Past

FEWEST = 100
"""screens of fitting users, below which `skip` stays assumed"""
_MOST, _WIDEST, _TILE = 2_000, 100, 256
_BY_WORTH = 5
_HALVINGS, _FARTHEST = 60, 60.0
_DIGITS = 6


@dataclass(frozen=True)
class Screens:
    """Screens [S] that users saw after what the log tells of them as history."""

    user: Ints
    """[S] places in the log"""
    t_s: Floats  # [S]
    items: Ints
    """[S, K], of the log's catalogue; -1: none, or one that nobody ever took"""
    place: Ints
    """[S, K] from 0"""
    taken: NDArray[np.bool_]
    """[S] whether anything was"""

    def of(self, users: NDArray[np.bool_], most: int = _MOST) -> "Screens":
        """Those of `users` [U] with an item of the catalogue, at most so many, evenly among all."""
        held = np.flatnonzero(users[self.user] & (self.items >= 0).any(axis=1))
        if len(held) > most:
            held = held[np.arange(most) * len(held) // most]
        return Screens(self.user[held], self.t_s[held], self.items[held], self.place[held], self.taken[held])

    @property
    def left(self) -> float:
        """The share of which nothing was taken."""
        return float(1.0 - self.taken.mean()) if len(self.taken) else float("nan")


def screens_of(split: SplitLog, shown: Exposures) -> Screens:
    """The screens of streamed users that came whole after their history; none where the log has no times."""
    log, times = split.log, shown.t_s
    if times is None or shown.screen is None:
        none = np.zeros((0, 1), dtype=np.int64)
        return Screens(none[:, 0], np.zeros(0), none, none, np.zeros(0, dtype=np.bool_))
    user, item = _places(log.user_ids, shown.user_ids)[shown.user], _places(log.item_ids, shown.item_ids)[shown.item]
    first = np.full(log.n_users, split.cut_time or 0.0)
    if split.cut_time is None:
        first[split.streamed] = log.times[(log.offsets[:-1] + split.history)[split.streamed]]
    kept = (user >= 0) & (shown.screen >= 0) & split.streamed[user]
    kept &= times >= first[user]
    user, item, t_s = user[kept], item[kept], times[kept]
    order = np.lexsort((shown.position[kept], shown.screen[kept]))
    _, begin, screen = np.unique(shown.screen[kept][order], return_index=True, return_inverse=True)
    nth = np.arange(len(order)) - begin[screen]
    wide = min(int(nth.max(initial=0)) + 1, _WIDEST)
    items, place = np.full((len(begin), wide), -1), np.zeros((len(begin), wide), dtype=np.int64)
    near = nth < wide
    items[screen[near], nth[near]] = item[order][near]
    place[screen[near], nth[near]] = shown.position[kept][order][near]
    taken = np.bincount(screen, shown.clicked[kept][order], minlength=len(begin)) > 0
    rows = order[begin]
    by_time = np.lexsort((t_s[rows], user[rows]))
    return Screens(user[rows][by_time], t_s[rows][by_time], items[by_time], place[by_time], taken[by_time])


def worth(split: SplitLog, model: FittedUsers, screens: Screens, examination: float) -> Floats:
    """Log of the summed exponentials [S] of what the items of each screen were worth to its user, by their places."""
    found = np.empty(len(screens.user))
    for start in range(0, len(found), _TILE):
        some = slice(start, start + _TILE)
        user, t_s = screens.user[some], screens.t_s[some]
        begin = split.log.offsets[user]
        ends = split.log.offsets[user + 1]
        had = np.array(
            [
                np.searchsorted(split.log.times[first:last], until, side="left")
                for first, last, until in zip(begin.tolist(), ends.tolist(), t_s.tolist(), strict=True)
            ],
            dtype=np.int64,
        )
        row, nth = ragged(had)
        at = begin[row] + nth
        past = Past(
            user, np.concatenate([[0], np.cumsum(had)]), split.log.items[at].astype(np.int64), split.log.times[at]
        )
        each, nothing = np.arange(len(user)), np.zeros(len(user), dtype=np.int64)
        utility = model.of(model.initial(past), Moments(each, nothing, nothing, t_s), screens.items[some])
        found[some] = np.log(np.exp(utility - examination * np.log1p(screens.place[some])).sum(axis=1))
    return found


def skip_of(value: Floats, left: float) -> float:
    """What taking nothing is worth where nothing is taken of screens of these worths [S] at the share `left`."""
    low, high = float(value.min()) - _FARTHEST, float(value.max()) + _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if leaves(value, middle).mean() < left:
            low = middle
        else:
            high = middle
    return round((low + high) / 2, _DIGITS)


def leaves(value: Floats, skip: float) -> Floats:
    """The probabilities [S] that nothing is taken of screens of these worths."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(value - skip, -_FARTHEST, _FARTHEST))))


def compared_screens(fitted: Screens, held: Screens, value: Floats, skip: float) -> dict[str, Any]:
    """How often nothing is taken of held-out users' screens, of these worths [S], by the model and by them."""
    model, did = leaves(value, skip), 1.0 - held.taken
    parts = np.array_split(np.argsort(value, kind="stable"), _BY_WORTH)
    means = {"model_mean": float(model.mean()), "held_out_mean": held.left, "others_mean": fitted.left}
    curve = {name: [1.0 - means[f"{name}_mean"], 1.0] for name in ("model", "held_out")}
    return {
        "what": "left",
        "ks": abs(means["model_mean"] - held.left),
        "between_users": abs(fitted.left - held.left),
        **means,
        "curve": {"at": [0.0, 1.0], **curve},
        "screens": {"fitted": len(fitted.user), "held_out": len(held.user)},
        "by_worth": [
            {"model": float(model[part].mean()), "held_out": float(did[part].mean())} for part in parts if len(part)
        ],
    }


def _places(known: NDArray[Any], ids: Any) -> Ints:
    """The place of each id among those `known`; -1 where it is not."""
    at = {str(label): place for place, label in enumerate(known.tolist())}
    return np.array([at.get(str(label), -1) for label in ids], dtype=np.int64)
