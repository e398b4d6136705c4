"""Where fresh history tells nothing of what comes next, no policy gains by asking; where it does, asking pays.

Two runs at one seed meet the same users, arrivals and links, so their difference is taken user by user.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.policy_calibration import Tuned, tune
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.simulation import simulate_prepared
from tests.simulator.tiny import RandomLists, prepare_tiny, scenario_of, shuffled

POLICIES: dict[str, dict[str, Any]] = {
    "always": {"kind": "always"},
    "every": {"kind": "every", "n": 3},
    "random": {"kind": "random", "ratio": 0.4},
    "staleness": {"kind": "staleness", "threshold": 4},
    "inconsistency": {"kind": "inconsistency", "threshold": 22},
    "entropy": {"kind": "uncertainty", "threshold": 0.93},
    "session start": {"kind": "session_start", "gap": "10min"},
}
MOST_Z = 3.5  # two-sided 5 in 10,000, for seven policies


class UninformedLists(RandomLists):
    """Lists drawn anew for each history, whatever it holds and whatever follows it."""

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        rows = [
            shuffled(self._histories.n_items, user, step)[: self.list_length]
            for user, step in zip(users.tolist(), as_of.tolist(), strict=True)
        ]
        items = np.array(rows, dtype=np.int32).reshape(len(users), self.list_length)
        return CandidateLists(items, np.ones(len(users), dtype=bool), as_of)


def gains(request: dict[str, Any], lists: type[RandomLists], store: ArtifactStore) -> np.ndarray:
    """Of each device, its mean reciprocal rank less that of the same device that never asks."""
    means = []
    for kind in ({"kind": "never"}, request):
        scenario = scenario_of(policy={"request": kind}, fleet={"devices": 60})
        prepared = prepare_tiny(scenario, store)
        prepared = replace(prepared, source=lists(prepared.trained.histories, scenario.llm.list_length))
        tuned: Tuned = tune(
            scenario.policy, SlateInputs.of(scenario), prepared, lambda: pytest.fail("not calibrated here")
        )
        run = simulate_prepared(scenario, prepared, None, "cpu", NullProgress(), tuned=tuned)
        rank = run.interactions["rank"].to_numpy()
        score = (
            run.interactions["device"].to_frame().assign(score=np.where(rank >= 0, 1 / (np.maximum(rank, 0) + 1), 0.0))
        )
        means.append(score.groupby("device")["score"].mean().to_numpy())
    return means[1] - means[0]


def z_of(gain: np.ndarray) -> float:
    """The mean gain in its standard errors, devices as the sample."""
    return float(gain.mean() / (gain.std(ddof=1) / np.sqrt(len(gain))))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_gains_by_asking_where_fresh_history_tells_nothing(name: str, store: ArtifactStore) -> None:
    gain = gains(POLICIES[name], UninformedLists, store)
    assert np.abs(gain).max() > 0  # it has asked, and other lists were on screen
    assert abs(z_of(gain)) < MOST_Z


def test_asking_gains_where_lists_know_what_comes(store: ArtifactStore) -> None:
    assert z_of(gains(POLICIES["always"], RandomLists, store)) > 2 * MOST_Z
