"""The folder of an experiment, held while it is written to; a sweep's is new, or left by a sweep like this one."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models.artifacts import atomic_path
from models.disk import is_disk_full
from models.errors import InputError
from simulator.experiments.folders import ExperimentFolder, Manifest
from simulator.experiments.sweeps.plan import Plan
from simulator.scenario import resolved_yaml

_LOCK = ".lock"


@contextmanager
def held(path: Path) -> Iterator[set[str]]:
    """The folder `path`, made where it is missing and held against other processes; the names of what is in it.

    Raises InputError for one that cannot be written or is in use, and when the disk is full; what is finished stays.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in path.iterdir()} - {_LOCK}
        lock = (path / _LOCK).open("a")
    except FileExistsError:
        raise InputError(f"--out {path}: is a file; name a folder") from None
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror}); name another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--out {path}: another process is writing to it; wait for it, or name another") from None
        try:
            yield present
        except Exception as error:
            if not is_disk_full(error):
                raise
            raise InputError(
                f"the disk is full, so the work in {path} has stopped; its finished runs are kept: make room (also in "
                "the artifact cache), then add --resume"
            ) from error


@contextmanager
def opened(path: Path, plan: Plan, resume: bool) -> Iterator[ExperimentFolder]:
    """The folder of a sweep, held as `held` does; what unfinished and failed runs left in it is gone.

    Raises InputError also for a folder that holds something else or another sweep, or was made by other versions; and
    for one with finished runs unless `resume`.
    """
    folder = ExperimentFolder(path)
    with held(path) as present:
        if "experiment.json" in present:
            _check_continues(folder, plan, resume)
        elif present:
            raise InputError(f"--out {path}: holds files that are not a sweep's; name a new or an empty folder")
        with atomic_path(path / "experiment.yaml") as temporary:
            temporary.write_text(plan.text, encoding="utf-8")
        folder.write_manifest(plan.manifest)
        _clean(folder, plan.manifest)
        yield folder


def _check_continues(folder: ExperimentFolder, plan: Plan, resume: bool) -> None:
    old, new, path = folder.manifest(), plan.manifest, folder.path
    if (old.kind, old.name) != (new.kind, new.name):
        raise InputError(f"--out {path}: holds another experiment, the {old.kind} {old.name!r}; name another folder")
    done = [run for run in folder.runs(new) if run.finished]
    if done and not resume:
        raise InputError(f"--out {path}: holds this sweep already; add --resume to finish it, or name another folder")
    if done:
        check_versions(path, old.versions, new.versions)
    for run in done:
        meant = resolved_yaml(plan.scenario(run.variant.name, run.seed))
        if (run.folder / "scenario.yaml").read_text(encoding="utf-8") != meant:
            raise InputError(
                f"--out {path}: its run of {run.variant.name!r} at seed {run.seed} had other settings than the sweep "
                "file has now; undo the change, or name another folder"
            )


def check_versions(path: Path, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """InputError where the runs of a folder were made by other versions than those that would go on with them."""
    changed = [name for name in new if old.get(name) != new[name]]
    if changed:
        was = ", ".join(f"{name} {old.get(name, 'unknown')}, now {new[name]}" for name in changed[:3])
        raise InputError(f"--resume: {path} was made by other versions ({was}); begin anew in another --out")


def _clean(folder: ExperimentFolder, manifest: Manifest) -> None:
    """Take away all runs but the finished ones of this sweep, and files that were being written."""
    meant = {run.folder for run in folder.runs(manifest) if run.finished}
    for place in (folder.path / "runs").glob("*/*"):
        if place not in meant:
            shutil.rmtree(place, ignore_errors=True)
        for left in place.glob(".*"):  # of a write that did not end
            left.unlink()
        shutil.rmtree(place / "parts", ignore_errors=True)
    for variant in (folder.path / "runs").glob("*"):
        if not any(variant.iterdir()):
            variant.rmdir()
    for left in folder.path.glob(".*-*"):
        left.unlink()


def write_failure(folder: Path, error: str, details: str) -> None:
    """failure.json of a run, instead of what it had written."""
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_path(folder / "failure.json") as path:
        path.write_text(json.dumps({"error": error, "details": details}, indent=2) + "\n", encoding="utf-8")
