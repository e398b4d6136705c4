"""A stream of devices with their own gaps is what many such devices give."""

import numpy as np
import pytest

from fleetrec.simulator.cloud.capacity.clones import Clones
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.peak import Peak
from fleetrec.simulator.cloud.capacity.provisioning import Provision
from fleetrec.simulator.cloud.capacity.replay import Requests, replay
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.servers_needed import provision_fleet
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud

SPAN_S = 7200.0


def fleet_of(devices: int, seed: int, copies: int = 1) -> Requests:
    """Devices that ask in sessions of eight requests, twelve seconds apart, at a random moment of two hours; each
    `copies` times, independently shifted. Prompts share their first 80 tokens of 96 with the device's others."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(12.0, (devices, 8))
    own_s = np.repeat(np.cumsum(gaps, axis=1), copies, axis=0)
    at = (rng.uniform(0, SPAN_S, (devices * copies, 1)) + own_s).ravel()
    order = np.argsort(at)
    device = np.repeat(np.arange(devices * copies), 8)[order]
    n = np.ones(len(at), dtype=np.int64)
    return Requests.of(at[order], 96 * n, n, device=device, prefix_start=0 * n, prefix_tokens=96 * n)


def reads(replicas: int, kv_blocks: int) -> Pool:
    """A hundred prompt tokens a second."""
    engine = Engine(kv_blocks=kv_blocks, prefix_caching=True)
    timing = StepTime(LinearCost(0.0, per_token_s=0.01), LinearCost(1e-9))
    return Pool(lambda: Replica(timing, engine), replicas=replicas)


def test_a_stream_has_the_rate_and_the_gaps_of_its_devices_and_each_clone_asks_for_its_own() -> None:
    base = fleet_of(200, 1)
    requests, rows = Clones(base, Draws(1)).stream(6000, 5.0)
    assert len(rows) == pytest.approx(6000, abs=8)
    assert (np.diff(requests.arrival_s) >= 0).all()
    assert len(rows) / requests.arrival_s[-1] == pytest.approx(5.0, rel=0.01)
    gaps = []
    for device in range(100, 300):
        asked = np.flatnonzero(requests.device == device)
        assert len({int(base.device[row]) for row in rows[asked]}) == 1
        assert (np.diff(rows[asked]) > 0).all()
        gaps += np.diff(requests.arrival_s[asked]).tolist()
        own = np.diff(base.arrival_s[rows[asked]])
        assert np.diff(requests.arrival_s[asked]) == pytest.approx(own * len(rows) / 6000, abs=1e-6)
    assert np.mean(gaps) == pytest.approx(12.0, rel=0.1)
    per_clone = np.bincount(requests.device)
    assert per_clone.max() == 8
    assert per_clone.mean() > 7  # twenty minutes: few sessions are cut


@pytest.mark.parametrize("kv_blocks", [60, 400])
@pytest.mark.parametrize("router", ["device_affine", "least_outstanding"])
def test_caches_serve_clones_as_they_serve_a_whole_fleet_of_such_devices(kv_blocks: int, router: str) -> None:
    """Ten times the fleet, simulated as it is; little memory keeps fewer sessions than are under way."""
    base, whole = fleet_of(150, 1), fleet_of(150, 1, copies=10)
    rate = len(whole) / SPAN_S
    cloud = without_faults(Cloud(router=router, prefix_caching=True))
    stream, _ = Clones(base, Draws(1)).stream(len(whole) // 3, rate)

    def busy(requests: Requests) -> float:
        return replay(requests, (reads(4, kv_blocks),), cloud, Draws(1)).node.busy_gpu_seconds / len(requests)

    assert busy(stream) == pytest.approx(busy(whole), rel=0.04)
    assert busy(stream) < 0.95 * busy(whole.without_prefix_sharing())


def test_a_fleet_that_is_stood_for_needs_fewer_replicas_where_prefixes_are_cached() -> None:
    base = fleet_of(60, 1)
    peak = Peak(len(base) / SPAN_S, np.array([0.06, 0.07]), np.arange(len(base)))
    objective = ServiceObjective.parse("p90=4s")

    def found(requests: Requests, kv_blocks: int) -> Provision:
        rules = without_faults(Cloud(router="device_affine", prefix_caching=True))
        servers = Replicas((reads(1, kv_blocks),), rules, Draws(1), objective)
        return provision_fleet(requests, peak, 40.0, servers, Draws(1))

    cached, without = found(base, 400), found(base.without_prefix_sharing(), 400)
    assert cached.servers is not None
    assert without.servers is not None
    assert 1 <= cached.servers < without.servers  # 2.7 a second, each 0.96 s alone
    assert (cached.servers_of >= 1).all()
    assert cached.served is not None
    assert np.quantile(cached.served.times.latency_s, 0.9) <= 4.0
    assert cached.served.headroom >= 0
