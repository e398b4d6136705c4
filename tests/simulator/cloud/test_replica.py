"""A replica: equal to a step-by-step reference, and the truths of continuous batching on hand-made cases."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import InputError
from simulator.cloud.replica import Engine, Job, Replica
from simulator.cloud.steps import Batch, Line, StepTime
from tests.simulator.cloud.stepwise import Ask, Stepwise

ONE_SECOND = StepTime(Line(1.0), Line(1.0))
ROOFLINE = StepTime(
    Line(0.00213, 0.000317, 0.0000531, 0.0, 0.00000117),
    Line(0.01319, 0.0, 0.0000171, 0.0000313),
)


def serve(asks, timing, engine):
    """Drive a replica through `asks`: (jobs in order of arrival, replica, jobs in order of leaving)."""
    replica, left = Replica(timing, engine), []
    jobs = [Job(ask.prompt, ask.output, ask.sequences, ask.key, ask.prefix) for ask in asks]
    events = [(ask.at, 0, n) for n, ask in enumerate(asks)]
    events += [(ask.removed_at, 1, n) for n, ask in enumerate(asks) if ask.removed_at is not None]
    for at, what, n in sorted(events):
        while replica.next_s() < at:
            left += replica.advance(replica.next_s())
        if what == 0:
            replica.add(jobs[n], at)
        else:
            replica.remove(jobs[n], at)
        assert replica.kv_blocks_used <= engine.kv_blocks
        assert replica.running <= engine.max_sequences
    while replica.next_s() < math.inf:
        left += replica.advance(replica.next_s())
        assert replica.kv_blocks_used <= engine.kv_blocks
    return jobs, replica, left


@st.composite
def cases(draw):
    block = draw(st.sampled_from([1, 4, 16]))
    max_sequences = draw(st.integers(1, 8))
    budget = draw(st.integers(max_sequences, 60))
    caching = draw(st.booleans())
    order = draw(st.sampled_from(["fcfs", "priority", "shortest_prompt"]))
    asks, at = [], 0.0
    for n in range(draw(st.integers(1, 14))):
        at += draw(st.sampled_from([0.0, 0.00737, 0.0641, 0.513, 4.17]))
        prompt = draw(st.integers(1, 90))
        output = draw(st.sampled_from([0, 1, 2, 3, 17, 60, 200]))
        sequences = draw(st.integers(1, min(3, max_sequences)))
        key = {"fcfs": 0.0, "priority": draw(st.integers(0, 2)), "shortest_prompt": prompt}[order]
        prefix = (draw(st.integers(0, 2)), draw(st.integers(0, 90))) if draw(st.booleans()) else None
        removed = at + draw(st.sampled_from([0.0, 0.0191, 0.277, 2.31])) if draw(st.integers(0, 5)) == 0 else None
        # no two times of a case are equal by chance: ties would be decided by rounding
        jitter = 1e-5 * (n + 1) ** 1.5
        asks.append(Ask(at, prompt, output, sequences, key, prefix, None if removed is None else removed + jitter))
    largest = max(
        a.prompt // block + a.sequences * -(-(a.prompt % block + max(a.output, 1) - 1) // block) for a in asks
    )
    blocks = largest + draw(st.integers(0, 3 * largest))
    return asks, Engine(blocks, budget, max_sequences, block, caching, order, draw(st.booleans()))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases())
def test_runs_in_closed_form_equal_single_steps(case):
    asks, engine = case
    jobs, replica, left = serve(asks, ROOFLINE, engine)
    expected = Stepwise(
        asks,
        ROOFLINE,
        engine.kv_blocks,
        engine.max_batched_tokens,
        engine.max_sequences,
        engine.block_tokens,
        engine.async_scheduling,
        engine.prefix_caching,
    )
    for job, entry in zip(jobs, expected.entries, strict=True):
        assert job.completed == entry.completed
        assert job.preemptions == entry.preemptions
        assert job.cached_tokens == entry.cached
        assert job.t_finished_s == pytest.approx(entry.left, rel=1e-9)
        assert job.t_first_token_s == pytest.approx(
            math.nan if entry.first is None else entry.first, rel=1e-9, nan_ok=True
        )
        assert job.busy_share_s == pytest.approx(entry.share, rel=1e-9, abs=1e-12)
    assert [jobs.index(job) for job in left] == [entry.number for entry in expected.finished]
    assert replica.busy_s == pytest.approx(sum(end - start for start, end, *_ in expected.steps), rel=1e-9)
    assert replica.tokens_computed == sum(new for _, _, new, *_ in expected.steps)
    assert replica.outstanding == replica.waiting == replica.running == replica.kv_blocks_used == 0
