"""What `bench --suite` prints: a line a case, what was left out, and how two runs differ."""

from rich.console import Console

from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.terminal.parts import new_table, write_line
from fleetrec.simulator.benchmark.cases import BASE
from fleetrec.simulator.benchmark.compare import Changes
from fleetrec.simulator.benchmark.record import SuiteRecord

_HEADS = (
    "case",
    "SRM",
    "devices",
    "interactions\na second",
    "µs\neach",
    "processor\nµs each",
    f"times\n{BASE.name}",
    "times\nnaive",
    "times\nfloor",
    "peak\nGB",
)


def print_suite(record: SuiteRecord, console: Console) -> None:
    """One line a case; what a case costs against the middle one is per interaction."""
    write_line(console, str(record.machine), "bold")
    write_line(console, "")
    base_us = next((found.figures.us for found in record.measured if found.case == BASE), None)
    table = new_table(console, _HEADS, left=2)
    for found in record.measured:
        case, figures = found.case, found.figures
        table.add_row(
            case.name,
            f"{case.srm} d={case.dim}",
            f"{case.devices:,}",
            number_text(figures.per_s),
            number_text(figures.us),
            number_text(figures.cpu_us),
            _times(figures.us / base_us if base_us else None),
            _times(figures.times_naive),
            _times(figures.times_floor),
            f"{figures.peak_rss_bytes / 1e9:.2f}",
        )
    console.print(table)
    for left in record.left_out:
        write_line(console, f"note: {left}", "dim")


def print_changes(changes: Changes, tolerance: float, console: Console) -> None:
    """One line a case that both runs have, new over old."""
    write_line(console, "")
    heads = ("case", "", "time", "processor\ntime", "time against\nnaive", "memory")
    table = new_table(console, heads, left=2)
    for change in changes.cases:
        ratios = (change.time, change.cpu, change.naive, change.memory)
        table.add_row(change.name, change.verdict, *map(_times, ratios))
    console.print(table)
    write_line(console, f"new over old, an interaction; a change is more than {tolerance:.0%}", "dim")
    for note in changes.notes:
        write_line(console, f"note: {note}", "dim")
    slower = changes.slower
    said = f"slower: {', '.join(slower)}" if slower else f"none of {len(changes.cases)} cases is slower"
    write_line(console, said, "bold")


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
