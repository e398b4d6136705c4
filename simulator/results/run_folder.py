"""Where a run goes and what it runs on: checked before any work is done."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.processor import vector_instructions
from fleetrec.models.runtime.pytorch import torch, torch_version
from fleetrec.simulator.records.folder_lock import held
from fleetrec.simulator.records.parquet import write_table
from fleetrec.simulator.records.run_manifest import (
    MANIFEST,
    PARTS,
    SUMMARY,
    RunManifest,
    is_finished,
    read_manifest,
    remove_files,
    remove_parts,
    set_label,
    sha256_of,
)
from fleetrec.simulator.results.run_identity import run_id
from fleetrec.simulator.scenario import sections

_OWN_FILES = {MANIFEST, SUMMARY, "comparison.json", "scenario.yaml", "timing.json", PARTS, "figures"}


class RunFolder:
    """The folder of a run that is being made: held by this process, and whole only once it is finished."""

    def __init__(self, path: Path, manifest: RunManifest, replaces: bool):
        """`replaces`: whether it still holds the finished result of another run."""
        self.path, self.replaces = path, replaces
        self._manifest = manifest

    @property
    def run(self) -> str:
        """The run's id."""
        return self._manifest.run

    @property
    def made_by(self) -> str:
        """The kind of processor, PyTorch and its threads."""
        return self._manifest.made_by

    @property
    def parts(self) -> Path:
        """Where records wait until the run's end."""
        return self.path / PARTS

    def begin(self) -> None:
        """Take away what an earlier run wrote; from now on the folder is marked as unfinished."""
        earlier = read_manifest(self.path)
        if earlier is not None:
            replace(earlier, state="unfinished").write(self.path)
            remove_files(self.path)
        self._manifest = replace(self._manifest, state="unfinished", files={})
        self._manifest.write(self.path)
        self.replaces = False

    def write_table(self, name: str, table: pa.Table | pd.DataFrame) -> None:
        """Write `<name>.parquet`, which carries the run's id."""
        with self.file(f"{name}.parquet") as path:
            write_table(table, path, self.run)

    def write_text(self, name: str, text: str) -> None:
        """Write a text, which the caller has given the run's id."""
        with self.file(name) as path:
            path.write_text(text, encoding="utf-8")

    def announce(self, names: Iterable[str]) -> None:
        """Have the manifest tell of files that are to come: once for all of them is quicker."""
        coming = {name: None for name in names if name not in self._manifest.files}
        if coming:
            self._manifest = replace(self._manifest, files={**self._manifest.files, **coming})
            self._manifest.write(self.path)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A temporary path that becomes the file `name`, which the manifest tells of from before it is there."""
        self.announce([name])
        with atomic_path(self.path / name) as path:
            yield path

    def finish(self, varying: Sequence[str] = ()) -> None:
        """Mark the folder as whole, with the hash of every file but those that are not the same each time."""
        names = [name for name in self._manifest.files if name not in varying]
        hashes = {name: sha256_of(self.path / name) for name in names}
        files = {name: hashes.get(name) for name in self._manifest.files}
        remove_parts(self.path)  # before, since whoever finds the folder whole leaves it alone
        self._manifest = replace(self._manifest, state="finished", files=files)
        self._manifest.write(self.path)


def made_by(threads: int) -> str:
    """What equal bytes hold for beside the versions: the kind of processor, PyTorch, and its threads."""
    built = f"{platform.machine()} {vector_instructions()}, torch {torch_version()}"
    return f"{built}, {threads} thread{'s' if threads > 1 else ''}"


@contextmanager
def opened(
    out: Path | str | RunFolder, scenario: sections.Scenario, overwrite: bool = False, kind: str = "run"
) -> Iterator[RunFolder]:
    """The folder of a run of `scenario`, made where it is missing and held; one that is open already as it is.

    Raises InputError where it cannot be a folder of ours: a file, a place that cannot be written, other files in it, in
    use by another process; and where it holds the finished result of another run, unless `overwrite`.
    """
    if isinstance(out, RunFolder):
        yield out
        return
    path = Path(out)
    with held(path) as present:
        if present and not present & _OWN_FILES:
            raise InputError(f"--out {path}: holds files that are not a run's; name a new or an empty folder")
        manifest = RunManifest(run_id(scenario, kind), scenario.name, scenario.seed, made_by(scenario.engine.threads))
        other = _other_result(path, manifest.run)
        if other is not None and not overwrite:
            raise InputError(
                f"--out {path}: holds the finished result of {other}; name another folder, or --overwrite it"
            )
        _check_parts(path)
        folder = RunFolder(path, manifest, other is not None)
        if other is None and not is_finished(path):
            folder.begin()
        folder.parts.mkdir(exist_ok=True)
        manifest.write(folder.parts)
        yield folder
        remove_parts(path)


def _other_result(path: Path, run: str) -> str | None:
    """The finished run or comparison in a folder, in words, unless it is this one."""
    found = read_manifest(path)
    if found is None:
        named = (path / SUMMARY).is_file() or (path / "comparison.json").is_file()
        return "a run of an earlier version" if named else None
    if found.state != "finished" or found.run == run:
        return None
    return f"another run ({found.scenario}, seed {found.seed}, other settings, files or versions)"


def _check_parts(path: Path) -> None:
    """What a run that was broken off has left goes; InputError for a folder of that name that no run made."""
    remove_parts(path)
    parts = path / PARTS
    if parts.is_symlink() or (parts.exists() and not (parts.is_dir() and not any(parts.iterdir()))):
        raise InputError(f"--out {path}: holds something named {PARTS!r} that no run made; move it, or name another")


def run_folder(out: Path | None, name: str, seed: int, overrides: Sequence[str] = (), suffix: str = "") -> Path:
    """`out`, or runs/<scenario name>-<seed>[-what was set][-suffix]."""
    if out is not None:
        return out
    return Path("runs") / "-".join(filter(None, (name, str(seed), set_label(overrides), suffix)))


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
