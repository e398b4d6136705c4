"""`run.json` of a run's folder: whose run it holds, whether that is whole, and the hash of each file that it wrote.

A folder is of one run. Every file carries the run's id, so that files of two runs are never taken for one, and nothing
but what the manifest names, as it was written, is ever removed.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.artifacts import atomic_path, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json
from fleetrec.simulator.core.notes import Note, note

MANIFEST = "run.json"
SUMMARY = "summary.json"
PARTS = "parts"
RUN_KEY = b"fleetrec.run"
"""of the metadata of a table's file, where the run's id stands"""

_BEING_WRITTEN = re.compile(r"\.[0-9a-f]{12}-.+")
_PART = re.compile(r"(\d{3}/(parts/)?)?[a-z_]+(-\d{5})?\.parquet")


@dataclass(frozen=True)
class RunManifest:
    """What `run.json` holds. `files`: SHA-256 by path below the folder; none for what is not the same each time."""

    run: str
    scenario: str
    seed: int
    made_by: str = ""
    """the kind of processor and the PyTorch that made it: with others, trained models may differ"""
    state: Literal["unfinished", "finished"] = "unfinished"
    files: Mapping[str, str | None] = field(default_factory=dict)
    schema_version: int = 1

    def write(self, folder: Path) -> None:
        """Write it to a run's folder, whole."""
        with atomic_path(folder / MANIFEST) as path:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def set_label(overrides: Sequence[str]) -> str:
    """What `--set` changed, for a folder's name: the keys' last words and a hash of all; empty where nothing was."""
    if not overrides:
        return ""
    keys = dict.fromkeys(re.sub(r"\W", "", override.split("=")[0].split(".")[-1]) for override in overrides)
    return f"{'+'.join(filter(None, keys))[:40]}-{content_hash(list(overrides))[:6]}"


def read_manifest(folder: Path) -> RunManifest | None:
    """The manifest of a run's folder; None where there is none. InputError for one that is damaged."""
    path = folder / MANIFEST
    try:
        held = read_json(path)
        if held["schema_version"] != 1 or held["state"] not in ("unfinished", "finished"):
            raise ValueError("written by another version of Fleetrec")
        files = {str(name): None if digest is None else str(digest) for name, digest in held["files"].items()}
        made_by = str(held.get("made_by", ""))
        return RunManifest(str(held["run"]), str(held["scenario"]), int(held["seed"]), made_by, held["state"], files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({_first_line(error)}); run the scenario again") from None


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a whole run; one without a manifest is of a version that wrote summaries last."""
    try:
        manifest = read_manifest(folder)
    except InputError:
        return False
    return (folder / SUMMARY).is_file() and (manifest is None or manifest.state == "finished")


def made_alike_note(folders: Iterable[Path]) -> list[Note]:
    """A note where the runs of some folders were made by different kinds of machines; none where they were not."""
    found = {manifest.made_by for folder in folders if (manifest := read_manifest(folder)) is not None}
    kinds = sorted(kind for kind in found if kind)
    if len(kinds) < 2:
        return []
    said = "runs were made by different kinds of machines, whose trained models may differ: {made_by}"
    return [note("made_by", said, made_by=kinds)]


def check_one_run(folder: Path, names: Iterable[str]) -> None:
    """InputError where a folder's run was broken off before it was whole, or where these files are of several runs."""
    manifest = read_manifest(folder)
    if manifest is not None and manifest.state != "finished":
        raise InputError(f"{folder}: holds a run that was broken off before it was whole; run the scenario again")
    found = {name: run_of(folder / name) for name in names}
    whose = next(iter(found.values()), None) if manifest is None else manifest.run
    for name, run in found.items():
        if run != whose:
            other = next(iter(found)) if manifest is None else MANIFEST
            raise InputError(f"{folder / name}: is of another run than {other}; run the scenario again")


@contextmanager
def edits_told(folder: Path) -> Iterator[None]:
    """While the runs in a folder are read: what fails for a file that somebody has edited is an InputError with its
    name; where all files are as they were written, the mistake is of the code."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        edited = _edited(folder)
        if edited is None:
            raise
        reason = " ".join(f"{type(error).__name__} {error}".split())
        raise InputError(
            f"{edited}: edited or removed since the run wrote it ({reason}); run the scenario again"
        ) from error


def _edited(folder: Path) -> Path | None:
    for manifest in sorted(folder.rglob(MANIFEST)):
        held = read_manifest(manifest.parent)
        for name, digest in ({} if held is None else held.files).items():
            path = manifest.parent / name
            read_back = digest is not None and path.suffix in (".json", ".yaml", ".parquet")
            if read_back and not (path.is_file() and sha256_of(path) == digest):
                return path
    return None


def run_of(path: Path) -> str | None:
    """The id that a file of a run carries; InputError where it cannot be read."""
    try:
        if path.suffix == ".parquet":
            metadata = pq.read_schema(path).metadata or {}
            run = metadata.get(RUN_KEY)
            return None if run is None else run.decode("ascii", "replace")
        if path.suffix == ".json":
            content = read_json(path)
            return content.get("run") if isinstance(content, dict) else None
        with path.open(encoding="utf-8") as file:
            found = re.fullmatch(r"# run: (\w+)\n", file.readline(100))
        return None if found is None else found[1]
    except (OSError, ValueError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({_first_line(error)}); run the scenario again") from None


def with_run(table: pa.Table, run: str | None) -> pa.Table:
    """The table with nothing but the run's id in its metadata: equal rows are equal bytes."""
    return table.replace_schema_metadata(None if run is None else {RUN_KEY: run.encode()})


def name_files(folder: Path, paths: Iterable[Path]) -> None:
    """Name in the manifest of a folder, where it has one, what was drawn of its run."""
    manifest = read_manifest(folder)
    if manifest is not None:
        drawn = {str(path.relative_to(folder)): sha256_of(path) for path in paths}
        replace(manifest, files={**manifest.files, **drawn}).write(folder)


def remove_run(folder: Path) -> None:
    """Remove what a run wrote to its folder, and the folder where that is all; else it is marked unfinished."""
    manifest = read_manifest(folder)
    remove_files(folder)
    remove_parts(folder)
    if manifest is not None and {path.name for path in folder.iterdir()} == {MANIFEST}:
        (folder / MANIFEST).unlink()
    elif manifest is not None:
        replace(manifest, state="unfinished", files={}).write(folder)
    with suppress(OSError):
        folder.rmdir()


def remove_files(folder: Path) -> None:
    """Remove the files that a run's manifest names; one that has changed since it was written is not the run's."""
    manifest = read_manifest(folder)
    for name, digest in ({} if manifest is None else manifest.files).items():
        path = folder / name
        inside = path.parent.resolve().is_relative_to(folder.resolve())
        if inside and path.is_file() and (digest is None or sha256_of(path) == digest):
            path.unlink()
    remove_half_written(folder)
    with suppress(OSError):
        (folder / "figures").rmdir()


def remove_half_written(folder: Path) -> None:
    """Remove what was being written to a run's or an experiment's folder, or its figures, when a process was killed."""
    for place in (folder, folder / "figures"):
        for left in place.glob(".*") if place.is_dir() else ():
            if _BEING_WRITTEN.fullmatch(left.name) and left.is_file():
                left.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove the parts of a run in its folder; a folder of that name that no run made stays as it is."""
    parts = folder / PARTS
    if not (parts / MANIFEST).is_file() or parts.is_symlink():
        return
    for path in sorted(parts.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir():
            with suppress(OSError):
                path.rmdir()
        elif _PART.fullmatch(str(path.relative_to(parts))) or _BEING_WRITTEN.fullmatch(path.name):
            path.unlink()
    (parts / MANIFEST).unlink()
    with suppress(OSError):
        parts.rmdir()


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
