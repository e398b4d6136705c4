"""Runs the cases of the speed suite, each in a process of its own, and says which were left out and why."""

from collections.abc import Sequence
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import available_bytes
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.benchmark.cases import Case
from fleetrec.simulator.benchmark.record import FILE, FORMAT, Figures, SuiteRecord, read_record, this_machine
from fleetrec.simulator.parallel.processes import WorkerProcess

_RUNNER = "fleetrec.simulator.benchmark.runner"  # looked up by those who measure, since it imports PyTorch


def run_suite(cases: Sequence[Case], max_devices: int, folder: Path, progress: Progress, keep: bool) -> SuiteRecord:
    """Measure the cases that have at most `max_devices` devices and that memory holds; bench.json of `folder` is
    written anew after each.

    `keep`: other cases that the file holds stay. InputError where they are of another machine, or it is no such file.
    """
    record = _kept(folder) if keep else None
    record = record or SuiteRecord(format=FORMAT, machine=this_machine())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"--out {folder}: is a file; name a folder") from None
    with progress.task("bench suite", len(cases)) as task:
        for case in cases:
            task.advance(0, case.name)
            found = _why_not(case, max_devices) or _measured(case)
            record = record.replaced(case, found)
            record.write(folder)
            task.advance()
    return record


def _kept(folder: Path) -> SuiteRecord | None:
    path = folder / FILE
    if not path.exists():
        return None
    record = read_record(path)
    if record.machine != this_machine():
        raise InputError(f"{path}: was measured on another machine or with other versions; name another folder (--out)")
    return record


def _why_not(case: Case, max_devices: int) -> str:
    if case.devices > max_devices:
        return f"more than {max_devices:,} devices; see --max-devices"
    free = available_bytes()
    if free is not None and case.needed_bytes > free:
        return f"takes about {case.needed_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    return ""


def _measured(case: Case) -> Figures | str:
    """The figures, or why there are none."""
    worker = WorkerProcess(_RUNNER, "Runner", leads=True)
    try:
        worker.give(case)
        found: Figures | str | None = worker.take()
        return f"its process ended: {worker.exit_reason('devices (--max-devices)')}" if found is None else found
    finally:
        worker.end()
