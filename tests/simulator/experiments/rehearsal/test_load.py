"""What is sent: the busiest stretch, at its own pace, with the prompts that the export writes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec import Scenario
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.rehearsal.load import Load, load_of
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.prompt_export import export_prompts
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.simulation import simulate_prepared
from tests.small import SMALL

HOUR_S = 3600.0


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, Prepared]:
    path = tmp_path_factory.mktemp("load") / "small.yaml"
    path.write_text(SMALL)
    scenario = Scenario.load(path)
    prepared = prepare(scenario, "cpu", NullProgress())
    return simulate_prepared(scenario, prepared, None, "cpu", NullProgress()), prepared


def load(ready: tuple[RunResult, Prepared], **changed: object) -> Load:
    asked = {"sequences": 20, "seconds": 60.0, "speed": 60.0, "most": 10_000, "begin_s": None, "limit": None} | changed
    return load_of(*ready, **asked)  # type: ignore[arg-type]


def test_it_is_the_busiest_stretch_in_order_and_so_many_times_as_fast(ready: tuple[RunResult, Prepared]) -> None:
    found = load(ready)
    arrived = np.sort(ready[0].requests["t_arrived_s"].dropna().to_numpy())
    most = max(np.searchsorted(arrived, at_s + HOUR_S) - i for i, at_s in enumerate(arrived))
    assert len(found) == most > 10
    due_s = np.array([one.due_s for one in found.due])
    assert due_s[0] == 0
    assert np.diff(found.arrives_s) / 60 == pytest.approx(np.diff(due_s))
    assert due_s[-1] < 60


def test_prompts_are_those_of_the_export(ready: tuple[RunResult, Prepared], tmp_path: Path) -> None:
    found, (_, prepared) = load(ready), ready
    export_prompts(prepared.inputs, tmp_path / "prompts.parquet")
    table = pd.read_parquet(tmp_path / "prompts.parquet").set_index(["user_id", "as_of"])["prompt"]
    labels = prepared.trained.split.log.user_ids[found.user]
    for label, as_of, one in zip(labels, found.as_of, found.due, strict=True):
        assert table[str(label), as_of] == one.prompt


def test_an_answer_may_have_as_many_tokens_as_one_sequence_of_the_simulated(ready: tuple[RunResult, Prepared]) -> None:
    tokens = ready[0].requests["output_tokens"].max() // 20
    assert {one.limit for one in load(ready).due} == {tokens}
    assert {one.limit for one in load(ready, limit=7).due} == {7}


def test_the_first_so_many_and_from_a_moment_on(ready: tuple[RunResult, Prepared]) -> None:
    assert len(load(ready, most=3)) == 3
    begin_s = float(load(ready).arrives_s[0]) + 60.0
    assert load(ready, begin_s=begin_s).arrives_s[0] >= begin_s
    with pytest.raises(InputError, match="--from 300d: no request comes to the cloud in the 1h after it"):
        load(ready, begin_s=300 * 86400.0)
