"""Hugging Face checkpoints: read from safetensors only, nothing unpickled or run, every failure in one line."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.lora import KEY, adapter_in, merge
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.pytorch import torch
from fleetrec.models.runtime.user_files import read_json

ITEMS = "items.json"
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "spiece.model", "tokenizer.model", "vocab.json")
_POINTER = b"version https://git-lfs"


def hugging_face() -> Any:
    """The transformers library, imported when it is first needed: that takes seconds, and a run whose lists are all
    known needs none of it."""
    return import_module("transformers")


def checkpoint_source(name: str) -> Path | str:
    """The local folder that `name` is, else `name` itself as an OWNER/MODEL of the Hugging Face hub.

    Raises InputError for a folder that holds neither a whole model nor an adapter of one in safetensors, and for what
    can be neither.
    """
    folder = Path(name).expanduser()
    if folder.exists():
        adapter = adapter_in(folder)
        if adapter is None:
            return require_checkpoint(folder)
        _base_of(folder)
        return folder
    if len(folder.parts) == 2 and not name.startswith((".", "/", "~")):
        return name
    raise InputError(f"{KEY}: {name} is neither a folder here nor an OWNER/MODEL of the Hugging Face hub; mend it")


def require_checkpoint(folder: Path) -> Path:
    """`folder`, if it can be a checkpoint: a whole model, its weights there and in safetensors."""
    if folder.suffix == ".gguf" or (folder.is_dir() and any(folder.glob("*.gguf"))):
        raise InputError(
            f"{KEY}: {folder} holds GGUF weights, which are not read; name the Hugging Face folder they were made of"
        )
    if (adapter := adapter_in(folder)) is not None:
        raise InputError(
            f"{KEY}: {folder} is an adapter (LoRA) of {adapter.base}, and a model of items must be whole; merge it by "
            "peft: AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload().save_pretrained(NEW)"
        )
    if not (folder / "config.json").is_file():
        below = sorted(path.parent.name for path in folder.glob("*/config.json"))
        where = f"; there is one in {', '.join(below[:3])}: name that folder" if below else ""
        raise InputError(
            f"{KEY}: {folder} is not a Hugging Face checkpoint folder (it has no config.json)"
            f"{where or '; give the folder that save_pretrained wrote'}"
        )
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.open("rb").read(len(_POINTER)) == _POINTER:
            raise InputError(
                f"{KEY}: {path} is a Git LFS pointer, not the data; run `git lfs pull` in the repository it is of"
            )
    if not any(folder.glob("*.safetensors")) and any(folder.glob("*.bin")):
        raise InputError(
            f"{KEY}: {folder} holds pickled weights (.bin), which are never loaded; write safetensors: "
            "from_pretrained(FOLDER).save_pretrained(NEW), and name NEW"
        )
    return folder


def _base_of(source: Path | str) -> Path | str:
    """The whole model that a source is, or is an adapter of. InputError where that one is nowhere."""
    adapter = adapter_in(source) if isinstance(source, Path) else None
    if adapter is None:
        return source
    try:
        base = checkpoint_source(adapter.base)
    except InputError as error:
        reason = str(error).removeprefix(f"{KEY}: ")
        raise InputError(
            f"{KEY}: {source} is an adapter (LoRA) of {adapter.base}, which cannot be had ({reason}); name where it is "
            "in base_model_name_or_path of adapter_config.json"
        ) from None
    if isinstance(base, Path) and adapter_in(base) is not None:
        raise InputError(f"{KEY}: {source} is an adapter of an adapter, {base}; merge that one first, with peft")
    return base


def with_tokenizer(source: Path | str) -> Path | str:
    """Where a checkpoint's tokenizer is: an adapter may have none but its model's."""
    own = isinstance(source, Path) and any((source / name).is_file() for name in TOKENIZERS)
    return source if own else _base_of(source)


def write_items(folder: Path, item_ids: NDArray[Any]) -> None:
    """Keeps, beside a model of items, which items they are: the log's ids in the order of their codes."""
    (folder / ITEMS).write_text(json.dumps([str(label) for label in item_ids]), encoding="utf-8")


def places_of_items(folder: Path, item_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Which of the checkpoint's items each of the log's is [n_items].

    InputError where the checkpoint does not say which items it is of, names one twice, or lacks one of the log's.
    """
    try:
        told = read_json(folder / ITEMS)
    except FileNotFoundError:
        raise InputError(
            f"{KEY}: {folder} does not say which items its tokens are; write their ids into {ITEMS} beside "
            "config.json, a JSON list of the log's ids in the order of their tokens"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{KEY}: {folder / ITEMS} cannot be read ({type(error).__name__}); write it anew") from None
    if not isinstance(told, list) or len(set(map(str, told))) != len(told):
        raise InputError(f"{KEY}: {folder / ITEMS} is no list of ids, each once; write a JSON list")
    place = {str(label): n for n, label in enumerate(told)}
    lacking = [str(label) for label in item_ids if str(label) not in place]
    if lacking:
        raise InputError(
            f"{KEY}: {folder} knows {len(told):,} items, and {len(lacking):,} of the log's {len(item_ids):,} are none "
            f"of them, such as {lacking[0]!r}; use a checkpoint trained on this log's items"
        )
    return np.array([place[str(label)] for label in item_ids], dtype=np.int64)


def read_auto(kind: str, source: Path | str) -> Any:
    """The tokenizer or config (`kind` an Auto class of transformers) of a checkpoint; no code of its own is ever run,
    nor is anyone asked whether it may."""
    source = with_tokenizer(source) if kind == "AutoTokenizer" else _base_of(source)
    read = getattr(hugging_face(), kind).from_pretrained
    return attempt(lambda: read(source, local_files_only=isinstance(source, Path), trust_remote_code=False), source)


def read_checkpoint(model_class: Any, source: Path | str) -> Any:
    """A model of `model_class` (an AutoModel or a PreTrainedModel) in float32, an adapter merged into it. Only a hub
    name is ever fetched."""
    if isinstance(source, Path) and (adapter := adapter_in(source)) is not None:
        model = read_checkpoint(model_class, _base_of(source))
        with torch.no_grad():
            merge(model, adapter)
        return model
    model, info = attempt(
        lambda: model_class.from_pretrained(
            source,
            local_files_only=isinstance(source, Path),
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        ),
        source,
    )
    lacking = sorted(info["missing_keys"])
    if lacking:
        raise InputError(
            f"{KEY}: {source} lacks the weights {lacking[0]} and {len(lacking) - 1} others; "
            "save the whole model with save_pretrained"
        )
    return model


def attempt(read: Callable[[], Any], source: Path | str) -> Any:
    """What `read` gives, in silence; whatever a broken file makes the library raise becomes one line."""
    try:
        with quiet():
            return read()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{KEY}: {source} cannot be loaded: {reason}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without bars and warnings: what it would warn of is an error here."""
    logging = hugging_face().utils.logging
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def causal_architecture(lm: Any) -> dict[str, int]:
    """What the speed of a causal LM follows from: n_params, layers, hidden, heads, kv_heads, head_dim, ..."""
    config = lm.config
    heads = int(config.num_attention_heads)
    return {
        "n_params": sum(parameter.numel() for parameter in lm.parameters()),
        "layers": int(config.num_hidden_layers),
        "hidden": int(config.hidden_size),
        "heads": heads,
        "kv_heads": int(getattr(config, "num_key_value_heads", None) or heads),
        "head_dim": int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        "vocab": int(config.vocab_size),
        "dtype_bytes": 4,  # float32, as trained and run here
    }
