"""Who is turned away on arrival: an admission rule is a plain function of what is known when a request arrives."""

from collections.abc import Callable
from typing import NamedTuple

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Admission, DeadlineAdmission, RandomEarlyAdmission


class Arrival(NamedTuple):
    """What a rule may know of a request, of the replica that it would go to, and of the whole node."""

    number: int
    seconds_left: float
    """until its deadline"""
    must_wait: bool
    """whether its replica has no room for it now"""
    waiting_there: int
    running_there: int
    service_s: float
    """recent mean time from start to end of requests there; 0 where none has ended"""
    waiting: int
    queue_limit: int


Rule = Callable[[Arrival], bool]
"""True: the request may enter"""


def expected_s(arrival: Arrival) -> float:
    """Expected time to the answer: those running end at their recent pace, and each lets one that waits start."""
    ahead = arrival.waiting_there + 1 if arrival.must_wait else 0
    return arrival.service_s * (1.0 + ahead / max(arrival.running_there, 1))


def admission_rule(section: Admission, draws: Draws) -> Rule | None:
    """The rule of a scenario; None where `queue_limit` alone decides."""
    match section:
        case DeadlineAdmission(margin=margin):
            return lambda arrival: expected_s(arrival) * margin <= arrival.seconds_left
        case RandomEarlyAdmission(start=start):
            return lambda arrival: _fill(arrival, start) <= draws.uniform_one("cloud.admission", arrival.number)
    return None


def _fill(arrival: Arrival, start: float) -> float:
    """How far the queue is between `start` and its limit; the chance to be turned away."""
    begin = start * arrival.queue_limit
    return (arrival.waiting - begin) / max(arrival.queue_limit - begin, 1e-9)
