"""What `offpolicy` prints: a row for each policy, the doubly robust estimate last, and what is to be doubted."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.reports.terminal.parts import new_table, write_line
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.results.sentences import signed

_HEADS = ("clicks per item shown", "ips", "snips", "dr", "click model", "support", "rows")


def print_off_policy(figures: Mapping[str, Any], console: Console) -> None:
    """What each policy would gain, then all estimates with their 95% intervals over users; doubts come last."""
    rows, users, items = (f"{figures[key]:,}" for key in ("rows", "users", "items"))
    write_line(console, f"{figures['log']}: {rows} rows shown, {users} users, {items} items", "bold")
    for one in figures["policies"]:
        gain = one["gain"]
        told = f"{signed(gain['value'])} ({signed(gain['low'])} to {signed(gain['high'])}) clicks per item shown"
        write_line(console, f"{one['policy']}: {told} against the log's own policy, doubly robust")
    table = new_table(console, _HEADS)
    table.add_row("the log's own policy", *[_estimate(figures["logged"])] * 3, "", "", rows)
    for one in figures["policies"]:
        estimates = [_estimate(one[key]) for key in ("ips", "snips", "dr")]
        last = (f"{one['click_model']:.4f}", f"{one['support']:.1%}", f"{one['effective_rows']:,.0f}")
        table.add_row(escape(one["policy"]), *estimates, *last)
    console.print(table)
    write_line(console, "±: half a 95% interval; rows: as many shown by the policy itself would say as much", "dim")
    examined = ", ".join(f"{value:.2f}" for value in figures["examination"][:20])
    law = f"; about as position^-{figures['examination_falls_by']:.2f} (workload.users.examination)"
    several = len(figures["examination"]) > 1
    write_line(console, f"how often positions are examined, from 1 on: {examined}{law if several else ''}")
    for held in figures["notes"]:
        write_line(console, f"note: {held['text']}", "dim")


def _estimate(held: Mapping[str, float]) -> str:
    return f"{held['value']:.4f} ±{(held['high'] - held['low']) / 2:.4f}"
