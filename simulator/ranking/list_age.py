"""What a candidate list is worth by its age: interactions of the stream ranked, at no latency, as if each device had
held a list that is so many interactions old. The same interactions at every age."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.slates import Queries, Slates

Ints = NDArray[np.int64]

AGES = (0, 1, 2, 4, 8, 16)
_MOST_USERS = 400
_MOST = 1_500
FEWEST = 200
"""interactions below which a mean says little"""


def ranks_at_age(slates: Slates, histories: Histories, users: Ints, steps: Ints, age: int) -> Ints:
    """Rank [M] of the item of each (user, step) in the slate of a list that is `age` interactions old; -1: absent."""
    seen = steps - 1
    items = histories.item_at(users, steps)
    return slates.place(Queries(users, seen, seen - age, items, seen, np.zeros_like(users)))[0]


def sample(
    users: NDArray[np.integer[Any]],
    steps: NDArray[np.integer[Any]],
    first: Ints,
    had: tuple[Ints, Ints] | None = None,
) -> tuple[Ints, tuple[int, ...]]:
    """Which of the interactions (user [M], step [M]) to rank, and at which ages: a keyed sample of a few hundred users.

    `first` [U]: the oldest list that each user may have. Where lists are given that were `had`, of users [L] as of
    positions [L], only interactions all of whose lists are among them. The ages are those that at least `FEWEST`
    interactions can have; none where there are fewer at all.
    """
    chosen = Draws(0).permutation(len(first), "list age users")
    present = np.zeros(len(first), dtype=bool)
    present[users] = True
    few = np.zeros(len(first), dtype=bool)
    few[chosen[present[chosen]][:_MOST_USERS]] = True
    rows = np.flatnonzero(few[users])
    _, each_once = np.unique(np.stack([users[rows], steps[rows]]), axis=1, return_index=True)
    rows = rows[each_once]
    width = int(steps.max(initial=0)) + 1
    known = had[0] * width + had[1] if had is not None else None
    kept, ages = rows[:0], 0
    for number, age in enumerate(AGES, start=1):
        rows = rows[steps[rows] - 1 - age >= first[users[rows]]]
        if known is not None:
            rows = rows[np.isin(users[rows].astype(np.int64) * width + steps[rows] - 1 - age, known)]
        if len(rows) < FEWEST:
            break
        kept, ages = rows, number
    some = Draws(0).first_of(_MOST, len(kept), "list age interactions")
    return kept[np.sort(some)], AGES[:ages]
