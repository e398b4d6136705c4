"""Where a run goes and what it runs on: checked before any work is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from models.disk import is_disk_full
from models.errors import InputError
from simulator.scenario import sections

_OWN_FILES = {"summary.json", "comparison.json", "scenario.yaml", "timing.json", "parts", "figures"}


def run_folder(out: Path | None, scenario: sections.Scenario, suffix: str = "") -> Path:
    """The folder of a run, made where it is missing: `out`, or runs/<scenario name>-<seed>[-suffix].

    InputError where it cannot be a folder of ours: a file, a place that cannot be written, other files in it.
    """
    name = f"{scenario.name}-{scenario.seed}" + (f"-{suffix}" if suffix else "")
    folder = out if out is not None else Path("runs") / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        present = {path.name for path in folder.iterdir()}
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except FileExistsError:
        raise InputError(f"--out {folder}: is a file; name a folder") from None
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written ({error.strerror}); name another folder") from None
    if present and not present & _OWN_FILES:
        raise InputError(f"--out {folder}: holds files that are not a run's; name a new or an empty folder")
    return folder


@contextmanager
def disk_full_told(folder: Path) -> Iterator[None]:
    """A disk that fills while a run writes to `folder` is an InputError of one line."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        text = "make room there, or in the artifact cache, and run again"
        raise InputError(f"the disk is full, so the run has stopped before {folder} was complete; {text}") from error


def usable_device(name: str) -> str:
    """`name` (cpu or cuda), if this machine has it."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    return str(name)
