"""The P5-style recommender: a T5 trained here on item-id prompts, asked by beam search over the tree of ids.

An artifact is a Hugging Face checkpoint folder with the ids as tokens (item_ids.safetensors) and as the log has them
(items.json) beside it.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve, curve_of
from fleetrec.models.llm.checkpoints import (
    TOKENIZERS,
    checkpoint_source,
    hugging_face,
    places_of_items,
    quiet,
    read_auto,
    read_checkpoint,
    with_tokenizer,
    write_items,
)
from fleetrec.models.llm.item_ids import ItemIds, item_ids
from fleetrec.models.llm.p5_network import RESERVED, P5Network, extend, new_t5
from fleetrec.models.llm.p5_search import BeamSearch
from fleetrec.models.llm.p5_training import train_p5, training_prompts
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.precision import arithmetic_of, computed_with
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.configs import NetworkConfig
from fleetrec.models.srm.training import deterministic

FORMAT = 1  # of the artifact and of the training procedure: raise it when either changes
INSTRUCTION = "Recommend the next item to a user who has had, in this order:"
_ARTIFACT = "p5"
_IDS, _HISTORY = "item_ids.safetensors", "history.json"


class P5Config(NetworkConfig, Protocol):
    """What determines a P5 recommender; the `llm.candidates` section of a scenario has these fields."""

    @property
    def item_ids(self) -> str: ...
    @property
    def prompts_per_epoch(self) -> int | None: ...
    @property
    def checkpoint(self) -> str | None: ...


@dataclass(frozen=True)
class TrainedP5:
    """A P5 recommender ready to search, and what serving it takes."""

    network: P5Network
    ids: ItemIds
    max_length: int
    architecture: dict[str, int]
    validation: dict[str, float]  # of the epoch kept; empty where nothing was held out or nothing was trained
    content_hash: str  # of the weights, the ids and the way they are used
    curve: TrainingCurve = UNTRAINED


def train_or_load_p5(
    config: P5Config,
    data: TrainingSet,
    store: ArtifactStore,
    threads: int,
    device: str = "cpu",
    progress: Progress | None = None,
    item_ids: NDArray[Any] | None = None,
) -> TrainedP5:
    """The P5 of `config`, trained on `data` from a new T5 or its checkpoint, or taken from the cache.

    `item_ids` [n_items], what the log calls its items: kept beside what is trained, and matched with a checkpoint's.

    Raises InputError for an empty training set, a training that diverges or finds no memory, or a checkpoint that
    cannot be read, is no T5, or (where it brings ids) has those of another catalogue.
    """
    start = None if config.checkpoint is None else _read(config.checkpoint, data.n_items, item_ids)
    if config.epochs and len(training_prompts(data)[0]) == 0:
        raise InputError(
            "llm.candidates: the training set is empty: no user has two interactions to learn from; "
            "use a longer log, a later workload.split.at or a smaller workload.split.last"
        )
    if config.epochs == 0 and start is not None:
        if start.ids is None:
            raise InputError(
                f"llm.candidates.checkpoint: {config.checkpoint} knows no item ids ({_IDS} is not in it), so it must "
                "be trained on them; set llm.candidates.epochs to at least 1"
            )
        return _ready(start, start.ids, config, threads, device, {})
    key = _key(config, start, data, threads, device)
    if item_ids is not None:
        key["items"] = content_hash(item_ids)
    folder = store.open(_ARTIFACT, key)
    if folder is None:
        store.check_writable()
        lower = "llm.candidates.training.batch_size, max_length, dim or layers"
        with deterministic(config.training.seed, threads, device), enough_memory("training p5", lower):
            network, ids = _untrained(config, start, data)
            history = train_p5(network.to(device), ids, config, data, progress or NullProgress())
        with store.creating(_ARTIFACT, key) as temporary:
            with quiet():
                network.t5.cpu().save_pretrained(temporary)
            _save_ids(network, ids, temporary)
            if item_ids is not None:
                write_items(temporary, item_ids)
            (temporary / _HISTORY).write_text(json.dumps(history, indent=1), encoding="utf-8")
        folder = store.folder(_ARTIFACT, key)
    trained = _read(str(folder), data.n_items, None)
    assert trained.ids is not None
    history = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))
    ready = _ready(trained, trained.ids, config, threads, device, dict(history["validation"]))
    return replace(ready, curve=curve_of(history, config.epochs))


def _untrained(config: P5Config, start: "_Start | None", data: TrainingSet) -> tuple[P5Network, ItemIds]:
    if start is not None and start.ids is not None:
        return P5Network(start.t5, start.ids, start.offset, start.instruction), start.ids
    ids = item_ids(config.item_ids, data, config.training.seed)
    if start is not None:
        return P5Network(start.t5, ids, extend(start.t5, ids), start.instruction), ids
    t5 = new_t5(ids, config.dim, config.layers, config.heads, config.training.dropout)
    return P5Network(t5, ids, RESERVED, []), ids


@dataclass(frozen=True)
class _Start:
    t5: Any
    ids: ItemIds | None  # of a checkpoint that was trained on ids before
    offset: int
    instruction: list[int]
    weights_hash: str


def _read(name: str, n_items: int, item_ids: NDArray[Any] | None) -> _Start:
    source = checkpoint_source(name)
    kind = read_auto("AutoConfig", source).model_type
    if kind != "t5":
        raise InputError(
            f"llm.candidates.checkpoint: {name} is a {kind}, and kind p5 needs a T5; name a T5, or use kind item_lm "
            "(tokens are items) or text_lm (titles)"
        )
    t5 = read_checkpoint(hugging_face().T5ForConditionalGeneration, source)
    weights = content_hash(t5.config.to_json_string(), {k: v.numpy() for k, v in t5.state_dict().items()})
    if not isinstance(source, Path) or not (source / _IDS).is_file():
        instruction = _instruction(source)
        if max(instruction, default=-1) >= t5.get_input_embeddings().weight.shape[0]:
            raise InputError(
                f"llm.candidates.checkpoint: {name} has a tokenizer with the token {max(instruction)} and a model of "
                "fewer; use a tokenizer and a model that belong together"
            )
        return _Start(t5, None, 0, instruction, weights)
    stored = load_file(source / _IDS)
    ids, offset = ItemIds(stored["codes"], int(stored["width"][0])), int(stored["offset"][0])
    vocabulary = t5.get_input_embeddings().weight.shape[0]
    if item_ids is not None:
        ids = ItemIds(ids.codes[_places(source, item_ids, ids)], ids.width)
    if ids.n_items != n_items:
        raise InputError(
            f"llm.candidates.checkpoint: {name} has ids of {ids.n_items} items, the log has {n_items}; "
            "use a checkpoint trained on this log"
        )
    if vocabulary < offset + ids.n_tokens:
        raise InputError(
            f"llm.candidates.checkpoint: {name} has a vocabulary of {vocabulary} tokens, and its ids need "
            f"{offset + ids.n_tokens}; use weights and {_IDS} of the same training"
        )
    return _Start(t5, ids, offset, stored["instruction"].tolist(), weights)


def _places(folder: Path, item_ids: NDArray[Any], ids: ItemIds) -> NDArray[np.int64]:
    places = places_of_items(folder, item_ids)
    if places.max(initial=-1) >= ids.n_items:
        raise InputError(
            f"llm.candidates.checkpoint: {folder} has ids of {ids.n_items} items and names more; use {_IDS} and the "
            "list of items of the same training"
        )
    return places


def _instruction(source: Path | str) -> list[int]:
    """The instruction in the tokens of the checkpoint's own tokenizer; none where it has no tokenizer."""
    source = with_tokenizer(source)
    if isinstance(source, Path) and not any((source / name).is_file() for name in TOKENIZERS):
        return []
    tokenizer = read_auto("AutoTokenizer", source)
    return [int(token) for token in tokenizer(INSTRUCTION, add_special_tokens=False).input_ids]


def _save_ids(network: P5Network, ids: ItemIds, folder: Path) -> None:
    numbers = {"codes": ids.codes, "width": np.array([ids.width]), "offset": np.array([network.offset])}
    save_file(numbers | {"instruction": network.instruction.cpu().numpy()}, folder / _IDS)


def _key(config: P5Config, start: _Start | None, data: TrainingSet, threads: int, device: str) -> dict[str, Any]:
    names = ("item_ids", "dim", "layers", "heads", "max_length", "epochs", "prompts_per_epoch")
    training = ("seed", "batch_size", "learning_rate", "weight_decay", "dropout", "patience")
    return {
        "format": FORMAT,
        "config": {name: getattr(config, name) for name in names},
        "start": None if start is None else start.weights_hash,
        "training": {name: getattr(config.training, name) for name in training},
        "data": data.content_hash,
        **computed_with(threads, device),
    }


def _ready(
    start: _Start, ids: ItemIds, config: P5Config, threads: int, device: str, validation: dict[str, float]
) -> TrainedP5:
    t5 = start.t5
    network = P5Network(t5, ids, start.offset, start.instruction).eval().requires_grad_(False)
    used = [start.offset, start.instruction, ids.width, config.max_length]
    machine = [threads, torch.__version__, arithmetic_of(device)]
    c = t5.config
    architecture = {
        "n_params": sum(parameter.numel() for parameter in t5.parameters()),
        "layers": int(c.num_layers + c.num_decoder_layers),
        "hidden": int(c.d_model),
        "heads": int(c.num_heads),
        "kv_heads": int(c.num_heads),
        "head_dim": int(c.d_kv),
        "vocab": int(c.vocab_size),
        "dtype_bytes": 4,  # float32, as trained and run here
    }
    return TrainedP5(
        network=network.to(device),
        ids=ids,
        max_length=config.max_length,
        architecture=architecture,
        validation=validation,
        content_hash=content_hash(used, machine, ids.codes, start.weights_hash),
    )


class P5Candidates:
    """Candidate lists of a P5 recommender for any prefix of any log of its items."""

    name = "p5"

    def __init__(
        self,
        trained: TrainedP5,
        offsets: NDArray[np.int64],
        items: NDArray[np.int32],
        list_length: int,
        beams: int | None,
        exclude_seen: bool,
        constrained: bool = True,
    ):
        """`beams`: prefixes of ids that a search keeps; None: as many as a list is long. Not `constrained`: a beam may
        spell an id that no item has, and is then an invalid candidate."""
        self.list_length, self.validation, self.curve = list_length, trained.validation, trained.curve
        width = beams or list_length
        how = (trained.max_length, list_length, width, exclude_seen, constrained)
        self._search = BeamSearch(trained.network, trained.ids, offsets, items, *how)
        self._written = (len(trained.network.instruction), trained.ids.depth, trained.max_length, width)
        used = [list_length, width, exclude_seen, self._search.tile, *([] if constrained else ["free"])]
        self.content_hash = content_hash("p5", trained.content_hash, offsets, items, used)

    def id_tokens(self, n_history: int) -> tuple[int, int, int]:
        """(prompt tokens, tokens a beam, beams) of a search for a user of `n_history` items."""
        instruction, depth, longest, beams = self._written
        return instruction + min(n_history, longest) * depth, depth, beams

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """See CandidateSource.lists. No list is found at as_of = -1."""
        items = np.full((len(users), self.list_length), -1, dtype=np.int32)
        found = as_of >= 0
        with enough_memory("beam search of p5", "llm.list_length, llm.candidates.beams, max_length or dim"):
            items[found] = self._search.lists(users[found], as_of[found])
        return CandidateLists(items=items, found=found, as_of=as_of.copy())
