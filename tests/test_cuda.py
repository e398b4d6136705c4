"""What a GPU computes against what a CPU does, and against itself. Skipped where PyTorch finds no CUDA."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fleetrec import Scenario, simulate
from fleetrec.models.candidates import CandidateSource
from fleetrec.models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
from fleetrec.models.llm.p5 import P5Candidates, train_or_load_p5
from fleetrec.models.llm.ranking import best_items
from fleetrec.models.prefixes import pair_logits, prefix_states, rounded
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.sequences import TrainingSet, windows_at
from fleetrec.models.srm.trained import TrainedSrm, train_or_load_srm
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.candidates.p5 import P5
from fleetrec.simulator.ranking.srm_logits import StateScores
from fleetrec.simulator.scenario.sections import Srm, Training
from tests.models.srm_cases import KINDS, changed, cycle_log
from tests.small import SMALL

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA")

USERS, N_ITEMS, LENGTH = 300, 40, 30
BCE = changed(KINDS[0], loss="bce")


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return cycle_log(USERS, N_ITEMS, LENGTH)


def train_srm(config: Srm, data: TrainingSet, folder: Path, device: str = "cuda") -> TrainedSrm:
    return train_or_load_srm(changed(config, epochs=8), data, ArtifactStore(folder), 2, device)


@pytest.mark.parametrize("config", [*KINDS, BCE], ids=lambda config: f"{config.kind} {config.loss}")
def test_a_gpu_learns_what_a_cpu_learns_and_twice_the_same(config: Srm, data: TrainingSet, tmp_path: Path) -> None:
    first, second = (train_srm(config, data, tmp_path / name) for name in ("first", "second"))
    assert first.content_hash == second.content_hash
    on_cpu = train_srm(config, data, tmp_path / "cpu", "cpu")
    assert on_cpu.content_hash != first.content_hash
    assert abs(first.validation["ndcg@10"] - on_cpu.validation["ndcg@10"]) < 0.15
    assert first.validation["ndcg@10"] > 0.5  # at random: 0.11


@pytest.mark.parametrize("config", KINDS[:2], ids=lambda config: config.kind)
def test_states_on_a_gpu_are_those_of_a_cpu_to_float32_and_do_not_depend_on_company(
    config: Srm, data: TrainingSet, tmp_path: Path
) -> None:
    model = train_srm(config, data, tmp_path, "cpu").model
    first = np.zeros(USERS, dtype=np.int64)
    want = prefix_states(model, data.offsets, data.items, first)[0]
    model.to("cuda")
    got, rows = prefix_states(model, data.offsets, data.items, first)
    some, some_rows = prefix_states(model, data.offsets, data.items, first, np.array([7, 250]))
    assert got.is_cuda
    assert (got.cpu() - want).abs().max() < 2e-4
    assert torch.equal(some[: some_rows[8]], got[rows[7] : rows[8]])


def test_scores_of_the_same_states_are_the_same_bits_on_both() -> None:
    generator = torch.Generator().manual_seed(1)
    states = rounded(torch.randn(50, 64, generator=generator), "a state")
    vectors = rounded(torch.randn(200, 64, generator=generator), "an item vector")
    rows, first = np.arange(6) * 10, np.zeros(5, dtype=np.int64)
    known = np.arange(200) % 7 > 0
    here = StateScores(states, rows, first, vectors, known)
    there = StateScores(states.cuda(), rows, first, vectors.cuda(), known)
    users, steps = np.repeat(np.arange(5), 10), np.tile(np.arange(10), 5)
    weights = np.zeros(50, dtype=np.int64)
    items = np.random.default_rng(2).integers(0, 200, (50, 30))
    for left, right in (
        (here.of_catalogue(users, steps, weights), there.of_catalogue(users, steps, weights)),
        (
            here.of_lists(users, steps[:, None], items, weights),
            there.of_lists(users, steps[:, None], items, weights),
        ),
    ):
        assert np.array_equal(left, right)


def test_lists_from_the_same_states_are_the_same_on_both_ties_and_exclusions_included() -> None:
    rng = np.random.default_rng(3)
    vectors = torch.from_numpy(rng.integers(-3, 4, (500, 8)) * 2.0**-16)
    states = torch.from_numpy(rng.integers(-3, 4, (400, 8)) * 2.0**-16).float()
    removed = torch.from_numpy(rng.random((400, 500)) < 0.3)
    there = removed.cuda()
    for length in (1, 20, 400, 500, 510):
        left = best_items(states, vectors, length, lambda rows: removed[rows].nonzero(as_tuple=True))
        right = best_items(states.cuda(), vectors.cuda(), length, lambda rows: there[rows].nonzero(as_tuple=True))
        assert np.array_equal(left, right)


def test_din_scores_on_a_gpu_are_those_of_a_cpu(data: TrainingSet, tmp_path: Path) -> None:
    model = train_srm(KINDS[2], data, tmp_path, "cpu").model
    users, positions = np.arange(USERS), np.full(USERS, LENGTH - 1)
    windows = windows_at(data.offsets, data.items, users, positions, 8)
    candidates = np.broadcast_to(np.arange(N_ITEMS), (USERS, N_ITEMS))
    here = pair_logits(model, windows, candidates, users)
    assert np.array_equal(here, pair_logits(model.to("cuda"), windows, candidates, users))


def item_lm(data: TrainingSet, folder: Path) -> CandidateSource:
    training = Training(batch_size=16, learning_rate=0.01, dropout=0.1)
    config = ItemLm(dim=32, layers=1, heads=2, max_length=16, epochs=8, training=training)
    trained = train_or_load_item_lm(config, data, ArtifactStore(folder), 2, "cuda")
    return ItemLmCandidates(trained, data.offsets, data.items, np.zeros(USERS, dtype=np.int64), 10, False)


def p5(data: TrainingSet, folder: Path) -> CandidateSource:
    training = Training(batch_size=64, learning_rate=0.01, dropout=0.1)
    config = P5(dim=32, layers=1, heads=2, max_length=8, epochs=8, training=training)
    trained = train_or_load_p5(config, data, ArtifactStore(folder), 2, "cuda")
    return P5Candidates(trained, data.offsets, data.items, 10, 20, False)


@pytest.mark.parametrize("make", [item_lm, p5])
def test_an_llm_trained_on_a_gpu_knows_what_comes_next_and_answers_the_same_in_any_company(
    make: Callable[[TrainingSet, Path], CandidateSource], data: TrainingSet, tmp_path: Path
) -> None:
    source = make(data, tmp_path / "first")
    users, as_of = np.repeat(np.arange(USERS), LENGTH - 1), np.tile(np.arange(LENGTH - 1), USERS)
    lists = source.lists(users, as_of).items
    assert (lists[:, 0] == data.items[data.offsets[users] + as_of + 1]).mean() > 0.9
    some = np.array([5, 1000, 77])
    assert np.array_equal(source.lists(users[some], as_of[some]).items, lists[some])
    again = make(data, tmp_path / "second")
    assert again.content_hash == source.content_hash


RUNS = {
    "as it is": [],
    "GRU4Rec, lists joined": ["srm.kind=gru4rec", "policy.slate=both"],
    "DIN": ["srm={kind: din, loss: bce, dim: 8, max_length: 10, epochs: 1}"],
    "cooperative": ["srm.training={kind: cooperative, list_epochs: 1}"],
    "learned": ["policy.request={kind: learned, ratio: 0.3}"],
    "fleet and devices learn": ["policy.update={kind: both, fleet: {every: 2h, weights: delta}}"],
    "adapters inside": ["policy.update={kind: on_device, adapter: {kind: module, name: norm_out}}", "fleet.devices=10"],
}


@pytest.mark.parametrize("what", RUNS)
def test_a_run_on_a_gpu_is_the_same_twice_and_as_accurate_as_on_a_cpu(what: str, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    scenario = Scenario.load(tmp_path / "small.yaml", ["srm.kind=sasrec", *RUNS[what]])
    first, second, on_cpu = (
        simulate(scenario, device=device, store=ArtifactStore(tmp_path / name))
        for name, device in (("first", "cuda"), ("second", "cuda"), ("cpu", "cpu"))
    )
    assert first.summary == second.summary
    for name, table in first.tables.items():
        pd.testing.assert_frame_equal(table, second.tables[name])
    assert first.summary["interactions"] == on_cpu.summary["interactions"] > 200
    got, want = (run.interactions["rank"].between(0, 9).mean() for run in (first, on_cpu))
    assert abs(got - want) < 0.05
