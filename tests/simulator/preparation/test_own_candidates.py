"""Candidate lists of the user's own code: what they are, where they are kept, and what is said of what cannot be."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec import InputError, Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.training import train_models
from fleetrec.simulator.scenario import json_schema
from fleetrec.simulator.scenario.inputs import TrainingInputs
from fleetrec.simulator.simulation import check_repeatable
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.simulator.handed_over import Backward

NEXT = """\
import numpy as np


class Mine:
    step: int = 1

    def candidates(self, histories):
        n = histories.n_items
        return [(history[-1] + self.step * (1 + np.arange(histories.list_length))) % n for history in histories]
"""
FITTED = """\
import sys

import numpy as np


class Mine:
    def fit(self, data):
        print("fitted", file=sys.stderr)
        self.best = np.argsort(-np.bincount(data.items, minlength=data.n_items), kind="stable")
        self.data = data

    def candidates(self, histories):
        return np.tile(self.best[: histories.list_length], (len(histories), 1))
"""


pytestmark = pytest.mark.usefixtures("in_a_folder")


@pytest.fixture
def store() -> ArtifactStore:
    """The session's: what one test has trained serves all."""
    return ArtifactStore()


def load(source: str, keys: str = "", *overrides: str) -> Scenario:
    """The tiny scenario with lists from this source."""
    Path("mine.py").write_text(source, encoding="utf-8")
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    changes = [f"llm.candidates={{kind: 'mine.py:Mine', {keys}}}", "fleet.devices=10", *overrides]
    return Scenario.load("tiny.yaml", changes)


def test_lists_of_own_code_are_shown_as_those_of_a_table_that_holds_the_same(store: ArtifactStore) -> None:
    scenario = load(NEXT, "step: 3")
    own = simulate(scenario, store=store)
    log = train_models(TrainingInputs.of(scenario), store, "cpu", NullProgress()).split.log
    place = np.arange(log.n_events) - np.repeat(log.offsets[:-1], log.lengths)
    lists = (log.items[:, None] + 3 * (1 + np.arange(20))) % log.n_items
    columns = {
        "user_id": np.repeat(log.user_ids[log.user_of_event], 20),
        "as_of": np.repeat(place, 20),
        "item_id": log.item_ids[lists.ravel()],
        "rank": np.tile(np.arange(20), log.n_events),
    }
    pd.DataFrame(columns).to_parquet("answers.parquet")
    changes = ["llm.candidates={kind: table, path: answers.parquet}", "fleet.devices=10"]
    table = simulate(Scenario.load("tiny.yaml", changes), store=store)
    shown = ["device", "step", "rank", "as_of"]
    pd.testing.assert_frame_equal(own.tables["interactions"][shown], table.tables["interactions"][shown])
    assert own.summary["requests"]["answered"] == table.summary["requests"]["answered"] > 20
    assert "quality of mine.py:Mine, cost of llama-3.1-8b" in [note["text"] for note in own.summary["notes"]]


def test_lists_are_asked_for_once_and_kept_until_source_or_keys_change(
    store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(scenario: Scenario) -> bool:
        simulate(scenario, store=store)
        return "fitted" in capsys.readouterr().err

    once = f"{FITTED}# which no other test has\n"
    assert asked(load(once))
    assert not asked(load(once))
    assert asked(load(f"{once}# more\n"))
    assert asked(load(once.replace("    def fit", "    power: int = 1\n\n    def fit")))


def test_what_it_learns_from_ends_before_the_stream(store: ArtifactStore) -> None:
    scenario = load(f"SEEN = []\n{FITTED}".replace("self.data = data", "SEEN.append(data)"))
    simulate(scenario, store=store)
    trained = train_models(TrainingInputs.of(scenario), store, "cpu", NullProgress())
    (data,) = sys.modules[type(scenario.llm.candidates).__module__].SEEN
    log = trained.split.log
    before = np.arange(log.n_events) - log.offsets[log.user_of_event] < trained.split.history[log.user_of_event]
    assert 0 < len(data.items) <= before.sum()
    for user in range(data.n_users):
        own = data.items[data.users == user]
        assert (own == log.items[log.user_of_event == user][: len(own)]).all()
        assert len(own) <= trained.split.history[user]


def test_an_object_or_a_class_is_handed_over_in_python(store: ArtifactStore) -> None:
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    scenario = Scenario.load("tiny.yaml", ["fleet.devices=10"])
    for handed in (Backward, Backward()):
        run = simulate(scenario, store=store, candidates=handed)
        assert run.scenario.llm.candidates.kind == f"{Backward.__module__}:Backward"


def test_keys_are_checked_and_stand_in_the_schema() -> None:
    assert load(NEXT, "step: 2").llm.candidates.step == 2  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"unknown key 'steps' in llm\.candidates .*did you mean 'step'"):
        load(NEXT, "steps: 2")
    with pytest.raises(InputError, match=r"llm\.served_as: code of your own does not say whose speed is charged"):
        load(NEXT, "", "llm.served_as=null")
    described = json_schema({"llm.candidates": "mine.py:Mine"})["$defs"]["Mine"]["properties"]
    assert set(described) == {"kind", "step"}


def test_a_second_run_tells_lists_that_hang_on_more_than_a_history(store: ArtifactStore) -> None:
    source = FITTED.replace("import sys\n", "import sys\nimport time\n", 1).replace(
        "self.best = ", "self.best = np.random.default_rng(time.time_ns()).permutation(data.n_items); x = "
    )
    first = simulate(load(source), store=store)
    with pytest.raises(InputError, match=r"--check: a second run differs in .*; mine\.py:7: Mine hangs on more than"):
        check_repeatable(first, "cpu", NullProgress(), store)
    steady = simulate(load(FITTED), store=store)
    check_repeatable(steady, "cpu", NullProgress(), store)


WRONG: dict[str, tuple[str, str]] = {
    "raises": ("return histories[0] / (1 // 0)", r"mine\.py:3: ZeroDivisionError"),
    "nothing": ("pass", r"mine\.py:\d+: TypeError: 'NoneType' object is not iterable|Mine\.candidates: TypeError"),
    "too few lists": ("return []", r"Mine\.candidates returned 0 lists of 1 histories; return one for each"),
    "too short": (
        "return [range(5) for _ in histories]",
        r"Mine\.candidates returned a list of 5 items; return 20 \(histories\.list_length\)",
    ),
    "outside": (
        "return [range(90, 130) for _ in histories]",
        r"Mine\.candidates returned item 100; items are numbered from 0 to 99",
    ),
    "twice": (
        "return [[7] * 20 for _ in histories]",
        r"Mine\.candidates returned item 7 twice in a list; name each once",
    ),
    "no numbers": (
        "return [['a'] * 20 for _ in histories]",
        r"returned a list of <U1 \(20,\); return item numbers, best",
    ),
    "scores": (
        "return [[0.5] * 20 for _ in histories]",
        r"returned a list of float64 \(20,\); return item numbers, best",
    ),
    "company": (
        "k = len(histories); return [range(k, k + 20) for _ in histories]",
        r"Mine\.candidates gives a history another list in other company, or another time",
    ),
    "random": (
        "import random; random.random(); return [range(20) for _ in histories]",
        r"Mine\.candidates: changes the global random numbers of random",
    ),
    "prints": ("print(1); return [range(20) for _ in histories]", r"mine\.py:3: prints, and standard output is for"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_own_code_that_gives_no_lists_ends_the_run_with_one_line(mistake: str, store: ArtifactStore) -> None:
    body, expected = WRONG[mistake]
    scenario = load(f"class Mine:\n    def candidates(self, histories):\n        {body}\n")
    with pytest.raises(InputError, match=expected) as told:
        simulate(scenario, "run", store=store)
    assert "\n" not in str(told.value)
    assert not Path("run/summary.json").exists()


def test_a_class_without_its_method_is_refused() -> None:
    with pytest.raises(InputError, match=r"Mine has no method candidates\(self, histories\); give it one"):
        load("class Mine:\n    step: int = 1\n")
