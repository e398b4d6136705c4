"""Update schedules of the user's own, in a run."""

from pathlib import Path

import pandas as pd
import pytest

from fleetrec import InputError
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate_prepared
from tests.simulator.own_file import own_file
from tests.simulator.tiny import prepare_tiny, scenario_of

ENOUGH = """\
from fleetrec import FleetUpdate


class Mine(FleetUpdate):
    least: int = 1

    def should_train(self, cloud):
        return cloud.new >= self.least
"""
PLAIN = ENOUGH.replace("from fleetrec import FleetUpdate\n\n\n", "").replace("(FleetUpdate)", "")
KEYS = {"every": "40min", "upload": "10min", "learning_rate": 0.01}


def named(folder: Path, source: str, **keys: object) -> sections.Scenario:
    return with_update({"kind": f"{own_file(folder, source)}:Mine", **KEYS, **keys})


def with_update(update: dict[str, object]) -> sections.Scenario:
    return scenario_of(policy={"slate": "srm", "update": update})


def releases(scenario: sections.Scenario, store: ArtifactStore) -> pd.DataFrame:
    result = simulate_prepared(scenario, prepare_tiny(scenario, store), None, "cpu", NullProgress())
    updates: pd.DataFrame = result.tables["updates"]
    return updates[updates["event"] == "released"]


@pytest.mark.parametrize("source", [ENOUGH, PLAIN], ids=["subclass", "plain"])
def test_an_own_schedule_trains_when_the_built_in_one_of_its_rule_does(
    source: str, tmp_path: Path, store: ArtifactStore
) -> None:
    own = releases(named(tmp_path, source, least=400), store)
    built_in = releases(with_update({"kind": "fleet", **KEYS, "min_new": 400}), store)
    always = releases(with_update({"kind": "fleet", **KEYS}), store)
    assert 0 < len(own) < len(always)
    pd.testing.assert_frame_equal(own, built_in)


def test_a_schedule_knows_what_was_uploaded_and_how_good_the_newest_weights_are(
    tmp_path: Path, store: ArtifactStore
) -> None:
    source = """\
class Mine:
    def should_train(self, cloud):
        assert 0 <= cloud.since_check <= cloud.new <= cloud.known
        assert cloud.now_s % self.every == 0
        assert cloud.ndcg == cloud.ndcg
        assert (cloud.trainings == 0) == (cloud.last_trained_s < 0)
        assert cloud.last_trained_s < cloud.now_s
        return cloud.trainings < 2 and cloud.since_check > 0
"""
    assert len(releases(named(tmp_path, source), store)) == 2


WRONG = {
    "no answer": ("pass", r"mine\.py:1: Mine\.should_train returned None; return True or False"),
    "raises": ("return cloud.mood", r"mine\.py:3: AttributeError: .*'mood'"),
    "sets what it sees": ("cloud.new = 3", r"mine\.py:3: AttributeError: 'new' of what it is handed can only be read"),
    "prints": ("print(cloud.new)\n        return True", r"mine\.py:3: prints, and standard output is for results"),
    "random": ("import random\n        return random.random() < 2", r"Mine\.should_train: changes the global random"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_schedule_that_does_what_it_may_not_ends_the_run_with_one_line(
    mistake: str, tmp_path: Path, store: ArtifactStore
) -> None:
    body, expected = WRONG[mistake]
    scenario = named(tmp_path, f"class Mine:\n    def should_train(self, cloud):\n        {body}\n")
    with pytest.raises(InputError, match=expected) as told:
        releases(scenario, store)
    assert "\n" not in str(told.value)


def test_a_schedule_without_the_keys_of_retraining_is_refused(tmp_path: Path) -> None:
    source = ENOUGH.replace("FleetUpdate", "UpdateSchedule").replace(
        "from fleetrec import", "from fleetrec.simulator.scenario.sections import"
    )
    with pytest.raises(InputError, match=r"mine\.py:4: Mine is no FleetUpdate; extend that"):
        named(tmp_path, source)


# ------------------------------------------------------------------------------------------ when a device adapts

AS_BUILT_IN = {
    "every": ("return device.new >= self.n", {"n": 4}),
    "rank_drop": (
        """window, ranks = self.window, device.ranks
        if device.new < window or len(ranks) < 2 * window:
            return False
        return sum(ranks[-window:]) < 0.9 * sum(ranks[-2 * window : -window])""",
        {"window": 2, "drop": 0.1},
    ),
}
ADAPTS = """\
from fleetrec import AdaptWhen


class Mine(AdaptWhen):
    watches = WATCHES
    n: int = 3
    window: int = 2
    drop: float = 0.2

    def adapts(self, device):
        BODY
"""


def adapted(when: dict[str, object] | str, store: ArtifactStore) -> pd.DataFrame:
    scenario = with_update({"kind": "on_device", "when": when})
    result = simulate_prepared(scenario, prepare_tiny(scenario, store), None, "cpu", NullProgress())
    return result.tables["updates"]


@pytest.mark.parametrize("kind", AS_BUILT_IN)
def test_a_device_adapts_by_an_own_condition_when_it_does_by_the_built_in_one(
    kind: str, tmp_path: Path, store: ArtifactStore
) -> None:
    body, keys = AS_BUILT_IN[kind]
    source = ADAPTS.replace("BODY", body).replace("WATCHES", str(kind == "rank_drop"))
    own = adapted({"kind": f"{own_file(tmp_path, source)}:Mine", **keys}, store)
    built_in = adapted({"kind": kind, **keys}, store)
    assert len(built_in) > 10
    pd.testing.assert_frame_equal(own, built_in)


def test_a_condition_that_answers_neither_true_nor_false_ends_the_run_with_one_line(
    tmp_path: Path, store: ArtifactStore
) -> None:
    path = own_file(tmp_path, ADAPTS.replace("BODY", "return device.new").replace("WATCHES", "False"))
    with pytest.raises(InputError, match=r"mine\.py:4: Mine\.adapts returned \d+; return True or False"):
        adapted(f"{path}:Mine", store)
