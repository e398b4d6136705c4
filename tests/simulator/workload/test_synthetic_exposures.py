"""The built-in world's log of what was shown follows the laws that it states."""

import numpy as np
import pytest

from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.synthetic_exposures import ExposureWorld

WORLD = ExposureWorld(SyntheticWorld(users=40, items=30), slates=200, places=3)


def test_items_are_shown_as_often_as_their_propensities_say() -> None:
    log = WORLD.log()
    shown = np.bincount(log.user * 30 + log.item, minlength=40 * 30).reshape(40, 30) / 600
    error = np.sqrt(WORLD.shown * (1 - WORLD.shown) / 600)
    assert (np.abs(shown - WORLD.shown) < 5 * error + 1e-9).all()
    assert log.propensity == pytest.approx(WORLD.shown[log.user, log.item])


def test_clicks_follow_attraction_and_examination() -> None:
    log = WORLD.log()
    chance = WORLD.attraction[log.user, log.item] * WORLD.examination[log.position]
    for position in range(3):
        here = log.position == position
        assert log.clicked[here].mean() == pytest.approx(chance[here].mean(), abs=0.02)
    assert log.clicked.mean() == pytest.approx(WORLD.click_rate(WORLD.shown), abs=0.01)
    assert WORLD.examination == pytest.approx([1, 1 / 2, 1 / 3])


def test_another_seed_is_another_log_of_the_same_world() -> None:
    first, second = WORLD.log(1), WORLD.log(2)
    assert (first.item == WORLD.log(1).item).all()
    assert (first.item != second.item).any()


def test_taste_tells_users_apart() -> None:
    best = WORLD.attraction.argmax(axis=1)
    assert len(np.unique(best)) > 5
    assert 0.0 < WORLD.attraction.min() < WORLD.attraction.max() < 1.0
