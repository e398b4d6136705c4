"""What a folder holds: one run, or several that are compared."""

from pathlib import Path
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.records.run_manifest import MANIFEST


def folder_kind(folder: Path) -> Literal["run", "experiment", "rehearsal"]:
    """By the files that the commands which make folders leave; InputError where none is there."""
    if (folder / "experiment.json").is_file() or (folder / "comparison.json").is_file():
        return "experiment"
    if (folder / "rehearsal.json").is_file():
        return "rehearsal"
    if (folder / "summary.json").is_file():
        return "run"
    if (folder / MANIFEST).is_file():
        raise InputError(f"{folder}: holds a run that was broken off before it was whole; run the scenario again")
    what = "not the folder of a run, a sweep, an optimisation, a policy comparison or a rehearsal"
    raise InputError(f"{folder}: {what if folder.is_dir() else 'no such folder'}; give the --out of one")
