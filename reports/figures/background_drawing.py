"""A run's figures and page, drawn by two processes, for which a third loads the drawing libraries and draws once, while
the run goes.

On one core the process of the run draws itself, as it does for a drawing process that is lost.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from fleetrec.models.runtime.cores import available_cores
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.parallel.processes import WorkerProcess, load_beside

_DRAWER = "fleetrec.reports.figures.draw_worker"  # looked up by those who draw, since it imports Matplotlib
_DRAWN_ONCE = "fleetrec.reports.figures.drawn_once"  # the same, and has drawn once


@dataclass(frozen=True)
class Sheet:
    """What is drawn in one go: figures of the run in `folder`, by name, and its page."""

    folder: Path
    figures: tuple[str, ...]
    page: bool = False

    @property
    def paths(self) -> list[Path]:
        """The files that it becomes."""
        figures = [self.folder / "figures" / f"{name}.png" for name in self.figures]
        return [*figures, *([self.folder / "report.html"] if self.page else [])]


class Drawing:
    """Draws one run while a `with` block lasts, in which `begin` comes before `finish`."""

    def __init__(self, processes: int | None = None):
        """`processes`: how many draw beside this one; by default two, none on one core."""
        self._processes = (2 if available_cores() > 1 else 0) if processes is None else processes
        self._workers: list[WorkerProcess] = []
        self._pending: list[tuple[WorkerProcess | None, Sheet]] = []

    def __enter__(self) -> Self:
        if self._processes:
            load_beside(_DRAWN_ONCE)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.end()
        self._workers = []

    def begin(self, folder: Path) -> None:
        """Have the run in `folder` drawn."""
        self._workers = workers = [WorkerProcess(_DRAWER, "Drawer", loaded=True) for _ in range(self._processes)]
        sheets = [
            Sheet(folder, ("accuracy_over_time", "freshness_and_rank")),
            Sheet(folder, ("latency", "cost"), page=True),
        ]
        for number, sheet in enumerate(sheets):
            worker = workers[number % len(workers)] if workers else None
            if worker is not None:
                worker.give(sheet)
            self._pending.append((worker, sheet))

    def finish(self) -> list[Path]:
        """What was drawn, once all is. InputError where the folder is not a whole run, OSError where it is full."""
        for worker, sheet in self._pending:
            outcome: InputError | OSError | str | None = worker.take() if worker is not None else None
            if outcome is None:
                outcome = import_module(_DRAWER).Drawer().do(sheet)
            if isinstance(outcome, Exception):
                raise outcome
        drawn = [path for _, sheet in self._pending for path in sheet.paths]
        self._pending = []
        return drawn
