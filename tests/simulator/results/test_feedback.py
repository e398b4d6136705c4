"""Feedback loops show where they are, and nothing shows where there is none."""

import numpy as np
import pytest

from fleetrec.simulator.results.feedback import (
    STRETCHES,
    Choices,
    closeness,
    feedback_section,
    gini,
    item_vectors,
    popularity_of,
)

ITEMS, USERS = 40, 60


def log() -> tuple[np.ndarray, np.ndarray]:
    """Users of two tastes: even ones have the first half of the items, odd ones the second."""
    rng = np.random.default_rng(1)
    users = np.repeat(np.arange(USERS), 10)
    return users, (rng.integers(0, ITEMS // 2, len(users)) + ITEMS // 2 * (users % 2)).astype(np.int64)


def section(items: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    """Of choices in the order of time."""
    users, had = log()
    close = closeness(item_vectors(users, had, ITEMS), users, had, USERS, owner, items)
    popularity = popularity_of(np.bincount(had, minlength=ITEMS))
    found = feedback_section(
        Choices(owner, items, np.arange(len(items), dtype=np.float64), close, popularity, np.arange(USERS))
    )
    assert found is not None
    return found


def test_gini_is_that_of_hand_made_counts() -> None:
    assert gini(np.array([3, 3, 3])) == 0.0
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)
    assert gini(np.array([1, 3])) == pytest.approx(1 / 4)


def test_popularity_is_a_place_among_all_and_ties_are_alike() -> None:
    assert popularity_of(np.array([5, 0, 5, 9])).tolist() == [0.5, 0.0, 0.5, 1.0]


def test_users_who_stay_with_their_taste_do_not_drift_and_those_who_leave_it_do() -> None:
    owner = np.tile(np.arange(USERS), 40)
    rng = np.random.default_rng(2)
    own = rng.integers(0, ITEMS // 2, len(owner)) + ITEMS // 2 * (owner % 2)
    assert abs(section(own, owner)["own_taste_drift"]) < 0.1
    later = np.arange(len(owner)) > len(owner) // 2
    left = np.where(later, (own + ITEMS // 2) % ITEMS, own)
    assert section(left, owner)["own_taste_drift"] < -0.5


def test_choices_that_narrow_are_told_by_gini_and_coverage() -> None:
    owner = np.tile(np.arange(USERS), 40)
    part = np.arange(len(owner)) * STRETCHES // len(owner)
    items = np.random.default_rng(3).integers(0, ITEMS // (part + 1))
    found = section(items, owner)
    assert found["gini_drift"] > 0.5
    assert found["coverage_drift"] < -0.5
    assert len(found["over_time"]["gini"]) == STRETCHES  # type: ignore[index]


def test_of_a_handful_of_choices_nothing_is_told() -> None:
    few = np.zeros(30, np.int64)
    assert feedback_section(Choices(few, few, np.arange(30.0), np.zeros(30), np.ones(ITEMS), few[:1])) is None
