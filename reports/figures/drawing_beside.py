"""The figures and the page of a folder of runs, by this process and, where there is a second core, another one."""

from pathlib import Path
from types import TracebackType
from typing import Self

from fleetrec.models.runtime.cores import available_cores
from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.folder_kind import folder_kind
from fleetrec.reports.figures import experiment_figures
from fleetrec.reports.html import write_report
from fleetrec.simulator.parallel.processes import WorkerProcess

_THEIRS, _OURS = slice(0, 10), slice(10, None)
"""of the charts of an experiment, some 16, which take about as long as four of them and the page"""


class DrawingBeside:
    """While a `with` block lasts, in which `finish` draws an experiment sooner where `start` came before."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def start(self) -> None:
        """Have the other process load what draws: it takes a second."""
        if self._worker is None and available_cores() > 1:
            self._worker = WorkerProcess(__name__, "Drawer")

    def finish(self, folder: Path) -> tuple[Path, list[Path]]:
        """Write the page and all figures: their paths. InputError where the folder holds nothing that can be drawn,
        OSError where it is full."""
        if folder_kind(folder) == "experiment":
            self.start()
        if self._worker is None:
            return write_report(folder), experiment_figures.draw_figures(folder)
        self._worker.give(folder)
        page, ours = write_report(folder), experiment_figures.draw_figures(folder, _OURS)
        drawn: list[Path] | InputError | OSError | None = self._worker.take()
        if isinstance(drawn, Exception):
            raise drawn
        return page, [*(experiment_figures.draw_figures(folder, _THEIRS) if drawn is None else drawn), *ours]


class Drawer:
    """Draws its share, in the other process."""

    def do(self, folder: Path) -> list[Path] | InputError | OSError:
        """The paths, or what a user can mend."""
        try:
            return experiment_figures.draw_figures(folder, _THEIRS)
        except (InputError, OSError) as error:
            return error
