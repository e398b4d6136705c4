"""What users choose is learnt from what they chose, and probabilities are as often right as they say."""

import numpy as np
import pytest
import torch

from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.srm.training import deterministic
from fleetrec.models.users.choice_features import AGES, COUNTS, away_class
from fleetrec.models.users.choice_model import (
    ChoiceModel,
    Had,
    Histories,
    block,
    popularity_classes,
    train_choice_model,
)

N_ITEMS, LENGTH = 12, 30


def histories(users: int, returns: float) -> Histories:
    """Users who go back to one of their items with a chance, and take the next item of a circle otherwise."""
    draws = np.random.default_rng(1)
    items = np.zeros((users, LENGTH), dtype=np.int64)
    items[:, 0] = draws.integers(N_ITEMS, size=users)
    for step in range(1, LENGTH):
        before = items[np.arange(users), draws.integers(step, size=users)]
        back = draws.random(users) < returns
        items[:, step] = np.where(back, before, (items[:, step - 1] + 1) % N_ITEMS)
    away_s = np.full(users * LENGTH, 10.0)
    away_s[::LENGTH] = np.inf
    return Histories(np.arange(users + 1) * LENGTH, items.ravel(), away_s, N_ITEMS)


def test_what_users_have_had_is_told_by_how_often_and_how_long_ago() -> None:
    data = Histories(np.array([0, 6]), np.array([3, 3, 1, 3, 2, 1]), np.array([np.inf, 5, 5, 5, 9e3, 100.0]), 5)
    row, item, kind, log_length = block(data, 0, 4, 6).had
    told = [(r, i, *np.unravel_index(k, (3, len(COUNTS), len(AGES)))) for r, i, k in zip(row, item, kind, strict=True)]
    assert told == [(0, 1, 2, 0, 1), (0, 3, 2, 2, 0), (1, 1, 1, 0, 2), (1, 2, 1, 0, 0), (1, 3, 1, 2, 1)]
    assert log_length == pytest.approx(np.log([4, 5]))


def test_pauses_have_three_classes() -> None:
    assert away_class(np.array([0.0, 60, 61, 1800, 1801, np.inf])).tolist() == [0, 0, 1, 1, 2, 2]


def test_classes_of_popularity_are_tenths_of_what_was_had() -> None:
    popularity = np.array([1.0, 50, 0, 30, 19])
    assert popularity_classes(popularity).tolist() == [9, 0, 10, 5, 8]


def test_the_next_item_of_a_circle_is_learnt_and_returns_are_calibrated() -> None:
    data = histories(80, returns=0.4)
    begin, end = np.full(80, 10), np.full(80, LENGTH)
    validating = np.arange(80) % 4 == 0
    with deterministic(1, 1, "cpu"):
        weights, told = train_choice_model(
            data, np.ones(N_ITEMS), begin, end, validating, seed=1, progress=NullProgress()
        )
    assert told["epochs"][-1]["nats"] < np.log(N_ITEMS)
    model = ChoiceModel(N_ITEMS, np.ones(N_ITEMS))
    model.load_state_dict(weights)
    sums, own, again = [], [], []
    model.requires_grad_(False)
    for user in np.flatnonzero(validating).tolist():
        one = block(data, user, 10, LENGTH)
        row, item, kind, log_length = map(torch.from_numpy, one.had)
        states = model.states(torch.from_numpy(one.items)[None], torch.from_numpy(one.away)[None])[0]
        logits = model.logits(states[one.first :], Had(row, item, kind, log_length.float()))
        mine = torch.zeros(logits.shape, dtype=torch.bool)
        mine[row, item] = True
        sums.append(logits.exp().sum(1))
        own.append((logits.softmax(1) * mine).sum(1))
        again.append(mine[torch.arange(len(logits)), torch.from_numpy(one.chosen)])
    assert float(torch.cat(own).mean()) == pytest.approx(float(torch.cat(again).double().mean()), abs=0.01)
    assert float(torch.cat(sums).log().mean()) == pytest.approx(0.0, abs=0.05)
    assert float(torch.cat(sums).log().std()) < 0.5
