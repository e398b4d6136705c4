"""Reports as one self-contained HTML file, from what a run, an experiment or a rehearsal wrote."""

from pathlib import Path

from fleetrec.reports.data.folder_kind import folder_kind
from fleetrec.reports.html.experiment_page import write_experiment_page
from fleetrec.reports.html.rehearsal_page import write_rehearsal_page
from fleetrec.reports.html.run_page import write_run_page
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.experiments.folders import currency_of
from fleetrec.simulator.records.run_manifest import edits_told


def write_report(folder: Path) -> Path:
    """Write `report.html` of a folder that `simulate`, `sweep`, `optimize`, `compare-policies` or `rehearse` wrote; its
    path.

    InputError where the folder is none of these, or a file of it is missing or damaged.
    """
    with edits_told(folder), told_in(currency_of(folder)):
        write = {"run": write_run_page, "experiment": write_experiment_page, "rehearsal": write_rehearsal_page}
        return write[folder_kind(folder)](folder)
