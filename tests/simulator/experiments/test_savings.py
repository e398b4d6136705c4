"""The price of a worth, by hand."""

import numpy as np
import pytest

from simulator.experiments.savings import Plane, best_saving, price_of


def test_a_price_lies_on_the_line_between_two_runs() -> None:
    """Worth 1, 2, 4 for 10, 20, 60: 3 costs 40, 0 as much as the least, and 5 cannot be had."""
    worth, cost = np.array([[4.0, 1.0, 2.0]] * 4), np.array([[60.0, 10.0, 20.0]] * 4)
    np.testing.assert_allclose(price_of(np.array([3.0, 0.0, 4.0, 5.0]), worth, cost), [40.0, 10.0, 60.0, np.inf])


def test_a_run_that_another_beats_costs_what_the_other_costs() -> None:
    """Worth 2 for 50 is beaten by 3 for 30: as much as 2 is to be had for 30."""
    price = price_of(np.array([2.0]), np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 50.0, 30.0]]))
    np.testing.assert_allclose(price, [30.0])


def _plane(cost_of_other: float) -> Plane:
    worth, cost = np.array([0.2, 0.2]), np.array([1.0, cost_of_other])
    draws = np.ones((100, 1))
    return Plane(["base", "other"], 0, worth, cost, draws * worth, draws * cost, np.ones(2, dtype=bool))


def test_what_would_be_told_as_nothing_is_no_saving() -> None:
    assert best_saving(_plane(0.998), {"other": [1]}) is None
    found = best_saving(_plane(0.9), {"other": [1]})
    assert found is not None
    assert found.share == pytest.approx(0.1)
