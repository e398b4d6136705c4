"""A server that is in no catalogue: its log alone gives a weak prior, its limits, and a profile for any scenario."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetrec import Scenario
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import UNKNOWN, RequestLog, calibrate, load_profile, read_server, save_profile
from fleetrec.simulator.cloud.calibration.outcomes import Times, measured
from fleetrec.simulator.cloud.calibration.priors import WEAK_SPREAD, weak_prior
from fleetrec.simulator.cloud.calibration.scheduler import UNSEEN_BLOCKS, engine_seen
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.step_time import Batch, LinearCost, StepTime
from fleetrec.simulator.cloud.pools import kinds_of
from fleetrec.simulator.core.randomness import Draws
from tests.simulator.cloud.stepwise import Ask, Stepwise
from tests.small import noted

LINE = LinearCost(0.03, 0.0004, 0.002)
SLOW = StepTime(LINE, LINE)
"""a CPU's, a hundred times as slow as any GPU of the catalogue"""


def log_of(n: int, gap_s: float, sequences: int = 256, output: int = 40) -> RequestLog:
    """What such a server writes, as the step-by-step reference serves it."""
    draws = Draws(3)
    at = np.cumsum(draws.exponential("gap", np.arange(n)) * gap_s)
    at -= at[0]
    prompt = 20 + draws.integers(300, "prompt", np.arange(n))
    length = 5 + draws.integers(output, "output", np.arange(n))
    asks = [Ask(a, p, o) for a, p, o in zip(at.tolist(), prompt.tolist(), length.tolist(), strict=True)]
    served = Stepwise(asks, SLOW, 100_000, 2048, sequences, 16).entries
    first, last = np.array([e.first for e in served]), np.array([e.left for e in served])
    return RequestLog("slow", "0" * 64, at, prompt, length, first, last)


def test_a_log_alone_is_fitted_and_met_on_requests_that_it_was_not_fitted_to() -> None:
    assert read_server(None) is UNKNOWN
    found = calibrate(log_of(80, 1.0), UNKNOWN, 0.5)
    assert found.held_out is not None
    assert abs(found.held_out["latency_p50"]) < 0.03
    assert abs(found.held_out["latency_p95"]) < 0.03
    for batch in (Batch(1, 1, 100, 100), Batch(150, 2, 150, 10_000)):
        assert found.steps.at(batch) == pytest.approx(SLOW.at(batch), rel=0.1)
    assert {"weak_prior", "scheduler_seen"} <= set(noted(note.as_data() for note in found.notes))


def test_half_of_what_a_server_is_needs_the_other_half() -> None:
    with pytest.raises(InputError, match="of a server that is in no catalogue, none of these"):
        read_server(None, model="llama-3.1-8b")


@pytest.mark.parametrize("places", [1, 4])
def test_a_limit_shows_where_its_places_are_all_taken_while_others_wait(places: int) -> None:
    engine, notes = engine_seen(log_of(60, 0.4, places), slice(None))
    assert engine.max_sequences == places
    assert notes[0].values["most"] == places
    assert "so many is the limit" in notes[0].text


def test_no_limit_shows_where_nobody_waits() -> None:
    engine, notes = engine_seen(log_of(60, 2.0), slice(None))
    assert (engine.max_sequences, engine.kv_blocks) == (256, UNSEEN_BLOCKS)
    assert "no limit shows" in notes[0].text


def test_the_limit_is_that_of_the_part_that_is_fitted() -> None:
    log = log_of(60, 0.4, 4)
    assert engine_seen(log, slice(0, 3))[0].max_sequences == 256


def test_requests_that_do_not_begin_in_their_order_are_told() -> None:
    def times(*values: float) -> NDArray[np.float64]:
        return np.array(values)

    one = np.ones(4, dtype=np.int64)
    log = RequestLog("odd", "", times(0, 1, 2, 3), one, 2 * one, times(10, 9, 8, 7), times(11, 11, 11, 11))
    assert noted(note.as_data() for note in engine_seen(log, slice(None))[1])["order_seen"]["share"] == 0


def test_the_prior_has_the_size_of_the_quickest_requests() -> None:
    log = log_of(60, 5.0)
    prior = weak_prior(Times.of(log, measured(log)), float(log.prompt_tokens.mean()))
    assert prior.spread == WEAK_SPREAD
    assert prior.coefficients.fixed_s == pytest.approx(LINE.fixed_s, rel=0.2)
    assert 0.1 < prior.coefficients.per_token_s / LINE.per_token_s < 10


def test_its_profile_serves_any_model_on_any_gpu(tmp_path: Path) -> None:
    found = calibrate(log_of(40, 1.0), UNKNOWN)
    path = tmp_path / "profile.yaml"
    save_profile(found, path)
    profile = load_profile(path)
    assert (profile.model, profile.gpu) == (None, None)
    profile.check_model("qwen3-8b")
    scenario = Scenario.model_validate(
        {"name": "any", "llm": {"served_as": "llama-3.1-8b"}, "cloud": {"profile": str(path)}}
    )
    [(_, kind)] = kinds_of(scenario.llm, scenario.cloud, default_catalogue().model("llama-3.1-8b"))
    assert kind.steps == found.steps
