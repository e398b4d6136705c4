"""Replicas and the node against queueing theory: mean waits within 99% intervals of half-width at most 1%.

Those means need so many requests that replicas are driven by a plain loop; that the node serves as a replica driven so
is tested request by request.

Control variates are products of what is known when a request arrives with the deviation of its own service time, or of
the gap after it, from the mean. Their mean is zero for every node that cannot see the future, right or wrong, so they
take noise away and leave every error in.
"""

from functools import partial
from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.replica.jobs import Job
from fleetrec.simulator.cloud.replica.replica import Engine, Replica
from fleetrec.simulator.cloud.replica.timed_replica import Serving
from tests.simulator.cloud.nodes import node_of, timed_pool

Array = NDArray[np.float64]
_BATCHES = 60


def _tokens(max_sequences: int, step: LinearCost) -> Pool:
    """A replica that serves step by step, with memory for all."""
    engine = Engine(kv_blocks=10**9, max_sequences=max_sequences)
    return Pool(replica=partial(Replica, StepTime(step, step), engine))


def _run(pool: Pool, gaps: Array, services: Array, tokens: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Arrival, start and end times of requests with given gaps, service times (timed replicas) and output tokens."""
    env, node = node_of(pool, queue_limit=10**9)
    tickets = []

    def arrive():
        for gap, service_s, output in zip(gaps.tolist(), services.tolist(), tokens.tolist(), strict=True):
            yield env.timeout(gap)
            tickets.append(node.submit(1, output, service_s=service_s))

    env.process(arrive())
    env.run()
    times = np.array([(ticket.t_arrived_s, ticket.t_started_s, ticket.t_finished_s) for ticket in tickets])
    return times[:, 0], times[:, 1], times[:, 2]


def _drive(replica: Serving, arrivals: Array, services: Array, tokens: NDArray[np.int64]) -> tuple[Array, Array]:
    """Start and end times of requests at a replica without a node."""
    jobs = []
    for now, service_s, output in zip(arrivals.tolist(), services.tolist(), tokens.tolist(), strict=True):
        replica.advance(now)
        jobs.append(Job(1, output, service_s=service_s))
        replica.add(jobs[-1], now)
    replica.advance(1e12)
    times = np.array([(job.t_started_s, job.t_finished_s) for job in jobs])
    return times[:, 0], times[:, 1]


def _work_found(arrivals: Array, starts: Array, services: Array) -> Array:
    """Unfinished work in the node just before each arrival, from the records."""
    moments = np.concatenate([starts, starts + services])
    steps = np.concatenate([np.ones(len(starts)), -np.ones(len(starts))])
    order = np.argsort(moments, kind="stable")
    moments, level = moments[order], np.cumsum(steps[order])
    done = np.concatenate([[0.0], np.cumsum(level[:-1] * np.diff(moments))])
    last = np.searchsorted(moments, arrivals, side="right") - 1
    at = np.maximum(last, 0)
    done_by = np.where(last >= 0, done[at] + level[at] * (arrivals - moments[at]), 0.0)
    return np.cumsum(services) - services - done_by


def _mean_wait(
    arrivals: Array, starts: Array, gaps: Array, services: Array, mean_s: float, square_s: float, gap_s: float
) -> tuple[float, float]:
    """Mean wait and the half-width of its 99% interval, by batch means with control variates."""
    service, gap = services - mean_s, np.append(gaps[1:], gap_s) - gap_s
    work = _work_found(arrivals, starts, services)
    squares = [services**2 - square_s, (gap + gap_s) ** 2 - 2 * gap_s**2]
    controls = np.stack([service, gap, *squares, work * service, work * gap])
    warm = len(arrivals) // 20
    usable = (len(arrivals) - warm) // _BATCHES * _BATCHES
    wait = (starts - arrivals)[warm : warm + usable].reshape(_BATCHES, -1).mean(axis=1)
    means = controls[:, warm : warm + usable].reshape(len(controls), _BATCHES, -1).mean(axis=2)
    means = means[means.std(axis=1) > 1e-9]  # a constant service time controls nothing
    design = np.column_stack([np.ones(_BATCHES), means.T])
    fitted, *_ = np.linalg.lstsq(design, wait, rcond=None)
    freedom = _BATCHES - design.shape[1]
    residual = wait - design @ fitted
    variance = residual @ residual / freedom * np.linalg.inv(design.T @ design)[0, 0]
    return float(fitted[0]), float(stats.t.ppf(0.995, freedom) * np.sqrt(variance))


def _erlang_c_wait(servers: int, load: float) -> float:
    """Mean wait of M/M/c, in mean service times; `load` is the utilisation."""
    offered = servers * load
    full = offered**servers / factorial(servers) / (1 - load)
    delayed = full / (sum(offered**k / factorial(k) for k in range(servers)) + full)
    return delayed / (servers - offered)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["M/M/3", "M/D/1", "M/G/1"])
def test_mean_wait_agrees_with_theory(kind: str):
    """M/M/3: one line before three places. M/D/1: scoring, a step each, one at a time. M/G/1: answers of 1 to 19 tokens
    of equal chance, 0.1 s a token, one at a time."""
    generator = np.random.default_rng(11)
    servers, load, requests, variation = {
        "M/M/3": (3, 0.75, 420_000, 1.0),
        "M/D/1": (1, 0.6, 260_000, 0.0),
        "M/G/1": (1, 0.6, 300_000, (19**2 - 1) / 12 / 100),
    }[kind]
    gap_s = 1 / (servers * load)
    gaps = generator.exponential(gap_s, requests)
    services, tokens = generator.exponential(1.0, requests), np.ones(requests, dtype=np.int64)
    pool = timed_pool(slots=3)
    if kind == "M/D/1":
        services, pool = np.ones(requests), _tokens(1, LinearCost(1.0))
    elif kind == "M/G/1":
        tokens = generator.integers(1, 20, requests)
        services, pool = 0.1 * tokens, _tokens(1, LinearCost(0.0, per_sequence_s=0.1))
    pollaczek_khinchine = load * (1 + variation) / (2 * (1 - load))
    expected = _erlang_c_wait(servers, load) if servers > 1 else pollaczek_khinchine

    arrivals = np.cumsum(gaps)
    starts, ends = _drive(pool.replica(), arrivals, services, tokens)
    mean, half_width = _mean_wait(arrivals, starts, gaps, services, 1.0, 1 + variation, gap_s)

    assert half_width <= 0.01 * expected
    assert abs(mean - expected) <= half_width
    assert np.allclose(ends - starts, services)


@pytest.mark.parametrize("pool", ["timed", "tokens"])
def test_every_start_equals_the_kiefer_wolfowitz_recursion(pool: str):
    generator = np.random.default_rng(3)
    servers = 4 if pool == "timed" else 1
    gaps, tokens = generator.exponential(1.2 / servers, 5000), generator.integers(1, 20, 5000)
    services = tokens * 0.1
    replica = timed_pool(slots=4) if pool == "timed" else _tokens(1, LinearCost(0.1))
    arrivals, starts, ends = _run(replica, gaps, services, tokens)
    assert np.allclose(ends - starts, services)
    free_at = [0.0] * servers  # when each server has served all that came before
    for arrival, start, service in zip(arrivals, starts, services, strict=True):
        earliest = min(free_at)
        assert start == pytest.approx(max(arrival, earliest), rel=1e-9)
        free_at[free_at.index(earliest)] = max(arrival, earliest) + service


def test_littles_law_holds_for_queue_and_service():
    generator = np.random.default_rng(5)
    env, node = node_of(_tokens(8, LinearCost(0.02, per_sequence_s=0.005)), queue_limit=10**9)
    tickets = []

    def arrive():
        for gap, tokens in zip(generator.exponential(0.1, 20_000), generator.integers(1, 60, 20_000), strict=True):
            yield env.timeout(gap)
            tickets.append(node.submit(10, int(tokens)))

    env.process(arrive())
    env.run()
    rows = node.timeline()
    lengths = np.diff(np.append(rows["t_s"], env.now))
    inside = float(rows["in_service"] @ lengths)
    assert inside == pytest.approx(sum(t.t_finished_s - t.t_started_s for t in tickets), rel=1e-6)
    assert float(rows["busy"] @ lengths) == pytest.approx(sum(t.gpu_seconds for t in tickets), rel=1e-9)


def test_steps_that_take_time_for_each_sequence_share_the_processor():
    """M/D/1 with processor sharing: the mean time in the system is service / (1 - load), as tokens get small."""
    generator = np.random.default_rng(7)
    requests, tokens, load = 30_000, 50, 0.6
    gaps = generator.exponential(1 / load, requests)
    pool = _tokens(1000, LinearCost(0.0, per_sequence_s=1 / tokens))
    arrivals = np.cumsum(gaps)
    _, ends = _drive(pool.replica(), arrivals, np.ones(requests), np.full(requests, tokens))
    assert float(np.mean(ends - arrivals)) == pytest.approx(1 / (1 - load), rel=0.03)
