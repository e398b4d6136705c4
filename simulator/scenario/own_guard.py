"""Watches code of the user's own while it runs: what it raises is one line, and what all else hangs on it leaves alone.

What that is: the global random numbers, the working folder, PyTorch's default dtype, and standard output.
"""

import inspect
import os
import random
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from fleetrec.models.runtime.errors import InputError

LIBRARIES = ("random", "numpy", "torch")
"""whose global random numbers own code leaves alone"""
own_files: set[str] = set()
"""all that has been imported as own code (own_code.py), as their code objects name them"""


def shown(path: Path) -> str:
    """A path as scenarios give paths: from the folder in which the command runs where it is below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def raise_told(error: BaseException, where: str) -> NoReturn:
    """Own code has raised `error`: an InputError with the line of it, and its own message. `where`: what is named where
    the error did not come from within a file of it."""
    at, trace = where, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in own_files:
            at = f"{shown(Path(file))}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        at = f"{shown(Path(error.filename))}:{error.lineno}"
    try:
        said = " ".join(str(error).split("\n\n")[0].split())
    except Exception:  # its own text is wrong as well
        said = ""
    raise InputError(f"{at}: {type(error).__name__}{f': {said}' if said else ''}") from error


@contextmanager
def told(where: str, untouched: Collection[str] = ()) -> Iterator[None]:
    """Meanwhile what own code raises is told by `raise_told`, and it leaves the global random numbers of the libraries
    `untouched` alone."""
    try:
        with untouched_randomness(where, untouched) if untouched else nullcontext():
            yield
    except (InputError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise_told(error, where)


def supplied(function: Any, where: str, **known: Any) -> dict[str, Any]:
    """Of what is `known`, that for which a user's function has a parameter. InputError where it wants more."""
    wanted = inspect.signature(function).parameters.values()
    for one in wanted:
        if one.name not in known and one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            text = f"takes {one.name!r}, which nobody gives it"
            raise InputError(f"{where}.{function.__name__} {text}; it may take {', '.join(known)}")
    return {one.name: known[one.name] for one in wanted if one.name in known}


@contextmanager
def silent() -> Iterator[None]:
    """Meanwhile own code may not print."""
    real = sys.stdout
    sys.stdout = _Output(real)
    try:
        yield
    finally:
        sys.stdout = real


@contextmanager
def shadowing() -> Iterator[None]:
    """Meanwhile no warning of a field that has the name of something else: that is an InputError afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Field name", UserWarning)
        yield


class RandomnessChanged(InputError):
    """Own code has changed global random numbers."""


@contextmanager
def untouched_randomness(where: str, libraries: Collection[str] = LIBRARIES) -> Iterator[None]:
    """Own code runs, which is to leave global random numbers alone, and the folder and the dtype in which all else
    works: InputError, which begins with `where`, if not."""
    before, folder, dtype = _random_states(), os.getcwd(), _default_dtype()
    yield
    if os.getcwd() != folder:
        os.chdir(folder)
        raise InputError(
            f"{where}: changes the folder in which the command runs; name files from Path(__file__).parent instead"
        )
    torch = sys.modules.get("torch")
    if torch is not None and _default_dtype() != (dtype or torch.float32):
        torch.set_default_dtype(dtype or torch.float32)
        raise InputError(f"{where}: changes PyTorch's default dtype for all; give its own tensors a dtype instead")
    after = _random_states()
    changed = [name for name in libraries if before[name] is not None and after[name] != before[name]]
    if changed:
        raise RandomnessChanged(
            f"{where}: changes the global random numbers of {' and of '.join(changed)}, on which other results may "
            "hang; draw from a generator of its own, such as np.random.default_rng(1), or from `uniform` of what it "
            "is handed"
        )


def move_on() -> None:
    """Move the global random numbers on, so that seeding them as before shows."""
    random.random()
    for name, draw in (("numpy.random", "random"), ("torch", "rand")):
        if name in sys.modules and hasattr(sys.modules[name], draw):
            getattr(sys.modules[name], draw)(1)


def _random_states() -> dict[str, Any]:
    """What global generators would give next, of those libraries that are in use."""
    states: dict[str, Any] = {"random": random.getstate()}
    numpy, torch = sys.modules.get("numpy.random"), sys.modules.get("torch")
    if numpy is not None:
        words = numpy.get_state()
        states["numpy"] = (words[1].tobytes(), *words[2:])
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state().numpy().tobytes()
    return dict.fromkeys(LIBRARIES) | states


def _default_dtype() -> Any:
    """PyTorch's; None where it is not in use."""
    torch: Any = sys.modules.get("torch")
    return torch.get_default_dtype() if hasattr(torch, "get_default_dtype") else None


class _Output:
    """Standard output, where own code may not write: what a command prints there is read by others."""

    def __init__(self, real: Any):
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, text: str) -> int:
        """Write what others print."""
        frame: Any = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in own_files:
                at = f"{shown(Path(frame.f_code.co_filename))}:{frame.f_lineno}"
                raise InputError(f"{at}: prints, and standard output is for results; print(..., file=sys.stderr)")
            frame = frame.f_back
        return int(self._real.write(text))
