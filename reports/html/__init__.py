"""Reports as one self-contained HTML file, from what a run, a sweep, an optimisation or a comparison wrote."""

from pathlib import Path

from models.errors import InputError


def write_report(folder: Path) -> Path:
    """Write `report.html` of a folder that `simulate`, `sweep`, `optimize` or `compare-policies` wrote; its path.

    InputError where the folder is none of these, or a file of it is missing or damaged.
    """
    if (folder / "experiment.json").is_file() or (folder / "comparison.json").is_file():
        from reports.html.experiment_page import write_experiment_page

        return write_experiment_page(folder)
    if (folder / "summary.json").is_file():
        from reports.html.run_page import write_run_page

        return write_run_page(folder)
    raise InputError(
        f"{folder}: not the folder of a run, a sweep, an optimisation or a policy comparison; give the --out of one"
    )
