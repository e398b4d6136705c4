"""What runs share changes nothing: a run on what another has prepared has the bytes of a run of its own."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.sweeps.jobs import RunJob
from fleetrec.simulator.experiments.sweeps.worker import Worker
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.preparation.training import train_models
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.inputs import PreparationInputs, TrainingInputs, hash_of
from fleetrec.simulator.simulation import simulate
from tests.simulator.experiments.sweeps.files import results_of, write_files

SHARED = [
    ["policy.request=always", "policy.mode=blocking"],
    ["policy.request={kind: inconsistency, ratio: 0.3}"],
    ["policy.request={kind: inconsistency, ratio: 0.3}", "policy.fusion=reciprocal_rank"],
    ["policy.request={kind: inconsistency, ratio: 0.3}", "policy.slate=both"],
    ["policy.request={kind: inconsistency, ratio: 0.3, terms: rank}"],
    ["policy.request={kind: learned, ratio: 0.3}", "policy.fusion=logistic"],
    ["policy.request={kind: learned, ratio: 0.3}", "policy.fusion={kind: logistic, penalty: 0.1}", "policy.slate=both"],
    ["policy.request={kind: oracle_dp, ratio: 0.3}", "policy.fusion=online"],
    ["policy.request={kind: learned, ratio: 0.3}", "policy.update={kind: fleet, every: 30min}"],
    ["policy.fusion=llm_only", "metrics.k=[3]", "tariffs.gb_up=1"],
    ["cloud.gpu=l4", "cloud.replicas=2"],
    ["cloud.gpu=l4", "cloud.replicas=3", "cloud.slo.p95_latency=20s"],
    ["llm.served_as=llama-3.2-3b", "llm.generation=beam"],
]
UNLIKE = [
    "seed=2",
    "duration=1h",
    "fleet.devices=20",
    "fleet.preloaded.lag=3",
    "workload.split.last=6",
    "workload.split.validation_users=5",
    "workload.exclude_seen=false",
    "workload.arrivals.per_day=100",
    "srm.dim=16",
    "llm.list_length=10",
    "llm.candidates.epochs=2",
    "engine.threads=1",
    "policy.slate=srm",
    "policy.slate=cloud_srm",
    "policy.update=on_device",
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_files(tmp_path).with_name("tiny.yaml")


def test_runs_on_one_preparation_have_the_bytes_of_runs_of_their_own(base: Path, tmp_path: Path) -> None:
    worker = Worker()
    scenarios = [Scenario.load(base, overrides) for overrides in SHARED]
    assert len({hash_of(PreparationInputs.of(scenario)) for scenario in scenarios}) == 1
    for number, scenario in enumerate(scenarios):
        assert worker.do(RunJob(scenario, tmp_path / "shared" / str(number))).error is None
        simulate(scenario, tmp_path / "own" / str(number))
        assert results_of(tmp_path / "shared" / str(number)) == results_of(tmp_path / "own" / str(number))


def test_scenarios_that_differ_in_what_is_prepared_share_no_preparation(base: Path) -> None:
    keys = [hash_of(PreparationInputs.of(Scenario.load(base, [override]))) for override in UNLIKE]
    assert len({*keys, hash_of(PreparationInputs.of(Scenario.load(base)))}) == len(UNLIKE) + 1


class Spy:
    """Stands for a section of a scenario and notes what is read of it."""

    def __init__(self, section: BaseModel, path: str, read: set[str]):
        self.__dict__.update(_section=section, _path=path, _read=read)

    @property
    def __class__(self) -> Any:
        return type(self._section)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        if name not in type(self._section).model_fields:
            if isinstance(value, BaseModel):
                return Spy(value, self._path, self._read)
            if isinstance(self._section, sections.Kind) and not name.startswith("_"):
                self._read.add(self._path)  # what a kind says or does hangs on all its keys
            return value
        path = f"{self._path}.{name}".removeprefix(".")
        if isinstance(value, BaseModel):
            return Spy(value, path, self._read)
        self._read.add(path)
        return value

    def __eq__(self, other: object) -> bool:
        return bool(self._section == other)

    __hash__ = None  # type: ignore[assignment]


def test_preparing_reads_nothing_that_its_key_leaves_out(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for check in ("check_inputs", "check_events", "check_asked"):  # they look, and keep nothing
        monkeypatch.setattr(f"fleetrec.simulator.preparation.prepare.{check}", lambda *values: None)
    monkeypatch.setattr(sections, "silent", lambda *own: nullcontext())
    read: set[str] = set()
    spied: sections.Scenario = Spy(Scenario.load(base, ["policy.update=on_device"]), "", read)  # type: ignore[assignment]
    prepare(spied, "cpu", NullProgress())
    known = ("seed", "duration", "workload.", "fleet.", "srm", "llm.candidates", "llm.list_length", "engine.threads")
    known += ("llm.illegal_beams", "llm.quality", "policy.slate", "policy.update.window", "regions")
    assert [path for path in sorted(read) if not path.startswith(known)] == []
    assert {"seed", "duration", "llm.list_length", "engine.threads", "policy.slate", "policy.update.window"} <= read


def test_learning_reads_nothing_that_its_key_leaves_out(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "silent", lambda *own: nullcontext())
    read: set[str] = set()
    spied: sections.Scenario = Spy(Scenario.load(base), "", read)  # type: ignore[assignment]
    train_models(TrainingInputs.of(spied), ArtifactStore(), "cpu", NullProgress())
    known = ("workload.interactions", "workload.synthetic", "workload.split", "srm", "engine.threads")
    assert [path for path in sorted(read) if not path.startswith(known)] == []


def test_models_of_all_training_seeds_learn_from_the_same_events(base: Path) -> None:
    seeds = [Scenario.load(base, [f"srm.training.seed={seed}"]) for seed in (1, 2)]
    one, two = (train_models(TrainingInputs.of(scenario), ArtifactStore(), "cpu", NullProgress()) for scenario in seeds)
    assert one.training.content_hash == two.training.content_hash
    assert one.srm.content_hash != two.srm.content_hash


def test_a_scenario_says_how_many_users_lend_their_newest_events(base: Path) -> None:
    lend = []
    for users in (3, 512):
        scenario = Scenario.load(base, [f"workload.split.validation_users={users}", "srm.epochs=0"])
        data = train_models(TrainingInputs.of(scenario), ArtifactStore(), "cpu", NullProgress()).training
        lend.append(np.flatnonzero(data.fit_end < data.valid_end).tolist())
    assert len(lend[0]) == 3
    assert set(lend[0]) < set(lend[1])
    assert 3 < len(lend[1]) <= len(data.valid_end) // 4


def test_what_is_learnt_from_lists_is_shared_only_by_those_with_the_same_lists(base: Path) -> None:
    unlike = ["llm.candidates.epochs=2", "llm.list_length=10", "workload.exclude_seen=false", "seed=1"]
    for kind, different in (("independent", 1), ("cooperative", 4)):
        alike = [Scenario.load(base, [f"srm.training.kind={kind}", text]) for text in unlike]
        assert len({hash_of(TrainingInputs.of(scenario)) for scenario in alike}) == different


def test_what_is_learnt_is_shared_by_seeds_and_fleets(base: Path) -> None:
    alike = [Scenario.load(base, [text]) for text in ("seed=2", "fleet.devices=9", "workload.arrivals.per_day=7")]
    assert {hash_of(TrainingInputs.of(scenario)) for scenario in alike} == {
        hash_of(TrainingInputs.of(Scenario.load(base)))
    }
