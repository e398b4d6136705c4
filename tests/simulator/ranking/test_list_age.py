"""What lists are worth by their age: known worlds, and which interactions are looked at."""

from dataclasses import dataclass

import numpy as np
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.metrics import accuracy_per_query, clustered_mean
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_age import FEWEST, ranks_at_age, sample
from fleetrec.simulator.ranking.slates import BaselineSlates, ListSlates
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.workload.synthetic import synthetic_log

LENGTH, TAIL = 20, 20


@dataclass
class Successors:
    """Lists of the items that most often came one or two places after the newest item that they have seen."""

    histories: Histories
    counts: np.ndarray  # [n_items, n_items]
    list_length: int = LENGTH
    name = content_hash = "successors"

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        newest = self.histories.item_at(users, as_of)
        items = np.argsort(-self.counts[newest], axis=1, kind="stable")[:, : self.list_length]
        return CandidateLists(items.astype(np.int32), np.ones(len(users), dtype=bool), as_of)


class NoScores:
    """An SRM that knows nothing: every item scores the same."""

    def __init__(self, n_items: int):
        self.known = np.ones(n_items, dtype=bool)

    def of_lists(self, users: np.ndarray, steps: np.ndarray, items: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.zeros((*steps.shape, items.shape[1]))

    def plain(self) -> None:
        """It has no states."""


def rewards_at(freshness: float, ages: tuple[int, ...]) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """NDCG@10 by age of lists of successors, which are learnt from all but each user's last events."""
    world = sections.SyntheticWorld(
        users=500, items=150, genres=4, styles=2, events_per_user=60, days=4, freshness=freshness, noise=0.0
    )
    log = synthetic_log(world)
    histories = Histories(log.offsets, log.items, log.n_items)
    counts = np.zeros((log.n_items, log.n_items))
    users, steps = [], []
    for user in range(log.n_users):
        own = log.items[log.offsets[user] : log.offsets[user + 1]]
        trained = own[: max(0, len(own) - TAIL)]
        for apart in (1, 2):
            np.add.at(counts, (trained[:-apart], trained[apart:]), 1)
        streamed = np.arange(max(TAIL, len(own) - TAIL), len(own))
        users.append(np.full(len(streamed), user))
        steps.append(streamed)
    user, step = np.concatenate(users), np.concatenate(steps)
    source = Successors(histories, counts)
    fallback = BaselineSlates(None, log.n_items, LENGTH, True)  # type: ignore[arg-type]  # every device has a list
    slates = ListSlates(histories, NoScores(log.n_items), source, RunningFusion(LlmOnly()), fallback, True)  # type: ignore[arg-type]
    return {
        age: accuracy_per_query(ranks_at_age(slates, histories, user, step, age), (10,))["ndcg@10"] for age in ages
    }, user


@pytest.mark.parametrize(("freshness", "flat"), [(0.0, True), (0.9, False)])
def test_lists_age_where_fresh_items_tell_more_and_only_there(freshness: float, flat: bool) -> None:
    rewards, users = rewards_at(freshness, (0, 8))
    loss, half = clustered_mean(rewards[0] - rewards[8], users)
    assert (abs(loss) < 1.6 * half) if flat else (loss > 5 * half)  # flat: three standard errors


def test_the_same_interactions_are_looked_at_whatever_else_was_met_and_all_can_have_a_list_of_every_age() -> None:
    first = np.arange(300) % 5
    users, steps = np.repeat(np.arange(300), 12), np.tile(np.arange(1, 13), 300) + np.repeat(first, 12)
    rows, ages = sample(users, steps, first)
    assert ages == (0, 1, 2, 4, 8)  # nobody has a list that is 16 old
    assert (steps[rows] - 1 - max(ages) >= first[users[rows]]).all()
    twice, _ = sample(np.tile(users, 2), np.tile(steps, 2), first)  # clones of every user
    assert (users[rows] == users[twice % len(users)]).all()
    assert (steps[rows] == steps[twice % len(users)]).all()


def test_too_few_interactions_give_no_curve() -> None:
    users = np.arange(FEWEST - 1)
    rows, ages = sample(users, np.full(len(users), 40), np.zeros(len(users), dtype=np.int64))
    assert (len(rows), ages) == (0, ())


def test_of_lists_that_cost_money_only_those_that_were_had_are_looked_at() -> None:
    users, steps = np.repeat(np.arange(300), 8), np.tile(np.arange(2, 10), 300)
    first = np.zeros(300, dtype=np.int64)
    assert sample(users, steps, first, (users[:0], steps[:0]))[1] == ()
    asked = steps % 2 == 0  # no step has both a fresh list and one that is an interaction old
    rows, ages = sample(users, steps, first, (users[asked], steps[asked] - 1))
    assert ages == (0,)
    assert (steps[rows] % 2 == 0).all()
