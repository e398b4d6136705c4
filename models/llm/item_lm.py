"""The item LM as the cloud's recommender: trained here or loaded from a saved checkpoint, it ranks the whole catalogue.

An artifact is a standard Hugging Face checkpoint folder (config.json, model.safetensors) with the items' ids beside it
(items.json). A checkpoint of the user's own may be any causal LM whose vocabulary holds one token per item: that of the
n-th id of items.json is n + `item_offset` of its config.json (1 where that is not given).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve, curve_of
from fleetrec.models.llm.checkpoints import (
    causal_architecture,
    hugging_face,
    places_of_items,
    quiet,
    read_checkpoint,
    require_checkpoint,
    write_items,
)
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.precision import arithmetic_of, computed_with, mixed_precision
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.pytorch import torch, torch_version
from fleetrec.models.sequences import TrainingSet, even_length, n_transitions
from fleetrec.models.srm.configs import NetworkConfig, TrainingConfig
from fleetrec.models.tile_sizes import TILE, tile_on

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from fleetrec.models.llm.network import ItemLm

FORMAT = 2  # of the artifact and of the training procedure: raise it when either changes
_ARTIFACT = "item_lm"
_HISTORY = "history.json"
_FACTS, _FACTS_FILE = "item_lm_facts", "facts.json"


class ItemLmConfig(NetworkConfig, Protocol):
    """What determines an item LM; the `llm.candidates` section of a scenario has these fields."""

    @property
    def item_text(self) -> bool: ...
    @property
    def checkpoint(self) -> str | None: ...


@dataclass(frozen=True)
class _Schooling:
    """An ItemLmConfig in the words of the trainer that it shares with the small models."""

    epochs: int
    training: TrainingConfig
    dim: int
    layers: int
    heads: int
    max_length: int
    kind: str = "item_lm"
    loss: str = "full_softmax"


@dataclass(frozen=True)
class TrainedItemLm:
    """An item LM ready to rank, and what serving it takes. Its weights are read when they are first needed."""

    read: Callable[[], ItemLm]
    architecture: dict[str, int]  # n_params, layers, hidden, heads, kv_heads, head_dim, vocab, dtype_bytes
    validation: dict[str, float]  # of the epoch kept; empty for a loaded checkpoint or where nothing was held out
    folder: Path  # the Hugging Face checkpoint
    device: str  # where it ranks
    content_hash: str  # of the weights and the way they are used
    curve: TrainingCurve = UNTRAINED

    @cached_property
    def model(self) -> ItemLm:
        """The weights, and items as tokens."""
        return self.read()


def train_or_load_item_lm(
    config: ItemLmConfig,
    data: TrainingSet,
    store: ArtifactStore,
    threads: int,
    device: str = "cpu",
    progress: Progress | None = None,
    item_ids: NDArray[Any] | None = None,
) -> TrainedItemLm:
    """The item LM of `config`: its checkpoint where one is named, else trained on `data` or taken from the cache.

    `item_ids` [n_items], what the log calls its items: kept beside what is trained, and matched with a checkpoint's.

    Raises InputError for an empty training set, a width that heads do not divide evenly, a training that diverges, or
    a checkpoint that cannot be read or does not fit the catalogue.
    """
    if config.checkpoint is not None:
        given = Path(config.checkpoint).expanduser()
        require_checkpoint(given)
        places = None if item_ids is None else places_of_items(given, item_ids)
        model, facts = _loaded(given, data.n_items, config.max_length, threads, device, places)
        return TrainedItemLm(lambda: model, facts["architecture"], {}, given, device, facts["content_hash"])
    if config.dim % (2 * config.heads):
        raise InputError(
            f"llm.candidates: dim {config.dim} must be a multiple of twice the heads ({config.heads}); "
            "change llm.candidates.dim or llm.candidates.heads"
        )
    if n_transitions(data) == 0:
        raise InputError(
            "llm.candidates: the training set is empty: no user has two interactions to learn from; "
            "use a longer log, a later workload.split.at or a smaller workload.split.last"
        )
    key = _key(config, data, threads, device)
    if item_ids is not None:
        key["items"] = content_hash(item_ids)
    folder = store.open(_ARTIFACT, key)
    if folder is None:
        from fleetrec.models.srm.training import deterministic

        store.check_writable()
        with deterministic(config.training.seed, threads, device):
            lm, history = _train(config, data, device, progress or NullProgress())
        with store.creating(_ARTIFACT, key) as temporary:
            with quiet():
                lm.save_pretrained(temporary)
            if item_ids is not None:
                write_items(temporary, item_ids)
            (temporary / _HISTORY).write_text(json.dumps(history, indent=1), encoding="utf-8")
        folder = store.folder(_ARTIFACT, key)
    history = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))

    def load() -> tuple[ItemLm, dict[str, Any]]:
        return _loaded(folder, data.n_items, config.max_length, threads, device)

    facts = _facts(store, {**key, "transformers": version("transformers")}, load)
    return TrainedItemLm(
        read=lambda: load()[0],
        architecture=facts["architecture"],
        validation=dict(history["validation"]),
        folder=folder,
        device=device,
        content_hash=facts["content_hash"],
        curve=curve_of(history, config.epochs),
    )


def _facts(store: ArtifactStore, key: dict[str, Any], load: Callable[[], tuple[ItemLm, dict[str, Any]]]) -> Any:
    """What a run asks of a model whose lists are all known, kept beside it: reading weights takes seconds."""
    facts = store.load_json(_FACTS, key, _FACTS_FILE)
    if facts is None:
        from fleetrec.models.prefixes import rounded_item_vectors

        model, facts = load()
        rounded_item_vectors(model)  # of a model that cannot rank nothing is kept
        with store.creating(_FACTS, key) as temporary:
            (temporary / _FACTS_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts


def _train(
    config: ItemLmConfig, data: TrainingSet, device: str, progress: Progress
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The best epoch's language model, attributes folded in, and what happened epoch by epoch (JSON-able)."""
    from fleetrec.models.llm.network import TrainableItemLm, new_llama
    from fleetrec.models.srm.training import train

    length = even_length(config.max_length)
    schooling = _Schooling(config.epochs, config.training, config.dim, config.layers, config.heads, length)
    lm = new_llama(data.n_items, config.dim, config.layers, config.heads, length)
    attributes = data.attributes if config.item_text else None
    model = TrainableItemLm(lm, data.n_items, length, config.training.dropout, attributes).to(device)
    history = train(model, schooling, data, progress)
    return model.fold().cpu(), history


def _key(config: ItemLmConfig, data: TrainingSet, threads: int, device: str) -> dict[str, Any]:
    names = ("dim", "layers", "heads", "max_length", "epochs", "item_text")
    training = ("seed", "batch_size", "learning_rate", "weight_decay", "dropout", "patience")
    return {
        "format": FORMAT,
        "config": {name: getattr(config, name) for name in names},
        "training": {name: getattr(config.training, name) for name in training},
        "data": data.content_hash,
        **computed_with(threads, device, config.training.softmax_precision, config.training.encoder_precision),
    }


def _loaded(
    folder: Path,
    n_items: int,
    max_length: int,
    threads: int,
    device: str,
    places: NDArray[np.int64] | None = None,
) -> tuple[ItemLm, dict[str, Any]]:
    """The model of a checkpoint, and its architecture and content hash. `places`: see ItemLm; None: all in order."""
    from fleetrec.models.llm.network import DEFAULT_OFFSET, ItemLm

    lm = read_checkpoint(hugging_face().AutoModelForCausalLM, folder)
    offset = int(getattr(lm.config, "item_offset", DEFAULT_OFFSET))
    vocabulary = lm.get_output_embeddings().weight.shape[0]
    needed = (n_items if places is None else int(places.max(initial=-1)) + 1) + offset
    if offset < 0 or vocabulary < needed:
        raise InputError(
            f"{folder}: its vocabulary of {vocabulary} tokens is too small: the log has {n_items} items and item codes "
            f"start at token {offset}, so at least {needed} are needed; use a checkpoint trained on this log"
        )
    if getattr(lm.get_output_embeddings(), "bias", None) is not None:
        raise InputError(f"{folder}: its output head has a bias, which is not supported; use a head without bias")
    positions = int(getattr(lm.config, "max_position_embeddings", max_length))
    length = even_length(min(max_length, positions))
    if places is not None and np.array_equal(places, np.arange(n_items)):
        places = None
    moved = None if places is None else torch.from_numpy(places)
    model = ItemLm(lm, n_items, length, offset, moved).eval().requires_grad_(False)
    weights = {name: tensor.numpy() for name, tensor in lm.state_dict().items()}
    used = [lm.config.model_type, length, offset, n_items, threads, torch_version(), arithmetic_of(device)]
    hashed = content_hash(used, lm.config.to_json_string(), weights, *([] if places is None else [places]))
    return model.to(device), {"architecture": causal_architecture(lm), "content_hash": hashed}


class ItemLmCandidates:
    """Candidate lists of an item LM for any prefix of any log of its items."""

    def __init__(
        self,
        trained: TrainedItemLm,
        offsets: NDArray[np.int64],
        items: NDArray[np.int32],
        first: NDArray[np.int64],
        list_length: int,
        exclude_seen: bool,
        grows: NDArray[np.int64] | None = None,
    ):
        """Lists may be asked for positions first[u] and later; first[u] = length of u for a user nobody asks about.

        `exclude_seen`: items that the user had up to as_of are left out of the ranking (the list is still full).
        `grows` [U]: of a log whose histories grow while lists are asked for, by which number each user has its row of
        a tile; then nothing is encoded ahead of need.
        """
        self._grows = grows
        self.name = "item_lm"
        self.list_length, self.validation, self.curve = list_length, trained.validation, trained.curve
        self._block = tile_on(TILE, trained.device)
        self.content_hash = content_hash(trained.content_hash, offsets, items, list_length, exclude_seen, self._block)
        self._trained = trained
        self._offsets, self._items, self._first = offsets, items, first
        self._exclude_seen = exclude_seen
        self._states: dict[int, tuple[torch.Tensor, NDArray[np.int64]]] = {}  # by block of users

    @cached_property
    def _item_vectors(self) -> torch.Tensor:
        from fleetrec.models.prefixes import rounded_item_vectors

        return rounded_item_vectors(self._trained.model).double()

    @cached_property
    def _codes(self) -> torch.Tensor:
        return torch.from_numpy(self._items).to(self._trained.device)

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """See CandidateSource.lists. No list is found at as_of = -1; ValueError for others below the user's `first`."""
        from fleetrec.models.llm.ranking import best_items

        items = np.full((len(users), self.list_length), -1, dtype=np.int32)
        found = as_of >= 0
        who, when = users[found], as_of[found]
        if (when < self._first[who]).any():
            raise ValueError("a list was asked for a position before the user's first")
        states = self._states_at(who, when)
        codes = self._codes
        begins, ends = (
            torch.from_numpy(x).to(codes.device) for x in (self._offsets[who], self._offsets[who] + when + 1)
        )

        def seen(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
            begin, counts = begins[rows], (ends - begins)[rows]
            place = torch.repeat_interleave(counts)
            first = torch.cumsum(counts, dim=0) - counts
            event = torch.arange(len(place), device=codes.device) + (begin - first)[place]
            return place, codes[event].long()

        excluded = seen if self._exclude_seen else None
        with enough_memory("lists of the item LM", "llm.candidates.dim, or the users that are simulated"):
            items[found] = best_items(states, self._item_vectors, self.list_length, excluded)
        return CandidateLists(items=items, found=found, as_of=as_of.copy())

    def _states_at(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> torch.Tensor:
        """States [M, d]. Users are encoded a whole block at a time: their segments then fill the tiles evenly."""
        if self._grows is not None:
            from fleetrec.models.prefixes import segment_states
            from fleetrec.models.tiles import tiles_of

            model, codes = self._trained.model.eval(), self._codes
            histories = self._offsets[users], codes, as_of, as_of + 1, self._grows[users]
            with mixed_precision(self._trained.device):
                tiles = tiles_of(model)[0]
                return segment_states(model.states, codes.device, model.dim, model.max_length, *histories, tiles)
        states = torch.empty((len(users), self._trained.model.dim), device=self._trained.device)
        block = users // self._block
        wanted = np.unique(block)
        lacking = np.array([b for b in wanted.tolist() if b not in self._states], dtype=np.int64)
        if len(lacking):
            self._encode(lacking)
        for b in wanted.tolist():
            rows = np.flatnonzero(block == b)
            own, row_offsets = self._states[b]
            at = row_offsets[users[rows] - b * self._block] + as_of[rows] - self._first[users[rows]]
            states[torch.from_numpy(rows).to(own.device)] = own[torch.from_numpy(at).to(own.device)]
        return states

    def _encode(self, blocks: NDArray[np.int64]) -> None:
        from fleetrec.models.prefixes import prefix_states

        size, model = self._block, self._trained.model
        members = (blocks[:, None] * size + np.arange(size)).ravel()
        members = members[members < len(self._first)]
        with mixed_precision(self._trained.device):
            states, row_offsets = prefix_states(model, self._offsets, self._items, self._first, members)
        for b in blocks.tolist():
            bounds = row_offsets[b * size : (b + 1) * size + 1]
            self._states[b] = (states[bounds[0] : bounds[-1]], bounds - bounds[0])
