"""Sessions are told by the pauses between a user's opportunities."""

import numpy as np

from fleetrec.simulator.workload.users.opportunities import Opportunities


def test_a_session_ends_where_a_pause_begins_and_no_user_is_in_anothers() -> None:
    t_s = np.array([0.0, 5.0, 100.0, 103.0, 104.0, 2.0, 50.0])
    times = Opportunities.of(t_s, np.array([0, 3, 5]), np.array([3, 4, 7]), 10.0)
    assert times.session.tolist() == [0, 0, 1, 0, -1, 0, 1]
    assert times.following.tolist() == [2, 2, 3, 4, -1, 6, 7]


def test_moments_of_the_same_time_are_told() -> None:
    times = Opportunities.of(np.array([0.0, 5.0, 5.0, 6.0]), np.array([0]), np.array([4]), 10.0)
    assert times.same_time_next.tolist() == [False, True, False, False]
