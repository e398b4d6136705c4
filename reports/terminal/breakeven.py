"""What `breakeven` found, in the terminal: a sentence and two tables a policy."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.reports.data.quantities import dollars_text, number_text
from fleetrec.reports.terminal.parts import new_table, write_line, write_notes
from fleetrec.reports.terminal.text import escape

_ROWS = 9  # fleets that are shown, of those that were looked at


def print_breakeven(found: Mapping[str, Any], console: Console) -> None:
    """Dollars a month by fleet and way, with what 1,000 interactions cost, and where one way comes to cost less."""
    ways = found["ways"]
    for policy in found["policies"]:
        write_line(console, f"{policy['policy']}: {policy['sentence']}", "bold")
        write_line(console, _gain(policy))
        table = new_table(console, ["devices", *(ways[way] for way in policy["ways"])], left=0)
        fleets = found["fleets"]
        step = max(-(-(len(fleets) - 1) // (_ROWS - 1)), 1)
        for place in sorted({*range(0, len(fleets), step), len(fleets) - 1}):
            rows = (rows[place] for rows in policy["ways"].values())
            table.add_row(f"{fleets[place]:,}", *(escape(_dollars(row)) for row in rows))
        console.print(table)
        for at in policy["crossings"]:
            low, high = at["low"] or None, at["high"]
            ends = f"{_fleet(low) if low else 'the smallest'} to {_fleet(high) if high else 'beyond the largest'}"
            cheaper, than = ways[at["cheaper"]], ways[at["than"]]
            write_line(console, f"{cheaper}: less than {than} from {_fleet(at['fleet'])} devices on (95%: {ends})")
        write_line(console, "")
    write_line(console, "USD a month, and per 1,000 interactions in brackets", "dim")
    write_notes(found, console)


def _gain(policy: Mapping[str, Any]) -> str:
    metric = policy["metric"]
    texts = []
    for kind, accuracy in policy["accuracy"].items():
        gain = accuracy["gain_over_srm"]
        ends = ", ".join(f"{gain[name]:+.4f}" for name in ("low", "high")) if gain["low"] is not None else "n/a"
        texts.append(
            f"{metric.upper()} {accuracy[metric]:.4f} on {kind}, {gain['mean']:+.4f} ({ends}) over the SRM alone"
        )
    return "; ".join(texts)


def _dollars(row: Mapping[str, Any]) -> str:
    usd = row["usd_per_month"]
    if usd is None:
        return "n/a"
    return f"{dollars_text(usd)} ({dollars_text(row['usd_per_1k_interactions'])})"


def _fleet(devices: float) -> str:
    return number_text(devices)
