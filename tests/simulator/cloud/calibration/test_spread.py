"""How a server's speed spreads, found from when its tokens came: a server that is slow for spells, one that is not, and
logs that do not tell."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import UNKNOWN, Calibration, RequestLog, calibrate, load_profile, save_profile
from fleetrec.simulator.cloud.calibration.outcomes import simulate_log
from fleetrec.simulator.cloud.calibration.spread import speeds_of
from fleetrec.simulator.cloud.hardware.step_time import Batch, LinearCost, StepTime

FIXED_S, PER_TOKEN_S, TOKENS = 0.004, 4e-5, 40
GRID_S = 0.01
N = 120
Floats = NDArray[np.float64]


def spells(rng: np.random.Generator, n: int) -> Floats:
    """Half the speed for half a second or so, a seventh of the time, and a little unevenness besides."""
    speed, at = np.ones(n), 0
    while at < n:
        fast, slow = rng.exponential((300.0, 50.0)).astype(int) + 1
        speed[at + fast : at + fast + slow] = 0.5
        at += fast + slow
    return np.asarray(speed * np.repeat(np.exp(rng.normal(0, 0.1, n // 5 + 1)), 5)[:n])


def steady(rng: np.random.Generator, n: int) -> Floats:
    return np.ones(n)


def served(seed: int, speeds: Callable[[np.random.Generator, int], Floats]) -> RequestLog:
    """The log of a server that gives all that wait a token a step, at such speeds: those of a grid of moments."""
    asked, rng = np.random.default_rng(0), np.random.default_rng(seed)
    at = np.cumsum(asked.exponential(0.8, N))
    at, prompt = at - at[0], asked.integers(200, 300, N)
    done = np.cumsum(np.append(0.0, speeds(rng, int((at[-1] + 60) / GRID_S)) * GRID_S))
    grid = np.arange(len(done)) * GRID_S
    came: list[list[float]] = [[] for _ in range(N)]
    now, following, running = 0.0, 0, list[int]()
    while following < N or running:
        now = now if running else max(now, at[following])
        joins = [row for row in range(following, N) if at[row] <= now]
        following += len(joins)
        running += joins
        work = FIXED_S + PER_TOKEN_S * (len(running) - len(joins) + prompt[joins].sum())
        now = float(np.interp(np.interp(now, grid, done) + work, done, grid))
        for row in running:
            came[row].append(now)
        running = [row for row in running if len(came[row]) < TOKENS]
    first, last = (np.array([times[place] for times in came]) for place in (0, -1))
    gaps = tuple(tuple(np.diff(times).tolist()) for times in came)
    return RequestLog("spells", "0" * 64, at, prompt, np.full(N, TOKENS), first, last, gaps_s=gaps)


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(served(2, spells), UNKNOWN)


def test_the_slowest_answers_are_as_slow_as_such_a_server_makes_them(found: Calibration) -> None:
    """Of the same requests in thirty other worlds; with step times alone the slow ones are missed by a third."""
    worlds = [served(seed, spells) for seed in range(10, 40)]
    truth = np.concatenate([log.last_s - log.arrival_s for log in worlds])
    alone = simulate_log(found.log, found.steps, found.engine).last_s - found.log.arrival_s
    ours = found.simulated.last_s - found.log.arrival_s
    assert np.percentile(ours, 50) == pytest.approx(np.percentile(truth, 50), rel=0.1)
    assert np.percentile(ours, 95) == pytest.approx(np.percentile(truth, 95), rel=0.15)
    assert np.percentile(alone, 95) < 0.7 * np.percentile(truth, 95)


def test_the_speed_of_a_stretch_is_the_servers_own() -> None:
    """Half the speed in every other second, step times known."""
    log = served(1, lambda rng, n: np.where(np.arange(n) // 100 % 2, 0.5, 1.0))
    line = LinearCost(FIXED_S, PER_TOKEN_S)
    number, speed = speeds_of(log, StepTime(line, line), np.ones(N, dtype=bool), 0.1)
    second, place = np.divmod(number, 10)
    inside = (place > 0) & (place < 9)  # a step that began before the second is over in it
    assert inside.sum() > 100
    assert speed[inside] == pytest.approx(np.where(second[inside] % 2, 0.5, 1.0), abs=0.12)
    assert np.median(np.abs(speed[inside] - np.where(second[inside] % 2, 0.5, 1.0))) < 0.03


def test_of_a_server_that_is_always_as_fast_hardly_any_spread_is_seen() -> None:
    found = calibrate(served(1, steady), UNKNOWN, 0.5)
    assert found.pace is not None
    assert found.pace.spread < 0.05
    assert found.held_out is not None
    assert abs(found.held_out["latency_p50"]) < 0.03
    assert abs(found.held_out["latency_p95"]) < 0.03
    assert found.steps.at(Batch(3, 3, 900, 900)) == pytest.approx(FIXED_S + 3 * PER_TOKEN_S, rel=0.05)


def test_a_log_that_does_not_tell_when_tokens_came_has_no_spread() -> None:
    found = calibrate(replace(served(1, spells), gaps_s=()), UNKNOWN)
    assert found.pace is None
    assert found.simulated.last_s.shape == (N,)


def test_the_spread_is_of_the_part_that_is_fitted() -> None:
    """Slow spells in the second half alone do not show."""
    log = served(1, lambda rng, n: np.where(np.arange(n) < 0.4 * n, steady(rng, n), spells(rng, n)))
    found = calibrate(log, UNKNOWN, 0.4)
    assert found.pace is not None
    assert found.pace.spread < 0.05


def test_its_profile_holds_the_pace_and_serves_with_it(found: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "profile.yaml"
    save_profile(found, path)
    assert load_profile(path).pace_law == found.pace


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("speeds", [], "at least 1 item"),
        ("speeds", [0.001, 0.0], "next to nothing is ever done; raise some"),
        ("speeds", [1.0, -0.5], "greater than or equal to 0"),
        ("stretch_s", 0, "greater than 0"),
        ("run", 0, "greater than or equal to 1"),
        ("lasts", 3, "[Ee]xtra"),
    ],
)
def test_a_pace_that_is_none_is_refused(found: Calibration, tmp_path: Path, key: str, value: object, told: str) -> None:
    path = tmp_path / "profile.yaml"
    save_profile(found, path)
    content = yaml.safe_load(path.read_text())
    content["pace"][key] = value
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=rf"profile\.yaml: pace\.{key}.*{told}") as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)
