"""The clock meets events in SimPy's own order."""

from collections.abc import Generator
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.core.clock import Clock

Process = Generator[Any, Any, None]

DELAYS = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0, 63.0, 200.0]), max_size=6), min_size=1, max_size=6)


def told(env: simpy.Environment, begin: Any, wait: Any, delays: list[list[float]]) -> list[tuple[float, int, str]]:
    """What processes with these pauses note: when, who and what; each starts children and ends by an event."""
    notes: list[tuple[float, int, str]] = []

    def child(who: int) -> Process:
        notes.append((env.now, who, "child"))
        yield wait(1.0)
        notes.append((env.now, who, "child ends"))

    def process(who: int, pauses: list[float]) -> Process:
        for pause in pauses:
            yield wait(pause)
            notes.append((env.now, who, "wakes"))
            begin(child(who))
        done = env.event()
        done.callbacks.append(lambda _: notes.append((env.now, who, "done")))
        done.succeed()

    for who, pauses in enumerate(delays):
        begin(process(who, pauses))
    return notes


@settings(max_examples=60, deadline=None)
@given(DELAYS, st.lists(st.sampled_from([0.5, 1.0, 1.2, 4.0, 90.0, 500.0]), min_size=1, max_size=4))
def test_advancing_in_any_stretches_meets_what_simpy_meets_in_its_order(
    delays: list[list[float]], stretches: list[float]
) -> None:
    theirs, ours = simpy.Environment(), Clock()
    expected = told(theirs, theirs.process, theirs.timeout, delays)
    found = told(ours, ours.start, ours.after, delays)
    until_s = 0.0
    for stretch in stretches:
        until_s += stretch
        theirs.run(until=until_s)
        ours.advance(until_s)
        assert ours.now == theirs.now == until_s
        assert found == expected


def test_a_process_that_fails_ends_the_run_with_its_error() -> None:
    clock = Clock()

    def fails() -> Process:
        yield clock.after(1.0)
        raise KeyError("lost")

    clock.start(fails())
    with pytest.raises(KeyError, match="lost"):
        clock.advance(2.0)


def test_processes_that_wait_for_a_time_come_first_in_their_own_order() -> None:
    clock, woken = Clock(), []

    def waiting(order: int) -> Process:
        yield clock.until(2.0, order)
        woken.append(order)

    def other() -> Process:
        yield clock.after(2.0)
        woken.append(-1)

    for process in (other(), waiting(2), waiting(0), waiting(1)):
        clock.start(process)
    clock.advance(3.0)
    assert woken == [0, 1, 2, -1]
