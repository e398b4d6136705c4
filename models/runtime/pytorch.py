"""PyTorch, loaded by whoever first asks something of it: that takes a second, and a run whose models, states and lists
are all in the cache asks nothing of it.

Modules that such a run imports take `torch` from here; those that hold networks import PyTorch itself. Either way it
is set up as a run needs it (`set_threads`).
"""

import os
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fleetrec.models.runtime.cores import available_cores

# cuBLAS is deterministic only with a workspace of fixed size, and reads this when it is first used.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_asked: list[int] = []
"""how many threads PyTorch is to use, once it is there; empty: nobody has said"""


class _Later:
    """Stands for PyTorch and loads it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(_loaded(), name)
        if not isinstance(value, bool | int | float):
            self.__dict__[name] = value  # the next time it is found at once
        return value


@cache
def _loaded() -> ModuleType:
    module = import_module("torch")
    module.backends.cudnn.allow_tf32 = False  # outside `mixed_precision`: PyTorch's own choice for recurrent layers
    if _asked:
        module.set_num_threads(_asked[0])
    return module


if TYPE_CHECKING:
    import torch as torch
else:
    torch = _Later()


def load() -> None:
    """Load it now: a process of which others are copies does, so that they need not."""
    _loaded()


def is_loaded() -> bool:
    """Whether PyTorch is there, whoever has loaded it."""
    return "torch" in sys.modules


def set_threads(threads: int) -> None:
    """How many threads PyTorch uses, from now on or from when it is loaded."""
    _asked[:] = [threads]
    if is_loaded():
        _loaded().set_num_threads(threads)


def get_threads() -> int:
    """How many threads PyTorch uses, or will."""
    if is_loaded():
        return int(_loaded().get_num_threads())
    return _asked[0] if _asked else int(os.environ.get("OMP_NUM_THREADS") or available_cores())


@cache
def torch_version() -> str:
    """`torch.__version__`, which names the build too."""
    if is_loaded():
        return str(_loaded().__version__)
    found = find_spec("torch")
    assert found is not None
    assert found.origin is not None
    return str(run_path(str(Path(found.origin).with_name("version.py")))["__version__"])
