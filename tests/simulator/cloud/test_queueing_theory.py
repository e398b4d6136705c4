"""The node against queueing theory: mean waits within 99% intervals of half-width at most 1%.

Control variates are products of what is known when a request arrives with the deviation of its own service time, or of
the gap after it, from the mean. Their mean is zero for every node that cannot see the future, right or wrong, so they
take noise away and leave every error in.
"""

from math import factorial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from simpy import Environment

from simulator.cloud import LlmNode, RooflineTiming, default_catalogue

Array = NDArray[np.float64]
_BATCHES = 60


def _run(servers: int, gaps: Array, services: Array) -> tuple[Array, Array, LlmNode]:
    """Arrival and start times of requests with given gaps and service times at a node of single-slot replicas."""
    env = Environment()
    catalogue = default_catalogue()
    timing = RooflineTiming(catalogue.model("llama-3.1-8b"), catalogue.gpu("h100"))
    node = LlmNode(env, timing, replicas=servers, slots=1, queue_limit=10**9)
    tickets = []

    def arrive():
        for gap, service_s in zip(gaps.tolist(), services.tolist(), strict=True):
            yield env.timeout(gap)
            tickets.append(node.submit(1, 1, service_s=service_s))

    env.process(arrive())
    env.run()
    times = np.array([(ticket.t_arrived_s, ticket.t_started_s) for ticket in tickets])
    return times[:, 0], times[:, 1], node


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
@pytest.mark.parametrize(
    ("servers", "load", "shape", "requests"),
    [(3, 0.75, 1.0, 420_000), (1, 0.6, np.inf, 260_000), (1, 0.7, 0.5, 230_000)],
    ids=["M/M/3", "M/D/1", "M/G/1 (gamma, squared variation 2)"],
)
def test_mean_wait_agrees_with_theory(servers: int, load: float, shape: float, requests: int):
    generator = np.random.default_rng(11)
    variation = 1 / shape  # squared coefficient of variation of a gamma service time of mean 1
    gap_s = 1 / (servers * load)
    gaps = generator.exponential(gap_s, requests)
    services = generator.gamma(shape, 1 / shape, requests) if np.isfinite(shape) else np.ones(requests)
    pollaczek_khinchine = load * (1 + variation) / (2 * (1 - load))
    expected = _erlang_c_wait(servers, load) if servers > 1 else pollaczek_khinchine

    arrivals, starts, node = _run(servers, gaps, services)
    mean, half_width = _mean_wait(arrivals, starts, gaps, services, 1.0, 1 + variation, gap_s)

    assert half_width <= 0.01 * expected
    assert abs(mean - expected) <= half_width
    assert node.outcomes == {"completed": requests}


def test_every_start_equals_the_kiefer_wolfowitz_recursion():
    generator = np.random.default_rng(3)
    gaps, services = generator.exponential(0.3, 5000), generator.gamma(0.7, 1.4, 5000)
    arrivals, starts, _ = _run(4, gaps, services)
    free_at = [0.0] * 4  # when each server has served all that came before
    for arrival, start, service in zip(arrivals, starts, services, strict=True):
        earliest = min(free_at)
        assert start == pytest.approx(max(arrival, earliest), rel=1e-12)
        free_at[free_at.index(earliest)] = start + service


def test_littles_law_holds_for_the_queue():
    generator = np.random.default_rng(5)
    env = Environment()
    catalogue = default_catalogue()
    timing = RooflineTiming(catalogue.model("llama-3.1-8b"), catalogue.gpu("h100"))
    node = LlmNode(env, timing, replicas=2, slots=1, queue_limit=10**9)
    tickets, lengths = [], []

    def arrive():
        for gap, service_s in zip(generator.exponential(0.6, 20_000), generator.exponential(1.0, 20_000), strict=True):
            yield env.timeout(gap)
            tickets.append(node.submit(1, 1, service_s=service_s))

    def watch(arrivals):
        while arrivals.is_alive:
            lengths.append(node.queue_length)
            yield env.timeout(0.25)

    env.run(until=env.process(watch(env.process(arrive()))))
    horizon_s = env.now
    env.run()
    waits = sum(ticket.t_started_s - ticket.t_arrived_s for ticket in tickets)
    assert np.mean(lengths) == pytest.approx(waits / horizon_s, rel=0.01)
