"""Measured beside simulated: what is fitted, what cannot be, and whether the server was the same all the time."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fleetrec.simulator.cloud.calibration import Machine, RequestLog, Server
from fleetrec.simulator.cloud.calibration.outcomes import Outcomes
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.pools import Kind
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.experiments.rehearsal.clouds import Fitted, OwnGpus
from fleetrec.simulator.experiments.rehearsal.comparison import BARS, Comparison, compared
from tests.simulator.cloud.calibration.test_unknown_server import SLOW, log_of
from tests.small import noted

FAST = StepTime(LinearCost(0.01), LinearCost(0.01))
MODEL, GPU = default_catalogue().model("llama-3.1-8b"), default_catalogue().gpu("h100")


def cloud(steps: StepTime = FAST, kv_blocks: int = 10_000) -> OwnGpus:
    return OwnGpus(Kind(MODEL, steps, Engine(kv_blocks), GPU), None)


@pytest.fixture(scope="module")
def log() -> RequestLog:
    return log_of(100, 1.0)


def test_a_guess_that_is_the_server_itself_is_met_and_so_is_what_is_fitted(log: RequestLog) -> None:
    found = compared(log, cloud(SLOW), 0.5)
    assert found.met
    figures = found.figures()
    assert figures["errors"]["second"]["guess"]["latency_p50"] == pytest.approx(0.0, abs=1e-6)
    assert figures["errors"]["second"]["profile"]["latency_p50"] == pytest.approx(0.0, abs=0.03)
    first = figures["times_s"]["first"]
    assert first["measured"]["ttft"] == pytest.approx(first["guess"]["ttft"])
    assert "unsteady" not in noted(note.as_data() for note in found.notes)


@pytest.mark.parametrize(("factor", "as_named"), [(1.0, True), (300.0, False)])
def test_the_scenarios_own_model_is_the_prior_unless_no_such_gpu_could_be_so_slow(
    log: RequestLog, factor: float, as_named: bool
) -> None:
    named = Server(Machine(MODEL, GPU), 1, Engine(10_000))
    times = {name: getattr(log, name) * factor for name in ("arrival_s", "first_s", "last_s")}
    found = compared(replace(log, **times), replace(cloud(), named=named), 0.5)
    assert found.found is not None
    assert found.found.profile is not None
    assert (found.found.profile.server is named) == as_named
    keys = noted(note.as_data() for note in [*found.notes, *found.found.notes])
    assert ("not_as_named" in keys) == ("weak_prior" in keys) == (not as_named)
    assert found.met


def test_a_server_that_grows_slower_by_itself_is_told(log: RequestLog) -> None:
    """From the middle on each request takes half as much again, whatever the load."""
    late = slice(50, None)
    first, last = log.first_s.copy(), log.last_s.copy()
    first[late] += 0.5 * (first[late] - log.arrival_s[late])
    last[late] += 0.5 * (last[late] - log.arrival_s[late])
    found = compared(replace(log, first_s=first, last_s=last), cloud(), 0.5)
    assert found.found is not None
    assert not found.met
    notes = noted(note.as_data() for note in found.notes)
    assert notes["unsteady"]["factor"] == pytest.approx(1.5, rel=0.1)
    assert abs(notes["in_turn"]["p50"]) < 0.1 < abs(found.found.held_out["latency_p50"])


def test_the_interval_of_an_error_is_as_wide_as_the_sampling_of_the_median() -> None:
    """Independent log-normal latencies: a median of n has a standard error of 1.2533 sigma over the root of n."""
    n, fitted, sigma = 1000, 200, 0.3
    latency = np.exp(sigma * Draws(3).normal("latency", np.arange(n)))
    at, ones = 100.0 * np.arange(n), np.ones(n, dtype=np.int64)
    log = RequestLog("drawn", "", at, 10 * ones, 2 * ones, at + latency / 2, at + latency)
    found = Fitted(Outcomes(at + 0.5, at + 1.0), dict.fromkeys(BARS, 0.0))
    figures = Comparison(log, None, found, fitted, ()).figures()
    low, high = figures["errors_95"]["latency_p50"]
    assert low < figures["errors"]["second"]["profile"]["latency_p50"] < high
    assert high - low == pytest.approx(2 * 1.96 * 1.2533 * sigma / math.sqrt(n - fitted), rel=0.3)


def test_what_the_guessed_cloud_could_not_hold_has_no_guess_but_a_profile(log: RequestLog) -> None:
    found = compared(log, cloud(kv_blocks=2), 0.5)
    assert found.guess is None
    assert found.found is not None
    assert "KV-cache blocks" in noted(note.as_data() for note in found.notes)["no_guess"]["why"]
    assert "guess" not in found.figures()["errors"]["second"]


def test_too_few_requests_are_shown_and_not_fitted() -> None:
    found = compared(log_of(10, 1.0), cloud(), 0.5)
    assert found.met is None
    assert list(found.figures()["times_s"]) == ["all"]
    assert noted(note.as_data() for note in found.notes)["too_few"]["requests"] == 10
