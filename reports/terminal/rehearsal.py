"""What `rehearse` prints."""

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.reports.data.quantities import seconds_text
from fleetrec.reports.terminal.parts import new_table, write_line, write_notes
from fleetrec.simulator.experiments.rehearsal.sentences import effect_text, headline, sender_text
from fleetrec.simulator.results.sentences import signed_share

TIMES = (("ttft", "time to first token"), ("tpot", "per output token"), ("latency", "latency"))
SOURCES = (("guess", "scenario's guess"), ("profile", "fitted profile"))


def print_rehearsal(summary: Mapping[str, Any], console: Console) -> None:
    """Measured beside simulated on the requests that judge, then what is to be known."""
    write_line(console, headline(summary), "bold")
    if (effect := effect_text(summary)) is not None:
        write_line(console, effect)
    write_line(console, sender_text(summary))
    write_line(console, "")
    part = "second" if "second" in summary["times_s"] else "all"
    times, errors = summary["times_s"][part], summary["errors"][part]
    shown = [(key, name) for key, name in SOURCES if key in times]
    table = new_table(console, ("", "", "measured", *(name for _, name in shown)))
    for key, name in TIMES:
        for at in ("p50", "p95", "p99"):
            measured = times["measured"].get(key, {}).get(at, math.nan)
            cells = [
                f"{seconds_text(times[source].get(key, {}).get(at, math.nan))} {_off(errors[source], f'{key}_{at}')}"
                for source, _ in shown
            ]
            table.add_row(name, at, seconds_text(measured), *cells)
    console.print(table)
    write_notes(summary, console, caveat=False)


def _off(errors: Mapping[str, float], name: str) -> str:
    return f"({signed_share(errors[name])})" if errors.get(name) is not None else ""
