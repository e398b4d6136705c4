"""The model of gains: its targets by hand, and that it finds what there is to find."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleetrec.simulator.policies.counterfactual import Decisions
from fleetrec.simulator.policies.fusion.scores import rounded
from fleetrec.simulator.policies.gain_model import GainModel, gains
from fleetrec.simulator.policies.gain_training import train_gain_model
from fleetrec.simulator.policies.uncertainty import on_grid


@pytest.mark.filterwarnings("error")
def test_scores_that_are_too_large_for_the_grid_are_infinite() -> None:
    view: Any = SimpleNamespace(lists=SimpleNamespace(count=np.array([3, 3, 0])))
    assert on_grid(np.array([1e308, 0.5, -1e308]), view).tolist() == [math.inf, 0.5, math.inf]
    assert rounded(np.array([[1e308, 0.5, -1e308]]), np.array([True])).tolist() == [[math.inf, 0.5, -math.inf]]


def test_the_gain_is_the_mean_lead_of_a_fresh_list_over_the_items_it_would_be_kept_for() -> None:
    decisions = Decisions(np.array([0]), np.array([3]), np.array([3]), np.array([3]))
    reward = np.zeros(int(decisions.base[-1]))
    place = lambda decision, number: decisions.pair(np.array([0]), np.array([decision]), np.array([number]))[0]  # noqa: E731
    for decision, values in enumerate([(0.1, 0.5), (0.2, 0.3, 0.9), (0.0, 0.1, 0.4, 0.8)]):
        for number, value in enumerate(values):
            reward[place(decision, number)] = value
    gain, weight = gains(decisions, reward, horizon=2)
    assert gain[place(0, 0)] == pytest.approx((0.5 - 0.1 + 0.3 - 0.2) / 2)
    assert gain[place(1, 1)] == pytest.approx((0.9 - 0.3 + 0.4 - 0.1) / 2)
    assert gain[place(2, 1)] == pytest.approx(0.8 - 0.1)
    assert [weight[place(decision, 0)] for decision in range(3)] == [2, 2, 1]


def model_of(seed: int = 1) -> tuple[GainModel, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    features = generator.normal(size=(6000, 3))
    gain = 0.02 * np.maximum(features[:, 0], 0) - 0.01 * features[:, 1]
    noisy = gain + generator.normal(scale=0.05, size=6000)
    model = train_gain_model(features, noisy, np.ones(6000), np.arange(6000) // 10, 8, seed, 1)
    return model, features, gain


def test_a_gain_hidden_in_noise_is_learnt() -> None:
    model, features, gain = model_of()
    assert np.corrcoef(model(features), gain)[0, 1] > 0.95


def test_training_again_gives_the_same_model_and_the_global_generator_is_left_alone() -> None:
    one, features, _ = model_of()
    other, _, _ = model_of()
    assert (one(features) == other(features)).all()


def test_a_model_is_read_back_as_it_was_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, features, _ = model_of()
    model.save(tmp_path)
    assert (GainModel.load(tmp_path)(features) == model(features)).all()
