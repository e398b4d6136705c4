"""Speculative decoding: equal to a step-by-step reference, the law of its steps, and cases made by hand."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.kernels import Kernels, Product
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import ExpertWeights, LinearCost, StepTime, Windows
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.hardware.verify_time import VerifyTime
from fleetrec.simulator.cloud.pools import kind_of, pools_of
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.replica import Engine, Job, Replica
from fleetrec.simulator.cloud.replica.verify_steps import VerifySteps
from fleetrec.simulator.cloud.tokens import RequestTokens
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections
from tests.simulator.cloud.nodes import node_of
from tests.simulator.cloud.stepwise import Ask, Stepwise

NO_PROMPT = (0, 0, 0, 0)
ONE_SECOND = StepTime(LinearCost(1.0), LinearCost(1.0))
ROOFLINE = StepTime(
    LinearCost(0.00213, 0.000317, 0.0000531, 0.0, 0.00000117),
    LinearCost(0.01319, 0.0, 0.0000171, 0.0000313),
    ExpertWeights(0.004, 0.1),
)
SMALL = StepTime(LinearCost(0.0009, 0.000031, 0.0, 0.0, 0.0000009), LinearCost(0.0011, 0.0, 0.0, 0.0000021))


def serve(asks, timing, engine):
    """Drive a replica through `asks`: (jobs in order of arrival, replica)."""
    replica, jobs = Replica(timing, engine), [Job(a.prompt, a.output, 1, a.key, a.prefix) for a in asks]
    events = [(ask.at, 0, n) for n, ask in enumerate(asks)]
    events += [(ask.removed_at, 1, n) for n, ask in enumerate(asks) if ask.removed_at is not None]
    for at, what, n in sorted(events):
        while replica.next_s() < at:
            replica.advance(replica.next_s())
        if what == 0:
            jobs[n].decode_steps = asks[n].steps
            replica.add(jobs[n], at)
        else:
            replica.remove(jobs[n], at)
        assert replica.kv_blocks_used <= engine.kv_blocks
    while replica.next_s() < math.inf:
        replica.advance(replica.next_s())
        assert replica.kv_blocks_used <= engine.kv_blocks
    return jobs, replica


@st.composite
def cases(draw):
    block, drafts = draw(st.sampled_from([1, 4, 16])), draw(st.integers(1, 5))
    max_sequences = draw(st.integers(1, 8))
    budget = draw(st.integers(max_sequences * (drafts + 1), 60))
    asks, at = [], 0.0
    for n in range(draw(st.integers(1, 14))):
        at += draw(st.sampled_from([0.0, 0.00737, 0.0641, 0.513, 4.17]))
        output = draw(st.sampled_from([0, 1, 2, 3, 17, 60, 200]))
        further = max(output - 1, 0)
        steps = draw(st.integers(-(-further // (drafts + 1)), further))
        prefix = (draw(st.integers(0, 2)), draw(st.integers(0, 90))) if draw(st.booleans()) else None
        removed = at + draw(st.sampled_from([0.0, 0.0191, 0.277, 2.31])) if draw(st.integers(0, 5)) == 0 else None
        jitter = 1e-5 * (n + 1) ** 1.5
        removed = None if removed is None else removed + jitter
        asks.append(Ask(at, draw(st.integers(1, 90)), output, prefix=prefix, removed_at=removed, steps=steps))
    largest = max(-(-(a.prompt + a.output + drafts) // block) for a in asks)
    blocks = largest + draw(st.integers(0, 3 * largest))
    drafter = draw(st.sampled_from([Drafter((0.5,) * drafts), Drafter((0.5,) * drafts, SMALL, 0.00007)]))
    asynchronous, separate, reserve = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    return asks, Engine(
        blocks,
        budget,
        max_sequences,
        block,
        draw(st.booleans()),
        async_scheduling=asynchronous,
        drafter=drafter,
        separate_prefill=separate,
        reserve_output=reserve,
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(cases())
def test_runs_in_closed_form_equal_single_steps(case):
    asks, engine = case
    jobs, replica = serve(asks, ROOFLINE, engine)
    expected = Stepwise(
        asks,
        ROOFLINE,
        engine.kv_blocks,
        engine.max_batched_tokens,
        engine.max_sequences,
        engine.block_tokens,
        engine.async_scheduling,
        engine.prefix_caching,
        drafter=engine.drafter,
        separate=engine.separate_prefill,
        reserve=engine.reserve_output,
    )
    for job, entry in zip(jobs, expected.entries, strict=True):
        assert job.completed == entry.completed
        assert job.preemptions == entry.preemptions
        assert job.cached_tokens == entry.cached
        assert job.t_finished_s == pytest.approx(entry.left, rel=1e-9)
        assert job.t_first_token_s == pytest.approx(math.nan if entry.first is None else entry.first, nan_ok=True)
        assert job.busy_share_s == pytest.approx(entry.share, rel=1e-9, abs=1e-12)
    assert replica.busy_s == pytest.approx(sum(end - start for start, end, *_ in expected.steps), rel=1e-9)
    assert replica.outstanding == replica.waiting == replica.running == replica.kv_blocks_used == 0


def alone(prompt, output, steps, drafter, timing=ONE_SECOND):
    """Seconds from a job's first token to its end, alone on a replica."""
    (job,), _ = serve([Ask(0.0, prompt, output, steps=steps)], timing, Engine(999, drafter=drafter))
    return job.t_finished_s - job.t_first_token_s


def test_where_no_draft_is_accepted_decoding_takes_as_long_as_without_and_the_drafts_on_top():
    drafter = Drafter((0.0,) * 4, StepTime(LinearCost(0.25), LinearCost(0.125)))
    steps = drafter.law.draw(30, lambda *_: 0.7)
    assert steps == 30
    assert alone(50, 31, 30, Drafter((0.0,) * 4)) == alone(50, 31, 30, None) == 30.0
    assert alone(50, 31, steps, drafter) == 30.0 + 30 * 4 * 0.25


def test_where_all_drafts_are_accepted_a_step_gives_one_token_more_than_there_are_drafts():
    drafter = Drafter((1.0,) * 4)
    assert drafter.law.mean == 5.0
    assert [drafter.law.draw(tokens, lambda *_: 0.3) for tokens in (1, 5, 6, 30, 2001)] == [1, 1, 2, 6, 401]
    assert alone(50, 31, 6, drafter) == 6.0


def test_one_rejected_draft_costs_one_more_step():
    """Three tokens with one draft a step: accepted, rejected and accepted, or twice rejected and never needed."""
    drafter = Drafter((0.5,), StepTime(LinearCost(0.5), LinearCost(0.0)))
    law = VerifySteps((0.5,))
    assert law._of_tokens(3).tolist() == [0.0, 0.0, 0.75, 0.25]  # 2+x, or 1+2; 1+1+x
    assert (drafter.law.draw(3, lambda *_: 0.74), drafter.law.draw(3, lambda *_: 0.76)) == (2, 3)
    assert alone(10, 4, 2, drafter) == 2 * 1.5
    assert alone(10, 4, 3, drafter) == 3 * 1.5


def test_a_draft_holds_memory_while_it_is_verified():
    """Blocks of one token: 3 of the prompt, and in the step after it the first token and both drafts."""
    engine = Engine(99, block_tokens=1, drafter=Drafter((1.0, 1.0)))
    replica, job = Replica(ONE_SECOND, engine), Job(3, 4)
    job.decode_steps = 1
    replica.add(job, 0.0)
    replica.advance(0.0)
    assert replica.kv_blocks_used == 3
    replica.catch_up(1.5)
    assert replica.kv_blocks_used == 6
    replica.advance(2.0)
    assert job.completed
    with pytest.raises(InputError, match="needs 8 KV-cache blocks of 1 tokens and the replica has 7"):
        Replica(ONE_SECOND, Engine(7, block_tokens=1, drafter=Drafter((1.0, 1.0)))).add(Job(3, 4), 0.0)
    with pytest.raises(InputError, match="request of 2 sequences: no drafts are verified for beams"):
        Replica(ONE_SECOND, engine).add(Job(3, 4, 2), 0.0)
    with pytest.raises(InputError, match="less than 5 tokens for each of max_sequences 256"):
        Engine(99, 1279, drafter=Drafter((0.5,) * 4))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.integers(1, 7))
def test_the_law_of_the_steps_is_that_of_every_way_in_which_drafts_may_be_accepted(acceptance, tokens):
    chances = dict.fromkeys(range(tokens + 1), 0.0)
    gains = [math.prod(acceptance[:i]) * (1 - acceptance[i] if i < len(acceptance) else 1) for i in range(5)]
    for ways in product(range(min(len(acceptance), tokens) + 1), repeat=tokens):
        steps = next(n for n in range(1, tokens + 1) if sum(ways[:n]) + n >= tokens)
        cut = [
            gains[way] if way < min(len(acceptance), tokens) else math.prod(acceptance[:way]) for way in ways[:steps]
        ]
        rest = (min(len(acceptance), tokens) + 1) ** (tokens - steps)
        chances[steps] += math.prod(cut) / rest
    law = VerifySteps(tuple(acceptance))
    assert law._of_tokens(tokens) == pytest.approx(list(chances.values()), abs=1e-12)
    assert law.mean == pytest.approx(1 + sum(np.cumprod(acceptance)))


def test_long_answers_take_as_many_steps_as_many_short_ones_would():
    """Beyond the table steps are taken off many at a time: mean and variance are the renewal process's."""
    acceptance = (0.8, 0.72, 0.65, 0.6)
    law, tokens = VerifySteps(acceptance), 3000
    at_least = np.array([1.0, *np.cumprod(acceptance), 0.0])
    gain, chance = np.arange(1, 6), -np.diff(at_least)
    mean = float((gain * chance).sum())
    variance = float((gain**2 * chance).sum()) - mean**2
    steps = np.array([law.draw(tokens, Draws(7).uniform_one, "cloud.speculation", n) for n in range(2000)])
    overshoot = ((gain**2 * chance).sum() / mean - 1) / 2
    assert mean == pytest.approx(1 + 0.8 + 0.576 + 0.3744 + 0.22464)
    assert steps.mean() == pytest.approx((tokens + overshoot) / mean, abs=4 * steps.std() / math.sqrt(2000))
    assert steps.var() == pytest.approx(tokens * variance / mean**3, rel=0.15)


def test_runs_whose_lines_change_places_are_the_sums_of_their_steps():
    verify = StepTime(LinearCost(0.0, per_pair_s=0.001), LinearCost(0.9, per_context_token_s=0.0001))
    draft = StepTime(LinearCost(0.0, per_pair_s=0.002), LinearCost(0.3, per_context_token_s=0.0001))
    timing = VerifyTime(verify, 3, draft, 0.01)
    run = timing.run(4, 100, 9.5)
    each = [timing.at(4, 100 + 9.5 * step, NO_PROMPT) for step in range(60)]
    assert each[20] - each[19] > 1.5 * (each[1] - each[0])  # compute has overtaken memory
    for steps in range(1, 61):
        assert run.seconds(steps) == pytest.approx(sum(each[:steps]), rel=1e-12)
        assert run.steps_until(run.seconds(steps)) == steps
        assert run.steps_until(run.seconds(steps) + 0.001) == steps + 1


costs = st.floats(1e-9, 1e-2)
lines = st.builds(LinearCost, st.floats(1e-4, 0.05), costs, costs, costs, costs)
windowed = st.builds(StepTime, lines, lines, windows=st.none() | st.builds(Windows, st.integers(1, 400), costs, costs))


@settings(max_examples=200, deadline=None)
@given(windowed, st.none() | windowed, st.integers(1, 5), st.integers(1, 40), st.integers(1, 9000), st.floats(0.3, 1))
def test_runs_in_which_contexts_outgrow_windows_are_the_sums_of_their_steps(
    verify, draft, tokens, sequences, context, accepted
):
    timing, growth = VerifyTime(verify, tokens, draft, 0.0001), sequences * accepted * (tokens + 1)
    run = timing.run(sequences, context, growth)
    each = [timing.at(sequences, context + growth * step, NO_PROMPT) for step in range(150)]
    for steps in (1, 2, 20, 150):
        assert run.seconds(steps) == pytest.approx(sum(each[:steps]), rel=1e-9)
    assert run.steps_until(sum(each[:20]) * (1 - 1e-9)) == 20


def test_layers_with_a_window_are_read_once_for_all_drafts_of_a_sequence():
    """Three tokens each, the first two of them drafts' places: what the first reads, and one more for each after it."""
    reads = StepTime(LinearCost(0.0), LinearCost(0.0), windows=Windows(4, 1.0, 0.0))
    assert [VerifyTime(reads, 2).at(1, context, NO_PROMPT) for context in (1, 2, 3, 4, 90)] == [4, 5, 6, 6, 6]
    assert VerifyTime(reads, 2).at(5, 450, NO_PROMPT) == 5 * 6
    assert VerifyTime(reads, 2).at(0, 0, (9, 1, 9, 45)) == 9
    pairs = StepTime(LinearCost(0.0), LinearCost(0.0), windows=Windows(4, 0.0, 1.0))
    assert [VerifyTime(pairs, 2).at(1, context, NO_PROMPT) for context in (1, 90)] == [2 + 3 + 4, 3 * 4]
    drafts = VerifyTime(StepTime(LinearCost(0.0), LinearCost(0.0)), 2, reads)
    assert [drafts.at(1, context, NO_PROMPT) for context in (1, 90)] == [2 * 2.5, 2 * 4]


def test_the_host_of_an_engine_works_once_for_a_sequence_and_its_gpus_score_every_draft():
    kernels = Kernels(0.0, 0.0, 0.25, Product(0.0, 0.0), Product(0.0, 0.0), None, None, None)
    engine = StepTime(LinearCost(0.0, per_sequence_s=3.0), LinearCost(0.0), kernels=kernels)
    assert VerifyTime(engine, 3).at(2, 100, NO_PROMPT) == 2 * 3.0
    assert VerifyTime(engine, 15).at(2, 100, NO_PROMPT) == 2 * 16 * 0.25
    assert VerifyTime(StepTime(engine.compute, LinearCost(0.0)), 3).at(2, 100, NO_PROMPT) == 2 * 4 * 3.0


LIST = sections.Llm(served_as="llama-3.1-8b", generation="list")
MODEL = default_catalogue().model("llama-3.1-8b")
ACCEPTANCE = (0.8, 0.72, 0.65, 0.6)
DRAFT_MODEL = sections.DraftModel(tokens=4, acceptance=ACCEPTANCE, model="llama-3.2-1b")
REQUEST = RequestTokens(860, 400, 1)


def kind(speculation, gpu="h100", model=MODEL, **changes):
    cloud = sections.Cloud(gpu=gpu, speculation=speculation, **changes)
    return kind_of("cloud", cloud, cloud, model, REQUEST)


def test_the_gain_shrinks_as_batches_grow_since_verification_becomes_bound_by_compute():
    plain, drafting = kind(None), kind(sections.Ngram(tokens=4, acceptance=ACCEPTANCE))
    drafter = drafting.engine.drafter
    timing = VerifyTime(drafting.steps, drafter.tokens, drafter.steps, drafter.lookup_s)

    def gain(batch):
        per_token_s = plain.steps.decoding(batch, batch * 900).seconds(1)
        return per_token_s * drafter.law.mean / timing.at(batch, batch * 900, NO_PROMPT)

    gains = [gain(batch) for batch in (1, 16, 64, 256)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] == pytest.approx(drafter.law.mean, rel=0.01)
    assert gains[-1] < 0.8 * gains[0]


def test_a_draft_model_takes_memory_for_its_weights_and_for_the_context_of_every_sequence():
    plain, drafting = kind(None).engine, kind(DRAFT_MODEL).engine
    draft = default_catalogue().model("llama-3.2-1b")
    held = plain.kv_blocks * 16 * MODEL.kv_bytes_per_token
    taken = draft.weight_bytes + drafting.kv_blocks * 16 * (MODEL.kv_bytes_per_token + draft.kv_bytes_per_token)
    assert 0 <= held - taken < 16 * (MODEL.kv_bytes_per_token + draft.kv_bytes_per_token)
    assert kind(sections.Ngram(tokens=3, acceptance=0.4)).engine.kv_blocks == plain.kv_blocks


def test_a_prediction_layer_costs_what_one_layer_and_the_output_projection_do():
    model = MODEL.model_copy(update={"mtp_layers": 1})
    drafter = kind(sections.Mtp(acceptance=0.85), model=model, engine=None).engine.drafter
    whole = RooflineTiming(model, default_catalogue().gpu("h100")).steps
    head_s = model.head_params * 2 / (default_catalogue().gpu("h100").bandwidth_bytes_per_s * 0.89)
    assert drafter.law.mean == pytest.approx(1.85)
    layer_s = (whole.memory.fixed_s - head_s) / model.layers
    assert drafter.steps.memory.fixed_s == pytest.approx(layer_s + head_s, rel=1e-6)
    assert kind(sections.Mtp(acceptance=0.85), model=model).engine.kv_blocks < kind(None).engine.kv_blocks


def test_deepseeks_prediction_layer_takes_the_memory_of_its_published_parameters():
    """11.5 billion, tables shared (README_WEIGHTS.md of DeepSeek-V3), in 8 bits."""
    model = default_catalogue().model("deepseek-v3")
    plain, drafting = (
        kind(drafts, "h200", model, gpus_per_replica=8).engine for drafts in (None, sections.Mtp(acceptance=0.85))
    )
    block = 16 * model.replica_kv_bytes_per_token(8)
    taken = plain.kv_blocks * block - drafting.kv_blocks * block * 62 / 61
    assert taken == pytest.approx(11.5e9, rel=0.02)


def test_all_prediction_layers_are_in_memory_and_a_draft_passes_through_one():
    """MiniMax-M2.5 has three, each with 256 experts in 8 bits."""
    model = default_catalogue().model("minimax-m2.5")
    one = model.model_copy(update={"mtp_layers": 1})
    mtp = sections.Mtp(acceptance=0.85)
    plain, with_one, with_three = (
        kind(drafts, "h200", of, gpus_per_replica=4).engine for drafts, of in ((None, one), (mtp, one), (mtp, model))
    )
    block = 16 * model.replica_kv_bytes_per_token(4)
    taken = [
        plain.kv_blocks * block - engine.kv_blocks * block * (model.layers + layers) / model.layers
        for engine, layers in ((with_one, 1), (with_three, 3))
    ]
    assert taken[0] > 3 * 256 * model.hidden * model.ffn  # a byte for each parameter of the experts
    assert taken[1] == pytest.approx(3 * taken[0], rel=1e-3)
    assert with_one.drafter == with_three.drafter


def test_the_engine_that_verifies_serves_the_drafts_too():
    draft, profile = default_catalogue().model("llama-3.2-1b"), engine_profile("sglang")
    gpu = default_catalogue().gpu("h100")
    drafter = kind(DRAFT_MODEL, engine="sglang").engine.drafter
    assert drafter.steps == engine_steps(draft, gpu, Layout(), profile)
    model = MODEL.model_copy(update={"mtp_layers": 1})
    layer = kind(sections.Mtp(acceptance=0.85), model=model, engine="sglang").engine.drafter.steps
    assert layer.compute.fixed_s == pytest.approx((profile.seconds.step + profile.seconds.host) / model.layers)
    assert layer.kernels.layers_s == pytest.approx(profile.seconds.layer)


@pytest.mark.parametrize(
    ("speculation", "gpu", "message"),
    [
        (sections.DraftModel(model="llama-3.1-70b", acceptance=0.8), "h100", r"larger than llama-3.1-8b \(8.0B\)"),
        (sections.DraftModel(model="qwen2.5-0.5b", acceptance=0.8), "h100", "vocabulary of 151936 tokens and llama"),
        (sections.DraftModel(model="lama", acceptance=0.8), "h100", "^cloud.speculation.model: the catalogue has no"),
        (sections.DraftModel(model="llama-3.2-3b", acceptance=0.8), "rtx4090", "does not fit beside llama-3.1-8b on 1"),
        (
            sections.Mtp(acceptance=0.8),
            "h100",
            "llama-3.1-8b comes without layers for multi-token prediction, as glm-4.5-air, m",
        ),
    ],
)
def test_drafts_that_cannot_be_are_refused_in_one_line(speculation, gpu, message):
    with pytest.raises(InputError, match=message) as error:
        kind(speculation, gpu)
    assert "\n" not in str(error.value)


def test_a_request_alone_takes_the_steps_that_are_expected():
    drafting = kind(DRAFT_MODEL)
    replica, job = drafting.replica(), Job(860, 400)
    job.decode_steps = math.ceil(399 / drafting.engine.drafter.law.mean)
    replica.add(job, 0.0)
    while replica.outstanding:
        replica.advance(replica.next_s())
    assert drafting.alone_s(REQUEST) == pytest.approx(job.t_finished_s, rel=1e-9)


def test_every_request_ends_with_all_its_tokens_and_shares_and_joules_are_those_of_the_replicas():
    cloud = sections.Cloud(gpu="h100", replicas=2, speculation=sections.Ngram(tokens=3, acceptance=(0.6, 0.5, 0.4)))
    env, node = node_of(*pools_of(LIST, cloud, sections.Tariffs(), MODEL), router="round_robin", speculation=None)
    rng, tickets = np.random.default_rng(3), []

    def arrive():
        for _ in range(300):
            yield env.timeout(rng.exponential(0.05))
            tickets.append(node.submit(int(rng.integers(1, 900)), int(rng.integers(0, 200))))

    env.process(arrive())
    env.run()
    assert node.outcomes == {"completed": 300}
    assert sum(ticket.gpu_seconds for ticket in tickets) == pytest.approx(node.busy_gpu_seconds, rel=1e-9)
    outputs = [ticket.job.output_tokens - 1 for ticket in tickets if ticket.job.output_tokens > 1]
    steps = [ticket.job.decode_steps for ticket in tickets if ticket.job.output_tokens > 1]
    assert all(-(-tokens // 4) <= its <= tokens for tokens, its in zip(outputs, steps, strict=True))
    assert sum(outputs) / sum(steps) == pytest.approx(1 + 0.6 + 0.3 + 0.12, rel=0.02)
    computed = sum(machine.replica.tokens_computed for machine in node.machines)
    assert computed == sum(ticket.job.prompt_tokens for ticket in tickets) + 4 * sum(steps)
    assert sum(machine.replica.preemptions for machine in node.machines) == 0
    passed = [cloud_tokens(ticket) for ticket in tickets]
    power = node.machines[0].pool.power
    drawn = [power.busy_joules(t.gpu_seconds, tokens) for t, tokens in zip(tickets, passed, strict=True)]
    assert [ticket.joules for ticket in tickets] == pytest.approx(drawn)


def cloud_tokens(ticket):
    """Tokens that passed through the weights: the prompt's, and four in each step."""
    return ticket.job.prompt_tokens + 4 * max(ticket.job.decode_steps, 0)
