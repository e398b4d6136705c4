"""A policy asks at the share of decisions that it is told, also where the stream is not like held-out decisions."""

import math

import numpy as np
import pytest

from fleetrec.simulator.policies.request.share import Curve, Share

SHARES = np.array([0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99])
UNIFORM = Curve(SHARES, 1000.0 * (1.0 - SHARES), np.linspace(0.0, 1.0, 1001))
"""of scores that are uniform on [0, 1]"""


def asked_share(share: Share, scores: np.ndarray) -> float:
    """Decisions at moments 0, 1, 2 and so on."""
    asks = 0
    for now, uncertainty in enumerate(scores.tolist()):
        wants = uncertainty >= share.at(float(now))
        share.asked += wants
        asks += wants
    return asks / len(scores)


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("power", [0.3, 1.0, 3.0])  # the stream's scores are far higher, as held out, far lower
def test_a_share_is_kept_whatever_the_scores_of_the_stream_are(ratio: float, power: float) -> None:
    scores = np.random.default_rng(1).random(4000) ** power
    share = Share(1.0 - ratio, ratio, UNIFORM, np.arange(4000.0))
    assert asked_share(share, scores) == pytest.approx(ratio, abs=0.01)
    fixed = Share(1.0 - ratio)
    assert asked_share(fixed, scores) == pytest.approx(1.0 - (1.0 - ratio) ** (1.0 / power), abs=0.02)


def test_scores_that_drift_are_followed() -> None:
    scores = np.random.default_rng(1).random(20_000) * np.linspace(1.0, 0.3, 20_000)
    assert asked_share(Share(0.8, 0.2, UNIFORM, np.arange(20_000.0)), scores) == pytest.approx(0.2, abs=0.02)
    assert asked_share(Share(0.8), scores) < 0.1


def test_a_share_is_kept_where_scores_are_few_numbers_and_others_than_were_held_out() -> None:
    """Penalties of invalid items are such: here 16, 18.49 and 21.16, each with a coin far below it."""
    rng = np.random.default_rng(1)
    levels = np.array([16.0, 18.49, 21.16])
    held = np.sort(rng.choice(levels, 1000, p=[0.7, 0.2, 0.1]) + 2.0**-20 * rng.random(1000))
    curve = Curve(SHARES, 1000.0 * (1.0 - SHARES), held)
    scores = rng.choice(levels, 4000, p=[0.95, 0.04, 0.01]) + 2.0**-20 * rng.random(4000)
    for ratio in (0.2, 0.5):
        share = Share(curve.at(np.log(ratio / (1 - ratio))), ratio, curve, np.arange(4000.0))
        assert asked_share(share, scores) == pytest.approx(ratio, abs=0.01)


def test_a_threshold_depends_on_nothing_later_than_it() -> None:
    scores = np.random.default_rng(1).random(1000)
    other = np.concatenate([scores[:600], np.ones(400)])
    seen = []
    for each in (scores, other):
        share = Share(0.8, 0.2, UNIFORM, np.arange(1000.0))
        asked_share(share, each[:600])
        seen.append(share.at(600.0))
    assert seen[0] == seen[1]


def test_decisions_of_one_moment_meet_one_threshold() -> None:
    share = Share(0.8, 0.2, UNIFORM, np.repeat(np.arange(10.0), 50))
    assert share.until_s == 1.0  # the 64th decision is one of the second moment
    first = share.at(1.0)
    share.asked = 60
    assert share.at(1.0) == first
    assert share.at(2.0) > first


def test_a_threshold_that_is_given_stays() -> None:
    share = Share(0.7)
    assert share.until_s == math.inf
    share.asked = 1000
    assert share.at(1e9) == 0.7
