"""How many replicas an autoscaler wants."""

import pytest

from fleetrec.simulator.cloud.node.autoscaling import Autoscaler, Reading
from fleetrec.simulator.scenario.sections import Autoscale


def _reading(up: int, utilization: float = 0.0, requests: int = 0) -> Reading:
    return Reading(up=up, busy_s=utilization * up * 10.0, up_s=up * 10.0, requests=requests)


@pytest.mark.parametrize(
    ("up", "utilization", "wanted"),
    [(4, 0.9, 8), (4, 0.5, 4), (4, 0.54, 4), (4, 0.2, 2), (4, 0.0, 1), (8, 1.0, 10)],
)
def test_replicas_follow_measured_over_target_within_the_limits_and_a_tenth_is_left_alone(up, utilization, wanted):
    scaler = Autoscaler(Autoscale(metric="utilization", target=0.5, min=1, max=10, cooldown=0))
    assert scaler.wanted(10.0, _reading(up, utilization), up) == wanted


def test_by_queue_there_are_as_many_replicas_as_the_requests_fill_to_the_target():
    scaler = Autoscaler(Autoscale(metric="queue", target=5.0, min=2, max=10, cooldown=0))
    assert scaler.wanted(10.0, _reading(2, requests=31), 2) == 7
    assert scaler.wanted(20.0, _reading(7, requests=0), 7) == 2


def test_scaling_in_waits_for_the_cooldown_and_scaling_out_does_not():
    scaler = Autoscaler(Autoscale(metric="queue", target=1.0, min=1, max=10, cooldown=60))
    assert scaler.wanted(0.0, _reading(1, requests=6), 1) == 6
    assert scaler.wanted(30.0, _reading(6, requests=1), 6) == 6
    assert scaler.wanted(45.0, _reading(6, requests=8), 6) == 8
    assert scaler.wanted(61.0, _reading(8, requests=1), 8) == 8
    assert scaler.wanted(106.0, _reading(8, requests=1), 8) == 1


def test_while_none_is_up_nothing_that_starts_is_stopped():
    scaler = Autoscaler(Autoscale(metric="utilization", target=0.5, min=1, max=10, cooldown=0))
    assert scaler.wanted(10.0, _reading(0), 3) == 3
