"""When replicas fail and when spot machines are taken away: timelines that the load does not change.

Each replica has a timeline of its own, drawn by (replica, n-th outage), whether it is in use then or not. So two
policies at one seed meet the same faults, and a longer run only adds to them.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Failures, Spot


class Outage(NamedTuple):
    """A machine is gone from `lost_s` to `back_s`; known from `warned_s` on."""

    warned_s: float
    lost_s: float
    back_s: float


def failures(section: Failures, draws: Draws, replica: int) -> Iterator[Outage]:
    """Failures of one replica in order of time, without end: exponential times between, exponential repairs."""
    return _outages("cloud.failure", section.every, 0.0, section.repair, draws, replica)


def spot_preemptions(section: Spot, draws: Draws, replica: int) -> Iterator[Outage]:
    """Takings of one spot machine in order of time; none where the rate is zero."""
    if section.taken_per_hour <= 0:
        return iter(())
    return _outages("cloud.taken", 3600.0 / section.taken_per_hour, section.notice, section.replacement, draws, replica)


def _outages(purpose: str, up_s: float, notice_s: float, down_s: float, draws: Draws, replica: int) -> Iterator[Outage]:
    now = 0.0
    for n in count():
        warned = now + up_s * float(draws.exponential(f"{purpose}.after", replica, n))
        lost = warned + notice_s
        now = lost + down_s * float(draws.exponential(f"{purpose}.back", replica, n))
        yield Outage(warned, lost, now)
