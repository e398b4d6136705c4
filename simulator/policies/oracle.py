"""The best request times for those who know the future: a bound on what any request policy can reach at a budget.

At zero latency and fixed weights, what an item's place is worth depends only on the step and on the list in hand, so
dynamic programming over step, list and requests left finds each user's best times for every number of requests.
"""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.policies.counterfactual import Bools, Decisions, Floats, Ints

_CELLS = 20_000_000  # choices kept at once


def best_requests(decisions: Decisions, reward: Floats, may_ask: Bools, budget: int) -> Bools:
    """Which decisions [sum of counts] ask, so that the summed reward of the lists in hand is the largest.

    `reward` [P] of the user's next item under each pair of decision and list; `may_ask` [sum of counts]. At most
    `budget` requests, of which each user gets as many as pay best: users' curves of reward by number of requests are
    replaced by their concave hulls, which costs less than the hull's last step of one user.
    """
    starts = np.concatenate([[0], np.cumsum(decisions.count)])
    asks = np.zeros(int(starts[-1]), dtype=bool)
    groups = [(users, *_curves(decisions, reward, may_ask, users)) for users in _alike(decisions.count)]
    granted = _share_out([curve for _, curves, _ in groups for curve in curves], budget)
    done = 0
    for users, _, choices in groups:
        left = granted[done : done + len(users)].copy()
        done += len(users)
        number = np.zeros(len(users), dtype=np.int64)
        each = np.arange(len(users))
        for decision, choice in enumerate(choices):
            now = choice[each, number, left]
            left -= now
            number = np.where(now, decision + 1, number)
            asks[starts[users] + decision] = now
    return asks


def _alike(count: Ints) -> list[Ints]:
    """Users in groups of equal count, small enough for their choices to be kept."""
    groups = []
    for n in np.unique(count[count > 0]).tolist():
        users = np.flatnonzero(count == n)
        size = max(1, _CELLS // (n * (n + 1) * (n + 1)))
        groups += [users[begin : begin + size] for begin in range(0, len(users), size)]
    return groups


def _curves(
    decisions: Decisions, reward: Floats, may_ask: Bools, users: Ints
) -> tuple[Floats, list[NDArray[np.bool_]]]:
    """For users [U] with n decisions each: the best reward [U, n + 1] of at most so many requests.

    And for every decision whether to ask [U, lists, n + 1] with a list in hand and so many requests left.
    """
    n = int(decisions.count[users[0]])
    starts = np.cumsum(decisions.count) - decisions.count
    best = np.zeros((len(users), n + 1, n + 1))  # by list in hand and requests left, from the decision after on
    choices: list[NDArray[np.bool_]] = []
    for decision in reversed(range(n)):
        in_hand = np.arange(decision + 1)
        at = decisions.pair(users[:, None], np.asarray(decision), in_hand)
        keep = reward[at][:, :, None] + best[:, : decision + 1]
        fresh = reward[decisions.pair(users, np.asarray(decision), np.asarray(decision + 1))]
        ask = np.full((len(users), 1, n + 1), -np.inf)
        ask[:, 0, 1:] = fresh[:, None] + best[:, decision + 1, :-1]
        ask[~may_ask[starts[users] + decision]] = -np.inf
        choices.append(ask > keep)
        best = np.where(choices[-1], ask, keep)
    return best[:, 0], choices[::-1]


def _share_out(curves: list[Floats], budget: int) -> Ints:
    """How many requests each user gets: hull steps by falling reward a request, as long as they fit."""
    steps: list[tuple[float, int, int, int]] = []
    for user, curve in enumerate(curves):
        begin = 0
        while begin < len(curve) - 1:
            slopes = (curve[begin + 1 :] - curve[begin]) / np.arange(1, len(curve) - begin)
            best = int(slopes.argmax())
            if slopes[best] <= 0:
                break
            steps.append((-float(slopes[best]), user, begin, begin + 1 + best))
            begin += 1 + best
    granted = np.zeros(len(curves), dtype=np.int64)
    left = budget
    for _, user, begin, end in sorted(steps):
        if granted[user] == begin and end - begin <= left:
            granted[user] = end
            left -= end - begin
    return granted
