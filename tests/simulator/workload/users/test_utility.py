"""What users and the engine tell each other."""

import numpy as np

from fleetrec.simulator.workload.users.utility import GRID, Moments, largest, on_grid


def test_sums_that_differ_in_their_last_bits_are_worth_the_same() -> None:
    one, other = 0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1
    assert one != other
    rounded = on_grid(np.array([one, other, -np.inf]))
    assert rounded[0] == rounded[1]
    assert abs(rounded[0] - one) <= GRID / 2
    assert rounded[2] == -np.inf


def test_moments_are_taken_together() -> None:
    numbers = np.arange(3)
    at = Moments(numbers, numbers + 1, numbers + 2, numbers + 0.5).take(np.array([2, 0]))
    columns = at.user, at.opportunity, at.session, at.t_s
    assert [column.tolist() for column in columns] == [[2, 0], [3, 1], [4, 2], [2.5, 0.5]]


def test_the_largest_utilities_come_falling_with_nothing_past_the_last() -> None:
    worth = np.array([[1.0, 4.0, -np.inf, 2.0], [0.0, 0.0, 3.0, -1.0]])
    assert largest(worth, 2).tolist() == [[4.0, 2.0], [3.0, 0.0]]
    assert largest(worth, 5)[0].tolist() == [4.0, 2.0, 1.0, -np.inf, -np.inf]
