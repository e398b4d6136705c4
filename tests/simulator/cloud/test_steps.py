"""Step times: many decode steps in closed form equal their sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.simulator.cloud.hardware.step_time import Batch, LinearCost, StepTime, Windows

seconds = st.floats(1e-9, 1e-2)
lines = st.builds(LinearCost, st.floats(1e-4, 0.05), seconds, seconds, seconds, seconds)
windows = st.none() | st.builds(Windows, st.integers(1, 400), seconds, seconds)


def plain_sum(timing, sequences, context, steps):
    return sum(
        timing.at(Batch(sequences, sequences, context + k * sequences, context + k * sequences)) for k in range(steps)
    )


@given(lines, lines, windows, st.integers(1, 64), st.integers(1, 10_000), st.integers(1, 300))
def test_decode_steps_in_closed_form_equal_their_sum(compute, memory, windows, sequences, context, steps):
    timing = StepTime(compute, memory, windows=windows)
    run = timing.decoding(sequences, context)
    assert run.seconds(steps) == pytest.approx(plain_sum(timing, sequences, context, steps), rel=1e-9)


@given(lines, lines, windows, st.integers(1, 64), st.integers(1, 10_000), st.floats(1e-3, 1e3))
def test_the_steps_until_a_time_are_the_fewest_that_reach_it(compute, memory, windows, sequences, context, elapsed_s):
    run = StepTime(compute, memory, windows=windows).decoding(sequences, context)
    steps = run.steps_until(elapsed_s)
    assert run.seconds(steps) >= elapsed_s
    assert steps == 1 or run.seconds(steps - 1) < elapsed_s


def test_a_run_follows_the_larger_line_on_both_sides_of_where_they_cross():
    # compute: 10 s at every step; memory: 1 s and 2 s more a step. They cross between steps 4 (9 s) and 5 (11 s).
    timing = StepTime(LinearCost(10.0), LinearCost(0.0, per_context_token_s=1.0))
    run = timing.decoding(2, 1)
    assert [run.seconds(n) for n in range(1, 8)] == [10, 20, 30, 40, 50, 61, 74]


def test_layers_with_a_window_are_read_as_far_as_it_goes():
    # a second for each token of the context, and one for each of the newest three
    timing = StepTime(LinearCost(0.0), LinearCost(0.0, per_context_token_s=1.0), windows=Windows(3, 1.0, 0.0))
    assert [timing.at(Batch(1, 1, n, n)) for n in (1, 2, 3, 4, 5)] == [2, 4, 6, 7, 8]
    assert [timing.decoding(1, 1).seconds(n) for n in (1, 2, 3, 4, 5)] == [2, 6, 12, 19, 27]
    assert timing.at(Batch(2, 2, 10, 10)) == 10 + 2 * 3
    assert timing.at(Batch(9, 1, 9, 45)) == 9 + 9  # a prompt is read whole, by its own tokens
    compute = StepTime(LinearCost(0.0, per_pair_s=1.0), LinearCost(0.0), windows=Windows(3, 0.0, 1.0))
    assert compute.at(Batch(9, 1, 9, 45)) == 45 + 9 * 3
