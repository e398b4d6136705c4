"""Histories that grow have the states and first positions of histories that were always so long."""

import numpy as np
import pytest
import torch

from fleetrec.models import tiles
from fleetrec.models.prefixes import prefix_states
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.growing_scores import GrowingScores
from fleetrec.simulator.ranking.histories import Histories

ITEMS, BEFORE = 50, np.array([3, 9, 1, 6])
LENGTHS = np.array([20, 21, 13, 6])
OFFSETS = np.concatenate(([0], np.cumsum(LENGTHS)))


def whole() -> np.ndarray:
    """The items that everybody comes to have."""
    return np.random.default_rng(1).integers(0, ITEMS, OFFSETS[-1]).astype(np.int32)


def begun() -> GrowingHistories:
    """The same histories before the run."""
    items = np.full(OFFSETS[-1], -1, dtype=np.int32)
    for user, known in enumerate(BEFORE.tolist()):
        items[OFFSETS[user] : OFFSETS[user] + known] = whole()[OFFSETS[user] : OFFSETS[user] + known]
    return GrowingHistories(OFFSETS, items, ITEMS, BEFORE, np.arange(4))


def model(kind: str) -> StateModel:
    """An untrained one with a window of 8 items."""
    torch.manual_seed(3)
    return Gru4Rec(ITEMS, 8, 8, 2, 0.0) if kind == "gru" else SasRec(ITEMS, 8, 8, 1, 1, 0.0)


def grow(histories: GrowingHistories, users: list[int]) -> None:
    """One more item each."""
    who = np.array(users)
    nth = histories.lengths[who]
    histories.append(who, whole()[OFFSETS[who] + nth], nth - BEFORE[who])


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("kind", ["gru", "sasrec"])
def test_states_that_are_carried_on_are_those_of_the_whole_history(
    kind: str, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine, and as on one whose library treats no two rows alike."""
    monkeypatch.setattr(tiles, "_TRIED", {})
    if not alike:
        monkeypatch.setattr(tiles, "_rows_are_alike", lambda *_: False)
    first = BEFORE - 1
    states, rows = prefix_states(model(kind), OFFSETS, whole(), first)
    histories = begun()
    scores = GrowingScores(model(kind), histories, first, np.arange(3), np.ones(ITEMS, dtype=bool))
    for steps in range(14):
        some = [user for user in range(3) if histories.lengths[user] < LENGTHS[user] and (user + steps) % 3]
        grow(histories, some)
        users = np.array(some if steps % 4 else some[:1])  # some are asked for later, several at once
        newest = histories.lengths[users] - 1
        scores.ready(users, newest)
        if steps == 6:  # what was thought to come did not: the same is had again
            back = histories.lengths[users] - np.minimum(2, histories.lengths[users] - BEFORE[users])
            scores.rewind(users, back)
            scores.ready(users, newest)
        expected = states[rows[users] + newest - first[users]].double().numpy()
        assert np.array_equal(scores.states(users, newest), expected)


def test_a_first_position_is_that_of_the_log_as_far_as_it_has_come() -> None:
    histories, users = begun(), np.arange(4)
    asked = np.tile(np.arange(ITEMS), (4, 1))
    for _ in range(6):
        known = np.concatenate(([0], np.cumsum(histories.lengths)))
        items = [histories.items[OFFSETS[u] : OFFSETS[u] + histories.lengths[u]] for u in range(4)]
        expected = Histories(known, np.concatenate(items), ITEMS).first_position(users, asked)
        assert np.array_equal(histories.first_position(users, asked), expected)
        grow(histories, [0, 1, 2])


def test_what_did_not_happen_is_taken_back() -> None:
    histories = begun()
    grow(histories, [0, 1])
    grow(histories, [0])
    histories.rewind(np.array([0]), np.array([4]))
    assert histories.lengths.tolist() == [4, 10, 1, 6]
    assert histories.item_at(np.array([0, 1]), np.array([4, 9])).tolist()[0] == -1
