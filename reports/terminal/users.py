"""What `users` prints: how fitted users compare with held-out ones, and what is assumed of them."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.reports.data.metric_names import FIT
from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.terminal.parts import new_table, write_line


def print_users(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each distribution: its KS distance, that of other users, and the means."""
    users, choices = f"{figures['held_out_users']:,}", f"{figures['held_out_choices']:,}"
    write_line(
        console, f"{figures['log']}: fitted users beside {users} held-out ones and their {choices} choices", "bold"
    )
    table = new_table(console, ("", "KS", "KS of other users", "mean", "of held-out users", "of other users"))
    for row in figures["compared"]:
        means = (number_text(row[f"{whose}_mean"]) for whose in ("model", "held_out", "others"))
        table.add_row(FIT[row["what"]], f"{row['ks']:.3f}", f"{row['between_users']:.3f}", *means)
    console.print(table)
    write_line(console, f"split: {figures['split']}")
    for held in figures["notes"]:
        write_line(console, f"note: {held['text']}", "dim")
