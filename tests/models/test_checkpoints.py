"""Checkpoint folders: models of items go with the ids of their items, and what is no whole model says the way out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from fleetrec.models.llm.checkpoints import ITEMS, checkpoint_source, require_checkpoint
from fleetrec.models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
from fleetrec.models.llm.p5 import P5Candidates, train_or_load_p5
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet, training_set
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.candidates.p5 import P5
from fleetrec.simulator.scenario.sections import Training

N_ITEMS, USERS = 12, 40
WALK = {"p5": 13, "item_lm": 21}
BATCH = {"p5": 16, "item_lm": 8}
"""a T5 learns each next item by itself, so shorter walks and larger batches are enough for it"""
SIZES: dict[str, Any] = {"dim": 16, "layers": 1, "heads": 2, "max_length": 8, "epochs": 16}
IDS: NDArray[Any] = np.array([f"m{item:02d}" for item in range(N_ITEMS)], dtype=object)
# A log that lost an item and whose ids sort the other way round: no code means what it meant.
OTHERS = IDS[:0:-1]


def circle(ids: NDArray[Any], kind: str) -> TrainingSet:
    """Users who walk the circle of items m00, m01, ... as far as the log has them; codes are places in `ids`."""
    code = {label: place for place, label in enumerate(ids.tolist())}
    walks = [[IDS[(user + step) % N_ITEMS] for step in range(WALK[kind])] for user in range(USERS)]
    known = [[code[label] for label in walk if label in code] for walk in walks]
    ends = np.array([len(walk) for walk in known])
    offsets = np.concatenate([[0], np.cumsum(ends)])
    return training_set(offsets, np.concatenate(known), len(ids), ends - (np.arange(USERS) < 10), ends)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def sizes(kind: str, **changes: Any) -> dict[str, Any]:
    """Of a model of that kind."""
    return SIZES | {"training": Training(batch_size=BATCH[kind], learning_rate=0.01, dropout=0.0)} | changes


def made(kind: str, store: ArtifactStore, ids: NDArray[Any], **changes: Any) -> tuple[Any, Path]:
    """The model of a log of those ids, and the folder of what was trained."""
    if kind == "p5":
        p5 = train_or_load_p5(P5.model_validate(sizes(kind, **changes)), circle(ids, kind), store, 1, item_ids=ids)
        return p5, next((store.root / "p5").iterdir())
    lm = train_or_load_item_lm(ItemLm.model_validate(sizes(kind, **changes)), circle(ids, kind), store, 1, item_ids=ids)
    return lm, lm.folder


def firsts(kind: str, model: Any, ids: NDArray[Any]) -> list[str]:
    """The first of each user's list after the fourth item, by its id."""
    data, users, as_of = circle(ids, kind), np.arange(USERS), np.full(USERS, 3)
    if kind == "p5":
        lists = P5Candidates(model, data.offsets, data.items, 5, 11, False).lists(users, as_of)
    else:
        zeros = np.zeros(USERS, dtype=np.int64)
        lists = ItemLmCandidates(model, data.offsets, data.items, zeros, 5, False).lists(users, as_of)
    return [str(ids[code]) for code in lists.items[:, 0]]


@pytest.mark.parametrize(("kind", "loaded"), [("item_lm", {}), ("p5", {"epochs": 0})])
def test_a_checkpoint_serves_another_log_of_its_items_by_their_ids(
    kind: str, loaded: dict[str, Any], store: ArtifactStore
) -> None:
    model, folder = made(kind, store, IDS)
    assert json.loads((folder / ITEMS).read_text()) == IDS.tolist()
    learnt = [got == IDS[(user + 4) % N_ITEMS] for user, got in enumerate(firsts(kind, model, IDS))]
    assert np.mean(learnt) > 0.9
    other, _ = made(kind, store, OTHERS, checkpoint=str(folder), **loaded)
    data = circle(OTHERS, kind)
    newest = OTHERS[data.items[data.offsets[:-1] + 3]]
    following = [IDS[(int(str(label)[1:]) + 1) % N_ITEMS] for label in newest]
    right = [got == want for got, want in zip(firsts(kind, other, OTHERS), following, strict=True) if want != "m00"]
    assert np.mean(right) > 0.9  # walks past the item that the log lacks are new to the model
    same, _ = made(kind, store, IDS, checkpoint=str(folder), **loaded)
    assert firsts(kind, same, IDS) == firsts(kind, model, IDS)


@pytest.mark.parametrize("kind", ["item_lm", "p5"])
def test_a_checkpoint_of_other_items_or_of_none_that_it_names_is_refused(
    kind: str, store: ArtifactStore, tmp_path: Path
) -> None:
    _, folder = made(kind, store, IDS)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    strangers = np.array([*IDS[1:], "zz"], dtype=object)
    cases: list[tuple[str | None, NDArray[Any], str]] = [
        (json.dumps(IDS.tolist()), strangers, r"knows 12 items, and 1 of the log's 12 are none of them, such as 'zz'"),
        (None, IDS, "does not say which items its tokens are; write their ids into items.json"),
        ("{", IDS, "items.json cannot be read"),
        (json.dumps(["m00"] * 12), IDS, "items.json is no list of ids, each once"),
        (json.dumps([*(f"n{n}" for n in range(99)), *IDS]), IDS, "too small: the log has 12 items|ids of 12 items"),
    ]
    for text, ids, said in cases:
        (copy / ITEMS).unlink(missing_ok=True)
        if text is not None:
            (copy / ITEMS).write_text(text)
        with pytest.raises(InputError, match=said) as error:
            made(kind, store, ids, checkpoint=str(copy), epochs=0)
        assert "\n" not in str(error.value)


def test_logs_that_differ_in_their_ids_alone_have_models_of_their_own(store: ArtifactStore) -> None:
    _, first = made("item_lm", store, IDS, epochs=1)
    renamed = np.array([f"x{label}" for label in IDS], dtype=object)
    config = ItemLm.model_validate(sizes("item_lm", epochs=1))
    second = train_or_load_item_lm(config, circle(IDS, "item_lm"), store, 1, item_ids=renamed)
    assert second.folder != first
    assert json.loads((second.folder / ITEMS).read_text()) == renamed.tolist()


def small_lm(folder: Path) -> Path:
    GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2)).save_pretrained(folder)
    return folder


def adapter_beside_a_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{")


def pointers(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "small.Q4_K_M.gguf")


def of_a_trainer(folder: Path) -> None:
    small_lm(folder / "checkpoint-500")
    for file in folder.iterdir():
        if file.is_file():
            file.unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (adapter_beside_a_model, r"adapter_config.json does not say which adapter .* merge it with peft"),
        (pointers, "model.safetensors is a Git LFS pointer, not the data; run `git lfs pull`"),
        (pickles, r"holds pickled weights \(.bin\), which are never loaded; write safetensors"),
        (gguf, "holds GGUF weights, which are not read"),
        (of_a_trainer, r"it has no config.json\); there is one in checkpoint-500: name that folder"),
    ],
)
def test_what_is_no_whole_model_in_safetensors_says_the_way_out(spoil: Any, said: str, tmp_path: Path) -> None:
    folder = small_lm(tmp_path / "small")
    assert require_checkpoint(folder) == folder
    spoil(folder)
    with pytest.raises(InputError, match=said) as error:
        checkpoint_source(str(folder))
    assert "\n" not in str(error.value)


def test_a_file_of_weights_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "small.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="holds GGUF weights"):
        checkpoint_source(str(tmp_path / "small.gguf"))
