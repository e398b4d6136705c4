"""A replica: equal to a step-by-step reference, and the truths of continuous batching on hand-made cases."""

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.beam_steps import BeamCost
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime, Windows
from fleetrec.simulator.cloud.replica.host_tier import HostMemory
from fleetrec.simulator.cloud.replica.queue_orders.priority import Priority
from fleetrec.simulator.cloud.replica.queue_orders.shortest_prompt import ShortestPrompt
from fleetrec.simulator.cloud.replica.replica import Engine, Job, Replica
from fleetrec.simulator.scenario.sections import QueueOrder
from tests.simulator.cloud.stepwise import Ask, Stepwise

ONE_SECOND = StepTime(LinearCost(1.0), LinearCost(1.0))
ROOFLINE = StepTime(
    LinearCost(0.00213, 0.000317, 0.0000531, 0.0, 0.00000117),
    LinearCost(0.01319, 0.0, 0.0000171, 0.0000313),
)

WINDOWED = StepTime(ROOFLINE.compute, ROOFLINE.memory, windows=Windows(40, 0.0000713, 0.00000317))
SEARCHING = replace(ROOFLINE, beams=BeamCost(0.00131, 0.000291, 0.0000173, 0.00037, 0.00119, 0.0000207))

ORDERS = QueueOrder.family.built_in()


def serve(asks, timing, engine):
    """Drive a replica through `asks`: (jobs in order of arrival, replica, jobs in order of leaving)."""
    replica, left = Replica(timing, engine), []
    jobs = [Job(ask.prompt, ask.output, ask.sequences, ask.key, ask.prefix) for ask in asks]
    for ask, job in zip(asks, jobs, strict=True):
        if ask.received:
            job.computed_elsewhere(ask.at)
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
    decodes = not caching and draw(st.booleans())
    host = draw(st.sampled_from([0, 3, 20])) if caching else 0
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
        removed = None if removed is None else removed + jitter
        received = decodes and output > 1 and draw(st.integers(0, 3)) > 0
        asks.append(Ask(at, prompt, output, sequences, key, prefix, removed, received=received))
    largest = max(
        a.prompt // block + a.sequences * -(-(a.prompt % block + max(a.output, 1) - 1) // block) for a in asks
    )
    blocks = largest + draw(st.integers(0, 3 * largest))
    block_s = draw(st.sampled_from([0.0, 0.0013, 0.03]))
    order = ORDERS[order]()
    engine = Engine(blocks, budget, max_sequences, block, caching, order, draw(st.booleans()), host, block_s)
    separate, reserve = not decodes and draw(st.booleans()), draw(st.booleans())
    return asks, replace(engine, separate_prefill=separate, reserve_output=reserve)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases(), st.sampled_from([ROOFLINE, WINDOWED, SEARCHING]))
def test_runs_in_closed_form_equal_single_steps(case, timing):
    asks, engine = case
    jobs, replica, left = serve(asks, timing, engine)
    expected = Stepwise(
        asks,
        timing,
        engine.kv_blocks,
        engine.max_batched_tokens,
        engine.max_sequences,
        engine.block_tokens,
        engine.async_scheduling,
        engine.prefix_caching,
        engine.host_blocks,
        engine.host_block_s,
        separate=engine.separate_prefill,
        reserve=engine.reserve_output,
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


def test_a_prompt_above_the_token_budget_takes_several_steps_and_the_last_gives_the_first_token():
    (job,), replica, _ = serve([Ask(0.0, 25, 3)], ONE_SECOND, Engine(100, 10, 10))
    assert job.t_first_token_s == 3.0  # chunks of 10, 10 and 5
    assert job.t_finished_s == 5.0
    assert replica.tokens_computed == 25 + 2


def test_running_sequences_come_before_waiting_prompts_in_the_token_budget():
    jobs, _, _ = serve([Ask(0.0, 2, 9), Ask(0.5, 8, 1)], ONE_SECOND, Engine(100, 5, 5))
    # from 1 s on the first decodes: 4 tokens a step are left for the second prompt, which needs two steps
    assert jobs[1].t_first_token_s == 3.0


def test_an_arrival_joins_at_the_next_step_boundary_and_asynchronous_scheduling_takes_one_step_more():
    asks = [Ask(0.0, 1, 50), Ask(10.5, 1, 1)]
    assert serve(asks, ONE_SECOND, Engine(100))[0][1].t_finished_s == 12.0
    assert serve(asks, ONE_SECOND, Engine(100, async_scheduling=True))[0][1].t_finished_s == 13.0


def test_no_more_sequences_run_than_the_engine_allows():
    jobs, _, _ = serve([Ask(0.0, 1, 4), Ask(0.0, 1, 4), Ask(0.0, 1, 4)], ONE_SECOND, Engine(100, 10, 2))
    assert [job.t_finished_s for job in jobs] == [4.0, 4.0, 8.0]


def test_where_blocks_run_out_the_last_admitted_is_preempted_and_recomputes_its_prompt_and_its_tokens():
    # Four blocks of one token each. Both prompts fit at once; in step 3 both need a block and none is left.
    jobs, replica, _ = serve([Ask(0.0, 1, 4), Ask(0.0, 1, 4)], ONE_SECOND, Engine(4, 10, 10, 1))
    assert [job.preemptions for job in jobs] == [0, 1]
    assert [job.t_finished_s for job in jobs] == [4.0, 6.0]
    # prompt and step 2 of both, steps 3 and 4 of the first; the second recomputes 1 + 2 tokens and decodes one
    assert replica.tokens_computed == 2 + 2 + 2 + 3 + 1
    assert jobs[1].t_first_token_s == 1.0


def test_a_job_that_is_preempted_and_resumes_at_once_ends_once():
    # The beams' blocks run out while a finished job's are not yet given back; then nothing runs, and they resume.
    asks = [Ask(0.0, 1, 17, 2), Ask(0.0, 32, 0), Ask(0.0, 46, 0)]
    jobs, _, left = serve(asks, ROOFLINE, Engine(16, 17, 3, 4, async_scheduling=True))
    assert jobs[0].preemptions == 1
    assert sorted(map(jobs.index, left)) == [0, 1, 2]


def test_a_prompt_waits_until_all_of_it_fits_the_free_blocks_even_where_its_first_chunk_would():
    jobs, _, _ = serve([Ask(0.0, 5, 3), Ask(0.0, 6, 1)], ONE_SECOND, Engine(10, 8, 8, 1))
    assert jobs[1].t_first_token_s == 4.0


def test_beams_share_the_full_blocks_of_their_prompt_and_decode_one_token_each():
    timing = StepTime(LinearCost(0.0, per_token_s=1.0), LinearCost(0.0))
    engine = Engine(3 + 4 * 2, 100, 4, 16)  # 50 tokens of prompt: 3 full blocks, and 2 + 15 tokens a beam
    (job,), replica, _ = serve([Ask(0.0, 50, 16, 4)], timing, engine)
    assert job.t_finished_s == 50 + 15 * 4
    assert replica.tokens_computed == 50 + 15 * 4
    with pytest.raises(InputError, match="needs 11 KV-cache blocks of 16 tokens and the replica has 10"):
        Replica(timing, Engine(10)).add(Job(50, 16, 4), 0.0)


def test_layers_with_a_window_hold_no_more_than_it_however_long_the_context():
    # two layers with a window of 32 tokens for each that sees all: blocks of 16, so at most 3 blocks each
    engine = Engine(100, 512, block_tokens=16, window_tokens=32, window_share=2.0)
    held = {}
    for prompt, sequences in ((16, 1), (320, 1), (320, 2)):
        (job,), _, _ = serve([Ask(0.0, prompt, 16, sequences)], ONE_SECOND, engine)
        held[prompt, sequences] = engine.blocks_of(job) - job._window_blocks
    assert held == {(16, 1): 2 + 2 * 2, (320, 1): 21 + 2 * 3, (320, 2): 22 + 2 * (3 + 2)}


@given(cases(), st.integers(1, 100), st.sampled_from([0.2, 1.0, 5.2]))
def test_what_windows_hold_is_given_back(case, window, share):
    asks, engine = case
    engine = replace(engine, window_tokens=window, window_share=share)
    engine = replace(engine, kv_blocks=max(engine.blocks_of(Job(a.prompt, a.output, a.sequences)) for a in asks))
    jobs, replica, _ = serve(asks, WINDOWED, engine)
    assert all(job.completed or job.t_finished_s >= 0 for job in jobs)
    assert replica.kv_blocks_used == 0


def test_scoring_ends_with_its_prefill():
    (job,), replica, _ = serve([Ask(0.0, 7, 0)], ONE_SECOND, Engine(10))
    assert job.t_finished_s == 1.0
    assert replica.tokens_computed == 7


def test_the_lowest_priority_number_is_admitted_first_and_the_shortest_prompt_under_its_order():
    asks = [Ask(0.0, 9, 5), Ask(0.1, 6, 1, key=2), Ask(0.2, 4, 1, key=1)]
    by_priority, _, _ = serve(asks, ONE_SECOND, Engine(100, 10, 1, order=Priority()))
    assert by_priority[2].t_finished_s < by_priority[1].t_finished_s
    by_length, _, _ = serve(asks, ONE_SECOND, Engine(100, 10, 1, order=ShortestPrompt()))
    assert by_length[2].t_finished_s < by_length[1].t_finished_s
    in_order, _, _ = serve(asks, ONE_SECOND, Engine(100, 10, 1))
    assert in_order[1].t_finished_s < in_order[2].t_finished_s


def test_a_window_that_grows_is_computed_from_where_it_grew_as_long_as_its_blocks_are_in_memory():
    growing = [Ask(0.0, 40, 1, prefix=("user", 40)), Ask(9.0, 60, 1, prefix=("user", 60))]
    jobs, replica, _ = serve(growing, ONE_SECOND, Engine(8, prefix_caching=True))
    assert jobs[1].cached_tokens == 32  # two full blocks of 16
    assert replica.tokens_computed == 40 + 28
    between = [growing[0], Ask(5.0, 120, 1), growing[1]]  # 8 blocks: it evicts everything
    jobs, _, _ = serve(between, ONE_SECOND, Engine(8, prefix_caching=True))
    assert jobs[2].cached_tokens == 0


def test_a_removed_job_leaves_the_line_at_once_and_the_batch_at_a_boundary_with_its_cost():
    asks = [Ask(0.0, 1, 50, removed_at=3.5), Ask(0.0, 1, 5, removed_at=0.25)]
    jobs, replica, left = serve(asks, ONE_SECOND, Engine(100, 1, 1))
    assert jobs[1].t_finished_s == 0.25
    assert jobs[1].busy_share_s == 0.0
    assert left == [jobs[0]]
    assert not jobs[0].completed
    assert jobs[0].t_finished_s == jobs[0].busy_share_s == replica.busy_s == 4.0


def test_shares_of_busy_time_add_up_to_it():
    asks = [Ask(0.7 * n, 20 + 31 * n, 3 + 7 * n, 1 + n % 3) for n in range(12)]
    jobs, replica, _ = serve(asks, ROOFLINE, Engine(60, 64, 8))
    assert replica.preemptions > 0
    assert sum(job.busy_share_s for job in jobs) == pytest.approx(replica.busy_s, rel=1e-12)


def test_a_replica_speaks_up_where_a_job_leaves_and_its_memory_can_be_read_between():
    replica = Replica(ONE_SECOND, Engine(kv_blocks=100, block_tokens=4))
    replica.add(Job(prompt_tokens=8, output_tokens=3), 0.0)
    replica.advance(0.0)
    assert replica.next_s() == 3.0  # the prompt's step, and two that decode
    assert replica.kv_blocks_used == 2
    replica.catch_up(1.5)
    assert replica.kv_blocks_used == 3  # the first generated token has a place
    replica.add(Job(prompt_tokens=8, output_tokens=3), 1.5)
    assert replica.next_s() == 2.0  # where the second job joins


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"kv_blocks": 0}, "must be at least 1"),
        ({"kv_blocks": 9, "max_batched_tokens": 8, "max_sequences": 9}, "not every sequence could decode"),
    ],
)
def test_engines_with_limits_that_contradict_are_refused(limits, message):
    with pytest.raises(InputError, match=message):
        Engine(**limits)


def test_a_replica_refuses_to_be_looked_at_too_late():
    replica = Replica(ONE_SECOND, Engine(9))
    replica.add(Job(1, 1), 0.0)
    with pytest.raises(ValueError, match="advance to 0"):
        replica.add(Job(1, 1), 0.5)


def test_what_host_memory_holds_of_a_prefix_comes_over_the_link_where_that_is_quicker():
    """Blocks of one token. The second prompt takes the first one's memory, the third comes back to the first prefix:
    six blocks at 0.1 s each against six tokens at 0.25 s, on top of the second that every step takes."""
    timing = StepTime(LinearCost(1.0, 0.25), LinearCost(0.0))
    asks = [Ask(0.0, 8, 1, prefix=("a", 6)), Ask(10.0, 8, 1), Ask(20.0, 8, 1, prefix=("a", 6))]

    def last(host, block_s):
        jobs, replica, _ = serve(asks, timing, Engine(8, 100, 10, 1, True, host_blocks=host, host_block_s=block_s))
        assert replica.kv_blocks_used == 0
        return jobs[2].cached_tokens, pytest.approx(jobs[2].t_finished_s - 20.0)

    assert last(0, 0.0) == (0, 1 + 8 * 0.25)
    assert last(6, 0.1) == (6, 1 + 2 * 0.25 + 6 * 0.1)
    assert last(4, 0.1) == (4, 1 + 4 * 0.25 + 4 * 0.1)  # it has room for the first four
    assert last(6, 0.3) == (0, 1 + 8 * 0.25)  # computing is quicker


@settings(max_examples=100, deadline=None)
@given(
    blocks=st.integers(1, 12),
    stores=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 8)), max_size=40),
)
def test_host_memory_holds_what_was_used_last_and_never_more_than_it_has_room_for(blocks, stores):
    memory, used = HostMemory(blocks), []
    for key, n in stores:
        memory.store(key, n)
        mine = {one for one in used if one[0] == key} | {(key, index) for index in range(n)}
        used = [one for one in used if one[0] != key] + sorted(mine, reverse=True)
        used = used[-blocks:]
        assert memory.used == len(used) <= blocks
        for other in range(4):
            assert memory.resident(other) == sum(one[0] == other for one in used)


def test_prompts_that_go_first_and_alone_make_those_that_decode_wait():
    asks = [Ask(0.0, 5, 10), Ask(2.5, 7, 2)]
    for separate, ends in ((False, (10.0, 5.0)), (True, (11.0, 5.0))):
        jobs, replica, _ = serve(asks, ONE_SECOND, Engine(99, separate_prefill=separate))
        assert (jobs[0].t_finished_s, jobs[1].t_first_token_s, jobs[1].t_finished_s) == (ends[0], 4.0, ends[1])
        assert replica.tokens_computed == 5 + 9 + 7 + 1


def test_where_whole_answers_are_reserved_a_request_waits_and_none_is_preempted():
    """Eleven tokens of memory each, the last token's not needed, and sixteen there."""
    asks = [Ask(0.0, 4, 8), Ask(0.0, 4, 8)]
    jobs, replica, _ = serve(asks, ONE_SECOND, Engine(16, block_tokens=1))
    assert replica.preemptions > 0
    jobs, replica, _ = serve(asks, ONE_SECOND, Engine(16, block_tokens=1, reserve_output=True))
    assert [job.t_started_s for job in jobs] == [0.0, 8.0]
    assert [job.t_finished_s for job in jobs] == [8.0, 16.0]
    assert replica.preemptions == 0
    _, replica, _ = serve(asks, ONE_SECOND, Engine(22, block_tokens=1, reserve_output=True))
    assert replica.busy_s == 8.0
