"""The folder of an experiment, held while it is written to; a sweep's is new, or left by a sweep like this one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.experiments.folders import FAILURE, ExperimentFolder
from fleetrec.simulator.experiments.sweeps.plan import Plan
from fleetrec.simulator.records.folder_lock import held
from fleetrec.simulator.records.run_manifest import is_finished, remove_half_written, remove_run, run_of
from fleetrec.simulator.results.run_identity import run_id


@contextmanager
def held_whole(path: Path) -> Iterator[set[str]]:
    """The folder `path` as `held` gives it; a disk that fills meanwhile is told. What is finished stays."""
    with held(path) as present:
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
def opened(path: Path, plan: Plan, resume: bool, overwrite: Sequence[str] = ()) -> Iterator[ExperimentFolder]:
    """The folder of a sweep, held as `held` does; what unfinished and failed runs left in it is gone.

    `overwrite` names finished runs to lose, as `variant` or `variant/seed`; no other is ever removed. Raises InputError
    also for a folder that holds something else or another sweep, or was made by other versions; and for one with
    finished runs unless `resume`.
    """
    folder = ExperimentFolder(path)
    with held_whole(path) as present:
        lost = named_runs(folder, overwrite)
        if "experiment.json" in present:
            _check_continues(folder, plan, resume or bool(lost), lost)
            for run in lost:
                remove_run(run)
        elif present:
            raise InputError(f"--out {path}: holds files that are not a sweep's; name a new or an empty folder")
        with atomic_path(path / "experiment.yaml") as temporary:
            temporary.write_text(plan.text, encoding="utf-8")
        folder.write_manifest(plan.manifest)
        _clean(folder)
        yield folder


def named_runs(folder: ExperimentFolder, names: Sequence[str]) -> list[Path]:
    """Folders of the finished runs that `variant` or `variant/seed` name, by a variant's name or that of its folder."""
    try:
        known = {variant.folder: variant.name for variant in folder.manifest().variants}
    except InputError:
        known = {}
    found: list[Path] = []
    for name in names:
        runs = [
            run
            for run in finished_runs(folder)
            for variant in (run.parent.name, known.get(run.parent.name, run.parent.name))
            if name in (variant, f"{variant}/{run.name}")
        ]
        if not runs:
            raise InputError(f"--overwrite {name}: {folder.path} has no finished run of that name, such as 'never/1'")
        found += runs
    return list(dict.fromkeys(found))


def finished_runs(folder: ExperimentFolder) -> list[Path]:
    """Folders of every finished run in an experiment's folder, in its plan or not."""
    return [run for run in sorted((folder.path / "runs").glob("*/*")) if is_finished(run)]


def _check_continues(folder: ExperimentFolder, plan: Plan, resume: bool, lost: Sequence[Path]) -> None:
    old, new, path = folder.manifest(), plan.manifest, folder.path
    if (old.kind, old.name) != (new.kind, new.name):
        raise InputError(f"--out {path}: holds another experiment, the {old.kind} {old.name!r}; name another folder")
    done = [run for run in finished_runs(folder) if run not in lost]
    if done and not resume:
        raise InputError(
            f"--out {path}: holds this sweep already; add --resume to keep its {counted(len(done), 'finished run')} "
            "and go on, --overwrite VARIANT/SEED to lose one by name, or name another folder"
        )
    joined = [run for run in folder.runs(new) if run.folder in done]
    if joined:
        check_versions(path, old.versions, new.versions)
    for run in joined:
        meant = run_id(plan.scenario(run.variant.name, run.seed, run.training))
        if run_of(run.folder / "scenario.yaml") != meant:
            raise InputError(
                f"--out {path}: its run of {run.variant.name!r} at seed {run.seed} had other settings, or files that "
                "held something else, than the sweep has now; undo the change, name another folder, or add "
                f"--overwrite {run.variant.name!r}"
            )


def check_versions(path: Path, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """InputError where the runs of a folder were made by other versions than those that would go on with them."""
    changed = [name for name in new if old.get(name) != new[name]]
    if changed:
        was = ", ".join(f"{name} {old.get(name, 'unknown')}, now {new[name]}" for name in changed[:3])
        raise InputError(f"--resume: {path} was made by other versions ({was}); begin anew in another --out")


def _clean(folder: ExperimentFolder) -> None:
    """Take away what unfinished and failed runs left, and files that were being written."""
    for place in (folder.path / "runs").glob("*/*"):
        if place.is_dir() and not is_finished(place):
            remove_failed(place)
    for variant in (folder.path / "runs").glob("*"):
        with suppress(OSError):
            variant.rmdir()  # an empty one
    remove_half_written(folder.path)


def remove_failed(place: Path) -> None:
    """Take away what a run that was broken off, or failed, left in its folder."""
    (place / FAILURE).unlink(missing_ok=True)
    remove_run(place)


def write_failure(folder: Path, error: str, details: str) -> None:
    """failure.json of a run, instead of what it had written."""
    remove_failed(folder)
    with atomic_path(folder / FAILURE) as path:
        path.write_text(json.dumps({"error": error, "details": details}, indent=2) + "\n", encoding="utf-8")
