"""A threshold calibrated for a share of requests meets that share."""

import numpy as np
import pytest

from simulator.policies.calibration import inconsistency_threshold, realised_ratio
from simulator.slates import Jobs


class Drifting:
    """Lists whose inconsistency grows with their age, plus a pure-function noise."""

    def place(self, jobs: Jobs) -> tuple[np.ndarray, np.ndarray]:
        noise = np.sin(jobs.user * 12.9898 + jobs.step * 78.233) * 43758.5453
        gaps = 16 + 2.0 * (jobs.step - jobs.as_of) + 4 * (noise - np.floor(noise))
        return np.full(len(jobs), -1), gaps


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.5])
def test_the_threshold_meets_the_wanted_share_with_the_effect_of_its_own_requests(ratio: float) -> None:
    users = np.arange(400)
    first, end = np.full(400, 10), np.full(400, 60)
    threshold = inconsistency_threshold(Drifting(), users, first, end, 0, ratio)
    assert realised_ratio(Drifting(), users, first, end, 0, threshold) == pytest.approx(ratio, abs=0.02)


def test_no_share_is_no_request_and_the_whole_share_is_every_one() -> None:
    users, first, end = np.arange(10), np.full(10, 5), np.full(10, 15)
    never = inconsistency_threshold(Drifting(), users, first, end, 0, 0.0)
    always = inconsistency_threshold(Drifting(), users, first, end, 0, 1.0)
    assert realised_ratio(Drifting(), users, first, end, 0, never) == 0
    assert realised_ratio(Drifting(), users, first, end, 0, always) == 1


def test_a_device_without_a_list_asks_at_once() -> None:
    users, first, end = np.arange(10), np.full(10, 5), np.full(10, 6)
    assert realised_ratio(Drifting(), users, first, end, None, 1e9) == 1
