"""How long work tells that it goes on: a tiny protocol, a silent one, a live view on a terminal, lines elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

SHOWN_AFTER_S = 2.0
"""work that is done sooner shows nothing"""
FIRST_LINE_S = 10.0
"""where standard error is no terminal, work tells after so long how far it is, then each time it has taken twice as
long"""
LINE_EVERY_S = 60.0
"""and at least this often"""
_REFRESHES_PER_S = 2.0
_BAR_WIDTH = 40


class Task(Protocol):
    """One piece of work under way."""

    @property
    def watched(self) -> bool:
        """Whether figures would be seen now: where they would not, nobody need compute them."""
        ...

    def advance(self, n: float = 1, note: str = "") -> None:
        """`n` more units are done; `note` (a loss, a score) replaces the last one where it is not empty."""
        ...

    def show(self, figures: Mapping[str, str]) -> None:
        """Figures of the moment, by name: they take the place of those before."""
        ...


class Progress(Protocol):
    """Whoever shows progress."""

    def task(self, name: str, total: float, at_most: bool = False) -> AbstractContextManager[Task]:
        """A task of `total` units, shown until its block ends; `at_most`: it may end before."""
        ...


class _SilentTask:
    watched = False

    def advance(self, n: float = 1, note: str = "") -> None:
        """Says nothing."""

    def show(self, figures: Mapping[str, str]) -> None:
        """Says nothing."""


class NullProgress:
    """Shows nothing."""

    @contextmanager
    def task(self, name: str, total: float, at_most: bool = False) -> Iterator[Task]:
        yield _SilentTask()


class LiveView:
    """One task as a few lines on a terminal: a bar, units done, how many a second, time left, figures of the moment.

    It appears once the task has gone on for SHOWN_AFTER_S, and goes when the task ends. A thread redraws it from what
    it was last told; the work itself is never looked at.
    """

    def __init__(
        self,
        console: Console,
        name: str,
        total: float,
        clock: Callable[[], float] = time.monotonic,
        at_most: bool = False,
    ):
        self._console, self._name, self._total, self._clock = console, name, total, clock
        self._most = "at most " if at_most else ""
        self._begun_s = clock()
        self._done = 0.0
        self._note = ""
        self._figures: Mapping[str, str] = {}
        self._live: Live | None = None

    @property
    def watched(self) -> bool:
        """See Task."""
        return self._clock() - self._begun_s >= SHOWN_AFTER_S

    def advance(self, n: float = 1, note: str = "") -> None:
        """See Task."""
        self._done += n
        self._note = note or self._note
        self._appear()

    def show(self, figures: Mapping[str, str]) -> None:
        """See Task."""
        self._figures = figures
        self._appear()

    def end(self) -> None:
        """Take it away."""
        if self._live is not None:
            self._live.stop()

    def _appear(self) -> None:
        if self._live is None and self.watched:
            self._live = Live(
                get_renderable=self.__rich__,
                console=self._console,
                refresh_per_second=_REFRESHES_PER_S,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def __rich__(self) -> RenderableType:
        elapsed_s = self._clock() - self._begun_s
        rate = self._done / elapsed_s if elapsed_s > 0 else 0.0
        line = Table.grid(padding=(0, 1))
        parts = [f"{self._done:,.0f}/{self._total:,.0f}"]
        if self._done:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            parts.append(f"{self._most}{in_words((self._total - self._done) / rate)} left")
        parts += [self._note] if self._note else []
        bar = ProgressBar(total=max(self._total, 1), completed=min(self._done, self._total), width=_BAR_WIDTH)
        line.add_row(Text(self._name), bar, Text("  ".join(parts)))
        if not self._figures:
            return line
        return Group(line, Text("  ".join(f"{name} {value}" for name, value in self._figures.items())))


class Lines:
    """One task where nobody sees a live view: lines of how far it is and how long it takes, early ones soon, then one a
    minute."""

    watched = False

    def __init__(
        self,
        file: IO[str],
        name: str,
        total: float,
        clock: Callable[[], float] = time.monotonic,
        at_most: bool = False,
    ):
        self._file, self._name, self._total, self._clock = file, name, total, clock
        self._most = "at most " if at_most else ""
        self._begun_s = clock()
        self._due_s = self._begun_s + FIRST_LINE_S
        self._done = 0.0
        self._note = ""

    def advance(self, n: float = 1, note: str = "") -> None:
        """See Task."""
        self._done += n
        self._note = note or self._note
        now = self._clock()
        if now < self._due_s:
            return
        self._due_s = now + min(now - self._begun_s, LINE_EVERY_S)
        left_s = (self._total - self._done) * (now - self._begun_s) / self._done if self._done else math.inf
        left = f", {self._most}{in_words(left_s)} left" if math.isfinite(left_s) else ""
        told = f"{self._name}: {self._done:,.0f}/{self._total:,.0f}{left}{f', {self._note}' if self._note else ''}"
        print(told, file=self._file, flush=True)

    def show(self, figures: Mapping[str, str]) -> None:
        """Says nothing: figures of the moment are for a live view."""


def in_words(seconds: float) -> str:
    """A time in two places: `41 s`, `3 min 20 s`, `5 h 07 min`, `2 d 3 h`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


class RichProgress:
    """Live views on standard error while it is a terminal; lines otherwise. Tasks do not nest."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)

    @contextmanager
    def task(self, name: str, total: float, at_most: bool = False) -> Iterator[Task]:
        if not self._console.is_terminal:
            yield Lines(self._console.file, name, total, at_most=at_most)
            return
        view = LiveView(self._console, name, total, at_most=at_most)
        try:
            yield view
        finally:
            view.end()
