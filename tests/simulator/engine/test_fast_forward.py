"""Skipping comes to what stepping from one interaction to the next comes to."""

from array import array
from bisect import bisect_right

from hypothesis import given
from hypothesis import strategies as st

from fleetrec.simulator.engine.fast_forward import fast_forward, quiet_rows

TIMES = st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True).map(sorted)


def stepped(times: list[int], compute_s: float, before_s: float) -> tuple[int, float]:
    """Slate on screen as the last interaction comes, and the pause before it, one interaction after the other."""
    on_screen, ready, last_s, gap_s = -1, [], before_s, 0.0
    for number, t_s in enumerate(times):
        if ready and ready[-1][0] < t_s:  # what an ordering would have shown that the next one superseded is never seen
            on_screen = ready[-1][1]
        ready.append((t_s + compute_s, number))
        gap_s, last_s = t_s - last_s, t_s
    return on_screen, gap_s


@given(TIMES, st.integers(0, 12), st.floats(-5.0, 0.0))
def test_skipped_interactions_leave_the_screen_and_the_pause_of_stepping(
    times: list[int], compute_s: int, before_s: float
) -> None:
    stream = array("d", [0.0, *times, 1000.0])
    skipped = fast_forward(stream, 1, len(times) + 1, float(compute_s), before_s)
    assert (skipped.on_screen, skipped.gap_s) == stepped(times, compute_s, before_s)
    assert skipped.last_s == times[-1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12).map(sorted), st.integers(0, 10))
def test_no_tie_is_skipped(times: list[int], until_s: int) -> None:
    stream = array("d", map(float, times))
    ties = [row for row in range(len(times) - 1) if times[row] == times[row + 1]]
    next_tie = array("i", [next((tie for tie in ties if tie >= row), 1 << 30) for row in range(len(times))])
    stop = quiet_rows(stream, next_tie, 0, len(times), float(until_s))
    assert stop <= bisect_right(times, until_s)
    skipped = times[:stop]
    assert len(set(skipped)) == len(skipped)
    assert not set(skipped) & set(times[stop:])
