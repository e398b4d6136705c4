"""Lines, tables and notes as commands print them: at most 100 columns wide, plain where the output is no terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fleetrec.reports.data.notes import caveat_of, texts_but
from fleetrec.reports.data.quantities import number_text, seconds_text
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.notes import ENGAGEMENT, PREDICTION
from fleetrec.simulator.results.sentences import money

WIDTH = 100


def console_for(stderr: bool = False) -> Console:
    """A console of at most 100 columns, on standard error where standard output is kept for JSON."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    return console


def write_line(console: Console, text: str, style: str = "") -> None:
    """A line of plain words, which wraps; styled on a terminal alone."""
    console.print(escape(text), style=style if console.is_terminal else "", overflow="fold")


def new_table(console: Console, heads: Sequence[str], left: int = 1, heads_shown: bool = True) -> Table:
    """An empty table whose first `left` columns are words and the others figures."""
    fancy = console.is_terminal
    table = Table(box=box.SIMPLE_HEAD if fancy and heads_shown else None, show_header=heads_shown, pad_edge=False)
    table.padding = (0, 2 if console.width >= WIDTH else 1, 0, 0)
    for i, head in enumerate(heads):
        words = i < left  # words may wrap; a figure never does
        table.add_column(head, justify="left" if words else "right", overflow="fold", no_wrap=not words)
    return table


def write_notes(held: Mapping[str, Any], console: Console, caveat: bool = True, said: Sequence[str] = ()) -> None:
    """What is `said`, then the notes held, a line each; last the caveat of what is measured."""
    for text in (*said, *texts_but(held, PREDICTION, ENGAGEMENT), *([caveat_of(held)] if caveat else [])):
        write_line(console, f"note: {text}", "dim")


def cell(key: str, value: Any) -> str:
    """A figure as the name of its key asks: shares in percent, times with a unit, accuracies to four places."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if key.endswith("_s"):
        return seconds_text(value)
    if key in ("utilization", "share", "coverage") or key.endswith(("_share", "_coverage")):
        return f"{value:.1%}"
    if "@" in key or key in ("accuracy", "half_width"):
        return f"{value:.4f}"
    if key == "cost" or key.startswith("usd"):
        return money(value)
    return number_text(value)


def print_tree(tree: Mapping[str, Any], console: Console) -> None:
    """Nested mappings as two columns, a sub-mapping indented under its name."""
    table = new_table(console, ("", ""), left=2, heads_shown=False)

    def add(mapping: Mapping[str, Any], depth: int) -> None:
        for key, value in mapping.items():
            name = "  " * depth + str(key).replace("_", " ")
            if isinstance(value, Mapping):
                table.add_row(escape(name), "" if value else "none")
                add(value, depth + 1)
            elif isinstance(value, list | tuple):
                table.add_row(escape(name), escape(", ".join(cell(str(key), item) for item in value) or "none"))
            else:
                table.add_row(escape(name), escape(cell(str(key), value)))

    add(tree, 0)
    console.print(table)
