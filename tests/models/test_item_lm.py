"""The item LM against worlds whose answer is known, plain Hugging Face code, and integer arithmetic."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM

from fleetrec.models.llm.item_lm import ItemLmCandidates, TrainedItemLm, train_or_load_item_lm
from fleetrec.models.llm.ranking import best_by_selection, best_items, best_places
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import Attributes, TrainingSet, training_set
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.scenario.sections import Training

N_ITEMS = 12
USERS, LENGTH = 40, 21


def config(**changes: object) -> ItemLm:
    training = Training(batch_size=8, learning_rate=0.01, dropout=0.0)
    base = {"dim": 16, "layers": 1, "heads": 2, "max_length": 8, "epochs": 12, "training": training}
    return ItemLm.model_validate(base | changes)


def successors(attributes: Attributes | None = None) -> TrainingSet:
    """Every user walks the circle of items from a start of its own: after item i comes i + 1."""
    items = [(user + step) % N_ITEMS for user in range(USERS) for step in range(LENGTH)]
    ends = np.full(USERS, LENGTH)
    return training_set(np.arange(USERS + 1) * LENGTH, items, N_ITEMS, ends - (np.arange(USERS) < 10), ends, attributes)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def trained(store: ArtifactStore) -> TrainedItemLm:
    return train_or_load_item_lm(config(), successors(), store, threads=1)


def candidates(trained: TrainedItemLm, length: int = 5, exclude_seen: bool = False) -> ItemLmCandidates:
    data = successors()
    return ItemLmCandidates(trained, data.offsets, data.items, np.zeros(USERS, dtype=np.int64), length, exclude_seen)


def every_query() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.repeat(np.arange(USERS), LENGTH), np.tile(np.arange(LENGTH), USERS)


def test_in_a_world_where_each_item_has_one_successor_the_list_begins_with_it(trained: TrainedItemLm) -> None:
    users, as_of = every_query()
    lists = candidates(trained).lists(users, as_of)
    assert lists.found.all()
    assert (lists.items[:, 0] == (users + as_of + 1) % N_ITEMS).mean() > 0.99


def test_the_artifact_is_a_plain_hugging_face_checkpoint_whose_own_head_gives_the_same_order(
    trained: TrainedItemLm,
) -> None:
    lm = LlamaForCausalLM.from_pretrained(trained.folder).eval()
    data = successors()
    users, as_of = every_query()
    lists = candidates(trained, N_ITEMS).lists(users, as_of)
    for user, position in [(0, 0), (3, 7), (3, 8), (17, 20)]:  # a window of 8 re-bases to its newest 4
        start = 0 if position < 8 else ((position - 8) // 4 + 1) * 4
        history = data.items[user * LENGTH + start : user * LENGTH + position + 1].astype(np.int64)
        with torch.no_grad():
            logits = lm(input_ids=torch.from_numpy(history + 1)[None]).logits[0, -1, 1:].numpy()
        in_list_order = logits[lists.items[user * LENGTH + position]]
        assert (np.diff(in_list_order) < 1e-3).all()


def test_training_twice_gives_the_same_model_and_a_second_call_trains_nothing(
    trained: TrainedItemLm, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = train_or_load_item_lm(config(), successors(), ArtifactStore(tmp_path), threads=1)
    assert again.content_hash == trained.content_hash

    def no_training(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("fleetrec.models.srm.training.train", no_training)
    cached = train_or_load_item_lm(config(), successors(), store, threads=1)
    assert cached.content_hash == trained.content_hash
    assert cached.validation == trained.validation


def test_a_list_does_not_depend_on_what_else_is_asked(trained: TrainedItemLm) -> None:
    users, as_of = every_query()
    at_once = candidates(trained).lists(users, as_of).items
    shuffled = np.random.default_rng(0).permutation(len(users))
    source = candidates(trained)
    np.testing.assert_array_equal(source.lists(users[shuffled], as_of[shuffled]).items, at_once[shuffled])
    alone = candidates(trained)
    for query in shuffled[:20]:
        one = slice(query, query + 1)
        np.testing.assert_array_equal(alone.lists(users[one], as_of[one]).items, at_once[one])


def test_seen_items_leave_the_list_which_stays_full_until_the_catalogue_runs_out(trained: TrainedItemLm) -> None:
    users, as_of = every_query()
    lists = candidates(trained, 5, exclude_seen=True).lists(users, as_of).items
    for user, position, items in zip(users, as_of, lists, strict=True):
        seen = {(user + step) % N_ITEMS for step in range(position + 1)}
        shown = [item for item in items if item >= 0]
        assert not seen & set(shown)
        assert len(shown) == min(5, N_ITEMS - len(seen))
        assert (items[len(shown) :] == -1).all()


def test_before_the_first_interaction_there_is_no_list(trained: TrainedItemLm) -> None:
    lists = candidates(trained).lists(np.array([0, 1]), np.array([-1, 0]))
    assert lists.found.tolist() == [False, True]
    assert (lists.items[0] == -1).all()


def test_an_item_nobody_has_had_is_ranked_by_its_attributes(tmp_path: Path) -> None:
    """Odd users have films of genre a, even ones of genre b; one film of each genre is new."""
    genre = [[0, 1, 2, 3], [5, 6, 7, 8]]
    new = (4, 9)
    rng = np.random.default_rng(1)
    items = np.concatenate([rng.choice(genre[user % 2], 10) for user in range(60)])
    ends = np.full(60, 10)
    attributes = tuple((("a",) if item < 5 else ("b",)) for item in range(10))
    data = training_set(np.arange(61) * 10, items, 10, ends, ends, attributes)
    model = train_or_load_item_lm(config(epochs=6), data, ArtifactStore(tmp_path), threads=1)
    source = ItemLmCandidates(model, data.offsets, data.items, np.zeros(60, dtype=np.int64), 10, False)
    lists = source.lists(np.arange(60), np.full(60, 9)).items
    for user, ranked in enumerate(lists.tolist()):
        assert ranked.index(new[user % 2]) < ranked.index(new[1 - user % 2])


def test_the_best_items_are_those_of_exact_integer_arithmetic_with_ties_by_item() -> None:
    rng = np.random.default_rng(2)
    vectors = rng.integers(-3, 4, (40, 4))
    vectors[20:] = vectors[:20]  # every item has a twin
    states = rng.integers(-3, 4, (30, 4))
    removed = torch.from_numpy(rng.random((30, 40)) < 0.3)
    for length in (1, 7, 40, 45):
        got = best_items(
            torch.from_numpy(states * 2.0**-16).float(),
            torch.from_numpy(vectors * 2.0**-16),
            length,
            lambda rows: removed[rows].nonzero(as_tuple=True),
        )
        for row in range(30):
            score = vectors @ states[row]
            order = [item for item in sorted(range(40), key=lambda i: (-score[i], i)) if not removed[row, item]]
            want = (order + [-1] * 45)[:length]
            assert got[row].tolist() == want


def test_a_selection_as_a_gpu_has_it_gives_the_same_places_as_sorting_ties_and_what_is_excluded_included() -> None:
    scores = torch.from_numpy(np.random.default_rng(4).integers(-2, 3, (200, 30)).astype(np.float64))
    scores[scores == -2] = -torch.inf
    for kept in (1, 7, 29, 30):
        by_sorting = scores.sort(dim=1, descending=True, stable=True)
        want = by_sorting.indices[:, :kept].masked_fill(by_sorting.values[:, :kept] == -torch.inf, -1)
        assert torch.equal(best_by_selection(scores, kept), want)
        assert torch.equal(best_places(scores, kept), want)


def test_any_causal_lm_whose_tokens_are_items_serves_as_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=N_ITEMS + 30, n_positions=8, n_embd=8, n_layer=1, n_head=2)).eval()
    gpt.config.item_offset = 20
    gpt.save_pretrained(tmp_path)
    loaded = train_or_load_item_lm(config(checkpoint=str(tmp_path)), successors(), ArtifactStore(tmp_path / "s"), 1)
    assert loaded.architecture["n_params"] == sum(p.numel() for p in gpt.parameters())
    lists = candidates(loaded, N_ITEMS).lists(np.array([2]), np.array([3])).items[0]
    with torch.no_grad():
        logits = gpt(input_ids=torch.tensor([[22, 23, 24, 25]])).logits[0, -1, 20 : 20 + N_ITEMS].numpy()
    assert (np.diff(logits[lists]) < 1e-3).all()


def spoil_nothing(folder: Path) -> None:
    """The checkpoint as it is: it has 13 tokens, the log 50 items."""


def lose_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def another_architecture(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 2}))


@pytest.mark.parametrize(
    ("spoil", "n_items", "message"),
    [
        (spoil_nothing, 50, r"13 tokens .* 50 items .* 51"),
        (lose_config, N_ITEMS, "config.json"),
        (cut_weights, N_ITEMS, "cannot be loaded"),
        (another_architecture, N_ITEMS, "lacks the weights"),
    ],
)
def test_a_checkpoint_that_cannot_serve_is_refused_in_one_line(
    trained: TrainedItemLm, tmp_path: Path, spoil: Callable[[Path], None], n_items: int, message: str
) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for file in trained.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    spoil(folder)
    data = training_set([0, 2], [0, 1], n_items, [2], [2])
    with pytest.raises(InputError, match=message) as error:
        train_or_load_item_lm(config(checkpoint=str(folder)), data, ArtifactStore(tmp_path / "s"), 1)
    assert "\n" not in str(error.value)


def test_nothing_to_learn_from_and_heads_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    empty = training_set([0, 1], [0], 3, [1], [1])
    with pytest.raises(InputError, match="training set is empty"):
        train_or_load_item_lm(config(), empty, ArtifactStore(tmp_path), 1)
    with pytest.raises(InputError, match="heads"):
        train_or_load_item_lm(config(dim=18, heads=4), successors(), ArtifactStore(tmp_path), 1)
