"""Training of small models: it learns, stops, is cached, leaves no trace, and gives the same weights again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import _multiplies_bfloat16
from fleetrec.models.sequences import training_set
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.batches import Windows, epoch_batches, training_windows
from fleetrec.models.srm.losses import full_softmax_backward, narrow_gradients
from fleetrec.models.srm.trained import TrainedSrm, train_or_load_srm
from fleetrec.models.srm.validation import catalogue_ranks, validate
from fleetrec.simulator.scenario.sections import Srm
from tests.models.srm_cases import KINDS, Config, Training, changed, cycle_log, random_log


def _train(config: Srm, tmp_path: Path, **world: int) -> TrainedSrm:
    data = cycle_log(**({"users": 120, "n_items": 30, "length": 12} | world))
    return train_or_load_srm(config, data, ArtifactStore(tmp_path), threads=1)


@pytest.mark.parametrize(
    ("kind", "loss", "needed"),
    [
        ("sasrec", "full_softmax", 0.9),
        ("gru4rec", "full_softmax", 0.9),
        ("sasrec", "bce", 0.5),
        ("gru4rec", "bce", 0.5),
    ],
)
def test_models_learn_a_walk_round_the_catalogue(kind: str, loss: str, needed: float, tmp_path: Path) -> None:
    trained = _train(Config(kind, loss=loss, epochs=15, training=Training(learning_rate=1e-2)), tmp_path)
    assert trained.validation["ndcg@10"] > needed
    assert trained.loss == loss


def test_din_learns_which_items_belong_together(tmp_path: Path) -> None:
    # Two halves of a catalogue; a user stays in one. By chance an item of the right half is in the top 15 of 30 half
    # the time.
    rng = np.random.default_rng(0)
    half = np.repeat(rng.integers(0, 2, 120), 10)
    items = half * 15 + rng.integers(0, 15, 1200)
    data = training_set(np.arange(121) * 10, items, 30, np.full(120, 8), np.full(120, 10))
    config = Config("din", loss="bce", epochs=15, training=Training(learning_rate=1e-2, patience=15))
    trained = train_or_load_srm(config, data, ArtifactStore(tmp_path), threads=1)
    users = np.arange(120)
    ranks = catalogue_ranks(trained.model, data.offsets, data.items, users, np.full(120, 9))
    assert (ranks < 15).mean() > 0.95


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_the_same_inputs_give_the_same_weights_and_another_seed_gives_others(config: Srm, tmp_path: Path) -> None:
    dropped = changed(config, training=Training(dropout=0.3))
    one = _train(dropped, tmp_path / "a")
    two = _train(dropped, tmp_path / "b")
    other = _train(changed(config, training=Training(dropout=0.3, seed=2)), tmp_path / "c")
    assert one.content_hash == two.content_hash != other.content_hash


def test_training_leaves_global_random_state_and_settings_alone(tmp_path: Path) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    _train(changed(KINDS[0], training=Training(dropout=0.3)), tmp_path)
    _train(changed(KINDS[0], training=Training(dropout=0.3)), tmp_path)  # from the cache
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_a_cached_model_is_the_trained_one_and_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = _train(KINDS[0], tmp_path)
    monkeypatch.setattr("fleetrec.models.srm.training.train", None)
    loaded = _train(KINDS[0], tmp_path)
    assert loaded.content_hash == trained.content_hash
    assert loaded.validation == trained.validation
    assert torch.equal(loaded.model.item_vectors(), trained.model.item_vectors())
    with pytest.raises(TypeError):  # anything else would have to be trained
        _train(changed(KINDS[0], epochs=2), tmp_path)
    with pytest.raises(TypeError):
        _train(KINDS[0], tmp_path, length=13)


def test_nothing_beyond_validation_is_learnt_from(tmp_path: Path) -> None:
    data = cycle_log(users=40, n_items=30, length=12)
    shorter = data.valid_end - 3
    base = training_set(data.offsets, data.items, 30, shorter - 2, shorter)
    changed = data.items.copy()
    changed[~data.events_before(shorter)] = 0
    other = training_set(data.offsets, changed, 30, shorter - 2, shorter)
    first = train_or_load_srm(KINDS[0], base, ArtifactStore(tmp_path / "a"), threads=1)
    second = train_or_load_srm(KINDS[0], other, ArtifactStore(tmp_path / "b"), threads=1)
    assert first.content_hash == second.content_hash


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    offsets, items = random_log(users=60, n_items=50, longest=15)  # nothing to learn
    lengths = np.diff(offsets)
    data = training_set(offsets, items, 50, np.maximum(lengths - 2, 0), lengths)
    store = ArtifactStore(tmp_path)
    trained = train_or_load_srm(changed(KINDS[0], epochs=40, training=Training(patience=2)), data, store, threads=1)
    folder = next((tmp_path / "srm").iterdir())
    history = store.load_json("srm", _json(folder / "key.json"), "history.json")
    assert history is not None
    since_best = len(history["epochs"]) - history["best_epoch"]
    assert 2 <= since_best <= 3 * 2  # the last of which ended it; the rate fell twice, now or before
    assert len(history["epochs"]) < 40
    assert trained.curve.converged
    best = max([epoch["ndcg@10"] for epoch in history["epochs"]])
    assert trained.validation["ndcg@10"] >= best
    assert validate(trained.model, data) == trained.validation


def test_a_training_cut_off_while_it_gets_better_says_so(tmp_path: Path) -> None:
    cut = _train(changed(KINDS[0], epochs=2, training=Training(learning_rate=1e-3)), tmp_path)
    assert cut.curve.still_rising
    assert not cut.curve.converged
    long = _train(changed(KINDS[0], epochs=200, training=Training(learning_rate=1e-2)), tmp_path)
    assert long.curve.converged
    assert not long.curve.still_rising
    assert long.curve.best_epoch == 1 + int(np.argmax(long.curve.values))
    assert long.validation["ndcg@10"] == max(long.curve.values)


def test_without_validation_events_the_last_epoch_is_kept(tmp_path: Path) -> None:
    data = cycle_log(users=20, n_items=10, length=6, held_out=0)
    assert train_or_load_srm(KINDS[0], data, ArtifactStore(tmp_path), threads=1).validation == {}


def test_no_epochs_give_an_untrained_model(tmp_path: Path) -> None:
    assert _train(changed(KINDS[0], epochs=0), tmp_path).validation["hr@10"] < 0.9


def test_full_softmax_gradients_are_those_of_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetrec.models.srm.losses._CHUNK_FLOATS", {"cpu": 3 * 20})  # several chunks
    model = KINDS[0].network(20, 2)
    assert isinstance(model, StateModel)
    inputs, filled = torch.tensor([[3, 1, 7, 20], [2, 5, 0, 0]]), torch.arange(6)
    batch = Windows(inputs, torch.tensor([[0, 6, 19, 2], [4, 4, 0, 0]]), filled, torch.tensor([0, 1]))
    loss = full_softmax_backward(model, [batch])
    found = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    real = batch.inputs > 0
    expected = F.cross_entropy(model.states(batch.inputs)[real] @ model.item_vectors().T, batch.targets[real])
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for one, parameter in zip(found, model.parameters(), strict=True):
        assert one is not None
        assert parameter.grad is not None
        assert torch.allclose(one, parameter.grad, atol=1e-6)


def test_a_softmax_with_narrow_products_has_the_gradients_of_the_exact_one_within_their_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fleetrec.models.srm.losses._NARROW_FLOATS", 64 * 50)  # 100 positions are two chunks
    torch.manual_seed(3)
    states, vectors = torch.randn(100, 16), torch.randn(50, 16)
    targets = torch.randint(50, (100,))
    found = narrow_gradients(states, vectors, targets)
    exact = [states.double().requires_grad_(), vectors.double().requires_grad_()]
    loss = F.cross_entropy(exact[0] @ exact[1].T, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert found[0] == pytest.approx(loss.item(), rel=2**-8)
    for one, other in zip(found[1:], exact, strict=True):
        assert other.grad is not None
        assert (one - other.grad).norm() < 2**-7 * other.grad.norm()  # a bfloat16 has 8 bits


def test_a_processor_without_bfloat16_learns_in_float32_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    _multiplies_bfloat16.cache_clear()
    narrow = changed(KINDS[0], training=Training(softmax_precision="bfloat16", encoder_precision="bfloat16"))
    try:
        trained = _train(narrow, tmp_path / "narrow"), _train(narrow, tmp_path / "again")
    finally:
        _multiplies_bfloat16.cache_clear()
    assert capsys.readouterr().err.count("this processor has no bfloat16 products") == 1
    assert {one.content_hash for one in trained} == {_train(KINDS[0], tmp_path / "wide").content_hash}


@pytest.mark.parametrize(
    ("schedule", "patience", "rates"),
    [
        ("linear", 4, [0.75, 0.5, 0.25, 0.0]),
        ("linear", 3, [0.75, 0.5, 0.25]),
        ("plateau", 1, [1.0, 0.25, 0.0625]),
    ],
)
def test_the_learning_rate_goes_as_its_schedule_says(
    schedule: str, patience: int, rates: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def nothing_learnt(*given: Any) -> float:
        *_, epoch, rate = given
        found.append(rate(epoch))  # as the epoch ends
        return 1.0

    monkeypatch.setattr("fleetrec.models.srm.training._epoch", nothing_learnt)
    _train(changed(KINDS[0], epochs=4, training=Training(schedule=schedule, patience=patience)), tmp_path)
    assert found == rates


def test_every_transition_of_the_learning_part_is_learnt_once_an_epoch() -> None:
    offsets, items = random_log(users=30, n_items=1000, longest=40)
    lengths = np.diff(offsets)
    data = training_set(offsets, items, 1000, np.maximum(lengths - 3, 0), lengths)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        seen: list[tuple[int, int]] = []
        for batch in epoch_batches(data, 8, 4, generator):
            for windows in batch:
                real = windows.inputs > 0
                seen += zip((windows.inputs[real] - 1).tolist(), windows.targets[real].tolist(), strict=True)
        due = [
            (int(items[at]), int(items[at + 1]))
            for user in range(30)
            for at in range(offsets[user], offsets[user] + data.fit_end[user] - 1)
        ]
        assert sorted(seen) == sorted(due)


def test_windows_of_long_users_begin_elsewhere_in_every_epoch() -> None:
    data = cycle_log(users=5, n_items=30, length=40)
    generator = torch.Generator().manual_seed(0)
    first, second = (training_windows(data, 8, generator)[0].tolist() for _ in range(2))
    assert first != second


def test_ranks_against_a_plain_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetrec.models.srm.validation._CHUNK_FLOATS", {"cpu": 5 * 30})  # several chunks
    data = cycle_log(users=15, n_items=30, length=12)
    model = KINDS[1].network(30, 2).eval()
    assert isinstance(model, StateModel)
    users, positions = np.arange(15), np.full(15, 5)
    rank = catalogue_ranks(model, data.offsets, data.items, users, positions)
    without_seen = catalogue_ranks(model, data.offsets, data.items, users, positions, exclude_seen=True)
    for user in users:
        own = data.items[data.offsets[user] : data.offsets[user] + 6].astype(np.int64)
        with torch.no_grad():
            scores = (model.states(torch.from_numpy(own[None, :5] + 1))[0, -1] @ model.item_vectors().T).numpy()
        order = np.argsort(-scores, kind="stable")
        assert rank[user] == np.flatnonzero(order == own[5])[0]
        unseen = order[~np.isin(order, own[:5])]
        assert without_seen[user] == np.flatnonzero(unseen == own[5])[0]


def test_a_model_without_user_states_is_not_trained_on_the_whole_catalogue(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"srm\.loss: din scores single pairs"):
        _train(Config("din"), tmp_path)


def test_an_empty_training_set_is_refused(tmp_path: Path) -> None:
    data = training_set([0, 1, 2], [0, 1], 2, [1, 1], [1, 1])
    with pytest.raises(InputError, match="empty"):
        train_or_load_srm(KINDS[0], data, ArtifactStore(tmp_path), threads=1)


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning_rate"):
        _train(changed(KINDS[1], epochs=30, training=Training(learning_rate=1e30)), tmp_path)


def _json(path: Path) -> dict[str, object]:
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found
