"""What `data describe`, `data check-table` and `evaluate` print."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fleetrec.reports.terminal.parts import cell, new_table, print_tree, write_line, write_notes
from fleetrec.reports.terminal.text import escape

if TYPE_CHECKING:
    pass


def print_describe(described: Mapping[str, Any], console: Console) -> None:
    """What an interaction log holds, section by section; what was assumed while reading comes last, a line each."""
    print_tree({key: value for key, value in described.items() if key not in ("notes", "read")}, console)
    if described.get("read"):
        write_line(console, "as it was read", "bold")
        told = dict(described["read"])
        rows = told.pop("first_rows")
        print_tree(told, console)
        for place, row in enumerate(rows, start=1):
            write_line(console, f"row {place}: {row}")
    for one in described["notes"]:
        write_line(console, f"note: {one['text']}")


def print_check_table(checked: Mapping[str, Any], console: Console) -> None:
    """What a table of LLM answers holds; its verdict comes first."""
    if "verdict" in checked:
        write_line(console, str(checked["verdict"]), "bold")
        write_line(console, "")
    print_tree({key: value for key, value in checked.items() if key != "verdict"}, console)


def print_evaluation(figures: Mapping[str, Any], console: Console) -> None:
    """The SRM and the LLM, then the baselines, then what others have published, one line each; the protocol below."""
    write_line(console, f"{figures['data']}: {figures['users']:,} users, {figures['items']:,} items", "bold")
    keys = [key for key in figures["srm"] if key.startswith(("hr@", "ndcg@"))]
    table = new_table(console, ["", *(key.upper() for key in keys)])
    rows = {f"{name.upper()} ({figures['models'][name]})": figures[name] for name in ("srm", "llm")}
    rows |= {f"baseline {name}": values for name, values in figures["baselines"].items()}
    rows |= {f"published: {one['model']} [{place}]": one for place, one in enumerate(figures["published"], start=1)}
    for name, values in rows.items():
        table.add_row(escape(name), *(cell(key, values[key]) if key in values else "" for key in keys))
    console.print(table)
    for place, one in enumerate(figures["published"], start=1):
        write_line(console, f"[{place}] {one['source']}" + (f"; {one['note']}" if one["note"] else ""), "dim")
    write_line(console, f"protocol: {figures['protocol']}")
    write_notes(figures, console, caveat=False)
