"""The price of a reward, by hand."""

import numpy as np
import pytest

from fleetrec.simulator.experiments.comparison.cost_plane import Plane
from fleetrec.simulator.experiments.comparison.savings import price_of, savings


def test_a_price_lies_on_the_line_between_two_runs() -> None:
    """Worth 1, 2, 4 for 10, 20, 60: 3 costs 40, 0 as much as the least, and 5 cannot be had."""
    reward, cost = np.array([[4.0, 1.0, 2.0]] * 4), np.array([[60.0, 10.0, 20.0]] * 4)
    np.testing.assert_allclose(price_of(np.array([3.0, 0.0, 4.0, 5.0]), reward, cost), [40.0, 10.0, 60.0, np.inf])


def test_a_run_that_another_beats_costs_what_the_other_costs() -> None:
    """Worth 2 for 50 is beaten by 3 for 30: as much as 2 is to be had for 30."""
    price = price_of(np.array([2.0]), np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 50.0, 30.0]]))
    np.testing.assert_allclose(price, [30.0])


def _plane(reward: list[float], cost: list[float], reward_band: float = 0.0, cost_band: float = 0.0) -> Plane:
    """The first variant is the baseline; every difference is known to within the bands."""
    n = len(reward)
    bands = [np.where(np.arange(n) > 0, band, 0.0) for band in (reward_band, cost_band)]
    places = np.arange(n)
    names = [f"v{i}" for i in places]
    return Plane(names, 0, np.array(reward), np.array(cost), *bands, np.ones(n, dtype=bool), places, 0.95)


def test_what_would_be_told_as_nothing_is_no_saving() -> None:
    assert not savings(_plane([0.2, 0.2], [1.0, 0.998]), {"other": [1]})
    found = savings(_plane([0.2, 0.2], [1.0, 0.9]), {"other": [1]})[0]
    assert (found.share, found.shown) == (pytest.approx(0.1), True)


def test_a_saving_is_shown_where_it_holds_at_every_point_of_the_band() -> None:
    """0.25 against 0.2 at half the cost: shown while neither the gain of 0.05 nor the 0.5 saved may be chance."""
    for reward_band, cost_band, shown in (
        (0.04, 0.4, True),
        (0.06, 0.4, False),
        (0.04, 0.6, False),
        (0.04, np.inf, False),
    ):
        found = savings(_plane([0.2, 0.25], [1.0, 0.5], reward_band, cost_band), {"other": [1]})[0]
        assert found.shown == shown


def test_the_worst_of_a_family_between_its_runs_by_hand() -> None:
    """Worth 0.1 and 0.3 for 1 and 3, against 0.2 for 2.5: 2 at the estimates. With the family 0.05 worse it pays 2.5
    for 0.2; another 0.1 on every price makes 2.6."""
    found = savings(_plane([0.2, 0.1, 0.3], [2.5, 1.0, 3.0], 0.05, 0.1), {"f": [1, 2]})[0]
    assert (found.price, found.below, found.variant) == (pytest.approx(2.0), 1, 2)
    assert found.low == pytest.approx(1 - 2.6 / 2.5)
    assert not found.shown
