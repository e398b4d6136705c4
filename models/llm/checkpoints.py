"""Hugging Face checkpoints: read from safetensors only, nothing unpickled or run, every failure in one line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from fleetrec.models.runtime.errors import InputError

_KEY = "llm.candidates.checkpoint"


def hugging_face() -> Any:
    """The transformers library, imported when it is first needed: that takes seconds, and a run whose lists are all
    known needs none of it."""
    return import_module("transformers")


def checkpoint_source(name: str) -> Path | str:
    """The local folder that `name` is, else `name` itself as an OWNER/MODEL of the Hugging Face hub.

    Raises InputError for a folder without config.json and for what can be neither.
    """
    folder = Path(name).expanduser()
    if folder.exists():
        return require_checkpoint(folder)
    if len(folder.parts) == 2 and not name.startswith((".", "/", "~")):
        return name
    raise InputError(f"{_KEY}: {name} is neither a folder here nor an OWNER/MODEL of the Hugging Face hub; mend it")


def require_checkpoint(folder: Path) -> Path:
    """`folder`, if it can be a checkpoint."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{_KEY}: {folder} is not a Hugging Face checkpoint folder (it has no config.json); "
            "give the folder that save_pretrained wrote"
        )
    return folder


def read_auto(kind: str, source: Path | str) -> Any:
    """The tokenizer or config (`kind` an Auto class of transformers) of a checkpoint; no code of its own is ever run,
    nor is anyone asked whether it may."""
    read = getattr(hugging_face(), kind).from_pretrained
    return attempt(lambda: read(source, local_files_only=isinstance(source, Path), trust_remote_code=False), source)


def read_checkpoint(model_class: Any, source: Path | str) -> Any:
    """A model of `model_class` (an AutoModel or a PreTrainedModel) in float32. Only a hub name is ever fetched."""
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
            f"{_KEY}: {source} lacks the weights {lacking[0]} and {len(lacking) - 1} others; "
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
        raise InputError(f"{_KEY}: {source} cannot be loaded: {reason}") from error


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
