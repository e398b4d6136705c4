"""How long work tells that it goes on: a tiny protocol, a silent one, and one that draws bars on a terminal."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichBars


class Task(Protocol):
    """One piece of work under way."""

    def advance(self, n: float = 1, note: str = "") -> None:
        """`n` more units are done; `note` (a loss, a score) replaces the last one where it is not empty."""
        ...


class Progress(Protocol):
    """Whoever shows progress."""

    def task(self, name: str, total: float) -> AbstractContextManager[Task]:
        """A task of `total` units, shown until its block ends."""
        ...


class _SilentTask:
    def advance(self, n: float = 1, note: str = "") -> None:
        """Says nothing."""


class NullProgress:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        yield _SilentTask()


class _RichTask:
    def __init__(self, bars: RichBars, name: str, total: float):
        self._bars = bars
        self._id = bars.add_task(name, total=total, note="")

    def advance(self, n: float = 1, note: str = "") -> None:
        """Moves the bar."""
        if note:
            self._bars.update(self._id, note=note)
        self._bars.advance(self._id, n)


class RichProgress:
    """Bars on standard error while it is a terminal; silent otherwise. Tasks do not nest."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)

    @contextmanager
    def task(self, name: str, total: float) -> Iterator[Task]:
        if not self._console.is_terminal:
            yield _SilentTask()
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with RichBars(*columns, console=self._console, transient=True) as bars:
            yield _RichTask(bars, name, total)
