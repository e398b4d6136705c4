"""Fronts against hand-made cases and Monte Carlo."""

import numpy as np
import pytest

from fleetrec.simulator.experiments.comparison.pareto import hypervolume, knee, nondominated


def test_a_front_is_what_nothing_beats() -> None:
    """Cost less, accuracy more; the third is beaten by the second, the twins of the second do not beat each other."""
    points = np.array([[1.0, 0.1], [2.0, 0.3], [2.0, 0.2], [2.0, 0.3]])
    assert nondominated(points * [1, -1]).tolist() == [True, True, False, True]


def test_what_is_not_known_is_on_no_front_and_beats_nothing() -> None:
    assert nondominated(np.array([[np.nan, 0.0], [1.0, 1.0]])).tolist() == [False, True]


def test_a_front_is_that_of_all_pairs_for_three_objectives() -> None:
    points = np.random.default_rng(1).random((60, 3))
    beaten = [any((q <= p).all() and (q < p).any() for q in points) for p in points]
    assert nondominated(points).tolist() == [not b for b in beaten]


def test_the_area_under_three_steps() -> None:
    """(0, 2), (1, 1), (2, 0) under (3, 3): a staircase of 1 x 1 + 1 x 2 + 1 x 3."""
    points = np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0], [2.5, 2.5]])
    assert hypervolume(points, np.array([3.0, 3.0])) == pytest.approx(6.0)


def test_two_boxes_in_space() -> None:
    """1 x 2 x 2 and 2 x 1 x 2 share 1 x 1 x 2."""
    points = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert hypervolume(points, np.array([2.0, 2.0, 2.0])) == pytest.approx(4 + 4 - 2)


def test_what_is_beyond_the_reference_covers_nothing() -> None:
    assert hypervolume(np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([3.0, 3.0])) == 0.0


@pytest.mark.parametrize("n_objectives", [2, 3])
def test_hypervolumes_are_those_of_monte_carlo(n_objectives: int) -> None:
    rng = np.random.default_rng(2)
    clouds, reference = rng.random((4, 12, n_objectives)), np.ones(n_objectives)
    sample = rng.random((100_000, n_objectives))
    for cloud, exact in zip(clouds, hypervolume(clouds, reference), strict=True):
        covered = (cloud[None] <= sample[:, None]).all(axis=-1).any(axis=-1).mean()
        assert exact == pytest.approx(covered, abs=0.006)  # four standard errors of a share


def test_the_knee_is_where_the_front_bends() -> None:
    assert knee(np.array([[0.0, 10.0], [1.0, 2.0], [10.0, 0.0], [9.0, 9.0]])) == 1
    assert knee(np.array([[0.0, 10.0], [10.0, 0.0]])) is None
    assert knee(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])) is None  # straight
