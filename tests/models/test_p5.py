"""The P5 recommender against a world whose answer is known, and against Hugging Face's own T5 on every item."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

from fleetrec.models.llm import p5
from fleetrec.models.llm.p5 import P5Candidates, TrainedP5, train_or_load_p5
from fleetrec.models.llm.p5_search import BeamSearch
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet, training_set
from fleetrec.simulator.preparation.candidates.p5 import P5
from fleetrec.simulator.scenario.sections import Training

N_ITEMS = 12
USERS, LENGTH = 30, 15


def config(**changes: object) -> P5:
    training = Training(batch_size=16, learning_rate=0.01, dropout=0.0)
    base = {"dim": 16, "layers": 1, "heads": 2, "max_length": 6, "epochs": 6, "training": training}
    return P5.model_validate(base | changes)


def successors() -> TrainingSet:
    """Every user walks the circle of items from a start of its own: after item i comes i + 1."""
    items = [(user + step) % N_ITEMS for user in range(USERS) for step in range(LENGTH)]
    ends = np.full(USERS, LENGTH)
    return training_set(np.arange(USERS + 1) * LENGTH, items, N_ITEMS, ends - 1, ends)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def trained(store: ArtifactStore) -> TrainedP5:
    return train_or_load_p5(config(), successors(), store, threads=1)


def candidates(trained: TrainedP5, length: int = 5, exclude_seen: bool = False) -> P5Candidates:
    data = successors()
    return P5Candidates(trained, data.offsets, data.items, length, 12, exclude_seen)


def every_query() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.repeat(np.arange(USERS), LENGTH), np.tile(np.arange(LENGTH), USERS)


def folder_of(store: ArtifactStore) -> Path:
    (folder,) = (store.root / "p5").iterdir()
    return folder


def test_in_a_world_where_each_item_has_one_successor_the_list_begins_with_it(trained: TrainedP5) -> None:
    users, as_of = every_query()
    long = as_of >= 5  # it stops as soon as validation, on users' last items, is perfect
    lists = candidates(trained).lists(users[long], as_of[long])
    assert (lists.items[:, 0] == (users + as_of + 1)[long] % N_ITEMS).mean() > 0.95
    assert trained.validation["ndcg@10"] > 0.9


def test_the_search_finds_the_order_in_which_plain_t5_ranks_every_single_item(
    trained: TrainedP5, store: ArtifactStore
) -> None:
    t5 = T5ForConditionalGeneration.from_pretrained(folder_of(store)).eval()
    ids = load_file(folder_of(store) / "item_ids.safetensors")
    width, offset = int(ids["width"][0]), int(ids["offset"][0])
    token = ids["codes"] + np.arange(2) * width + offset
    data = successors()
    for user, position in [(0, 0), (3, 4), (17, 14)]:
        history = data.items[user * LENGTH : user * LENGTH + position + 1][-6:]
        prompt = torch.tensor([[*token[history].ravel().tolist(), 1]])
        score = np.zeros(N_ITEMS)
        for item in range(N_ITEMS):
            with torch.no_grad():
                logits = t5(input_ids=prompt, decoder_input_ids=torch.tensor([[0, int(token[item, 0])]])).logits[0]
            for place in range(2):
                allowed = logits[place, offset + place * width : offset + (place + 1) * width]
                score[item] += torch.log_softmax(allowed, 0)[int(ids["codes"][item, place])].item()
        ranked = candidates(trained, N_ITEMS).lists(np.array([user]), np.array([position])).items[0]
        assert sorted(ranked.tolist()) == list(range(N_ITEMS))
        assert (np.diff(score[ranked]) < 1e-3).all()


def test_a_list_does_not_depend_on_what_else_is_asked(trained: TrainedP5) -> None:
    users, as_of = every_query()
    at_once = candidates(trained).lists(users, as_of).items
    shuffled = np.random.default_rng(0).permutation(len(users))
    source = candidates(trained)
    np.testing.assert_array_equal(source.lists(users[shuffled], as_of[shuffled]).items, at_once[shuffled])
    for query in shuffled[:10]:
        one = slice(query, query + 1)
        np.testing.assert_array_equal(source.lists(users[one], as_of[one]).items, at_once[one])


def test_seen_items_leave_the_list_and_no_item_comes_twice(trained: TrainedP5) -> None:
    users, as_of = every_query()
    lists = candidates(trained, 5, exclude_seen=True).lists(users, as_of).items
    for user, position, items in zip(users, as_of, lists, strict=True):
        seen = {(user + step) % N_ITEMS for step in range(position + 1)}
        shown = [item for item in items.tolist() if item >= 0]
        assert not seen & set(shown)
        assert len(shown) == len(set(shown)) == min(5, N_ITEMS - len(seen))


def test_few_beams_still_give_items_of_the_catalogue_only(trained: TrainedP5) -> None:
    data = successors()
    search = BeamSearch(trained.network, trained.ids, data.offsets, data.items, 6, 10, 1, False)
    items = search.lists(np.arange(USERS), np.full(USERS, 5))
    counts = (items >= 0).sum(axis=1)
    assert ((counts >= 1) & (counts <= trained.ids.width)).all()  # one beam: the items that share its first token
    assert items.max() < N_ITEMS


def test_before_the_first_interaction_there_is_no_list(trained: TrainedP5) -> None:
    lists = candidates(trained).lists(np.array([0, 1]), np.array([-1, 0]))
    assert lists.found.tolist() == [False, True]
    assert (lists.items[0] == -1).all()


def test_training_twice_gives_the_same_model_and_a_second_call_trains_nothing(
    trained: TrainedP5, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = config(epochs=1)
    one = train_or_load_p5(short, successors(), ArtifactStore(tmp_path / "a"), threads=1)
    two = train_or_load_p5(short, successors(), ArtifactStore(tmp_path / "b"), threads=1)
    assert one.content_hash == two.content_hash

    def no_training(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(p5, "train_p5", no_training)
    assert train_or_load_p5(config(), successors(), store, threads=1).content_hash == trained.content_hash


def test_what_was_trained_serves_as_a_checkpoint_with_its_own_ids(trained: TrainedP5, store: ArtifactStore) -> None:
    again = train_or_load_p5(config(checkpoint=str(folder_of(store)), epochs=0), successors(), store, 1)
    users, as_of = np.arange(USERS), np.full(USERS, 9)
    np.testing.assert_array_equal(
        candidates(again).lists(users, as_of).items, candidates(trained).lists(users, as_of).items
    )


def foreign_t5(folder: Path) -> Path:
    torch.manual_seed(1)
    tiny = T5Config(vocab_size=40, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(tiny).save_pretrained(folder)
    return folder


def test_any_t5_can_be_the_start_and_learns_the_ids_as_new_tokens(tmp_path: Path) -> None:
    source = config(checkpoint=str(foreign_t5(tmp_path / "t5")), epochs=1)
    started = train_or_load_p5(source, successors(), ArtifactStore(tmp_path / "s"), threads=1)
    assert started.architecture["vocab"] == 40 + started.ids.n_tokens
    assert started.network.offset == 40


def test_a_checkpoint_that_cannot_serve_is_refused_in_one_line(trained: TrainedP5, store: ArtifactStore) -> None:
    root = store.root / "bad"
    copy = {file.name: file.read_bytes() for file in folder_of(store).iterdir()}

    def checkpoint(name: str, **changes: bytes | None) -> str:
        (root / name).mkdir(parents=True)
        for file, content in (copy | {key.replace("__", "."): value for key, value in changes.items()}).items():
            if content is not None:
                (root / name / file).write_bytes(content)
        return str(root / name)

    llama = root / "llama"
    LlamaForCausalLM(
        LlamaConfig(vocab_size=20, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    ).save_pretrained(llama)
    few_ids = load_file(folder_of(store) / "item_ids.safetensors") | {"offset": np.array([30])}
    save_file(few_ids, root / "ids")
    deeper = json.dumps(json.loads(copy["config.json"]) | {"num_layers": 2}).encode()
    foreign = str(foreign_t5(root / "t5"))
    cases = [
        (str(llama), N_ITEMS, "is a llama, and kind p5 needs a T5"),
        (checkpoint("other_log"), 50, "ids of 12 items, the log has 50"),
        (checkpoint("vocabulary", item_ids__safetensors=(root / "ids").read_bytes()), N_ITEMS, "its ids need 38"),
        (checkpoint("deeper", config__json=deeper), N_ITEMS, "lacks the weights"),
        (checkpoint("cut", model__safetensors=copy["model.safetensors"][:500]), N_ITEMS, "cannot be loaded"),
        (checkpoint("nothing", config__json=None), N_ITEMS, "no config.json"),
        (foreign, N_ITEMS, "knows no item ids"),
        (str(root / "absent" / "folder"), N_ITEMS, "neither a folder here nor an OWNER/MODEL"),
    ]
    for name, n_items, message in cases:
        data = training_set([0, 2], [0, 1], n_items, [2], [2])
        with pytest.raises(InputError, match=message) as error:
            train_or_load_p5(config(checkpoint=name, epochs=0), data, store, 1)
        assert "\n" not in str(error.value)


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training set is empty"):
        train_or_load_p5(config(), training_set([0, 1], [0], 3, [1], [1]), ArtifactStore(tmp_path), 1)


def test_out_of_memory_says_what_to_lower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(p5, "train_p5", no_memory)
    with pytest.raises(InputError, match="out of memory; lower llm"):
        train_or_load_p5(config(), successors(), ArtifactStore(tmp_path), 1)


def test_without_the_tree_lists_are_the_most_likely_codes_and_codes_of_no_item_are_invalid(trained: TrainedP5) -> None:
    """Twelve items have ids of two codes of four kinds; of the sixteen pairs, four spell no item."""
    data = successors()
    free = P5Candidates(trained, data.offsets, data.items, 16, 16, False, constrained=False)
    users, as_of = np.arange(5), np.array([1, 3, 5, 8, 13])
    assert (trained.ids.width, trained.ids.depth) == (4, 2)
    spelt = {tuple(code): item for item, code in enumerate(trained.ids.codes.tolist())}
    network = trained.network
    for user, newest, found in zip(users, as_of, free.lists(users, as_of).items, strict=True):
        history = data.items[data.offsets[user] :][max(0, newest - 5) : newest + 1].astype(np.int64) + 1
        encoded, counts = network.encode(network.prompts(torch.from_numpy(history)[None]))
        pairs = [(a, b) for a in range(4) for b in range(4)]
        codes = torch.tensor([[pair[:1] for pair in pairs]])
        with torch.no_grad():
            likely = network.log_probabilities(encoded, counts, codes)[0].double()
        score = [float(likely[n, 0, a] + likely[n, 1, b]) for n, (a, b) in enumerate(pairs)]
        by_score = [spelt.get(pairs[n], -1) for n in np.argsort([-value for value in score], kind="stable")]
        assert found.tolist() == by_score
        assert (found < 0).sum() == 4
    few = P5Candidates(trained, data.offsets, data.items, 16, 3, False, constrained=False).lists(users, as_of).items
    assert (few[:, 3:] == -1).all()
    full = candidates(trained, 12).lists(users, as_of).items
    for found, sure in zip(free.lists(users, as_of).items, full, strict=True):
        assert found[found >= 0].tolist() == sure.tolist()
