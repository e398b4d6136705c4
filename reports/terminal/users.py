"""What `users` prints: how fitted users compare with held-out ones, and what is assumed of them."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.terminal.parts import new_table, write_line

_NAMES = {
    "popularity": "popularity rank of what they choose",
    "repeats": "share of what they had before",
    "session_length_after_others": "interactions a session, by others' pauses",
    "gap_after_others": "gap (s), by others' pauses",
    "session_length_after_self": "interactions a session, by own pauses",
    "gap_after_self": "gap (s), by own pauses",
}


def print_users(figures: Mapping[str, Any], console: Console) -> None:
    """A row for each distribution: its KS distance, that of other users, and the means."""
    users, choices = f"{figures['held_out_users']:,}", f"{figures['held_out_choices']:,}"
    write_line(
        console, f"{figures['log']}: fitted users beside {users} held-out ones and their {choices} choices", "bold"
    )
    table = new_table(console, ("", "KS", "KS of other users", "mean", "of held-out users"))
    for row in figures["compared"]:
        means = number_text(row["model_mean"]), number_text(row["held_out_mean"])
        table.add_row(_NAMES[row["what"]], f"{row['ks']:.3f}", f"{row['between_users']:.3f}", *means)
    console.print(table)
    write_line(console, f"split: {figures['split']}")
    for held in figures["notes"]:
        write_line(console, f"note: {held['text']}", "dim")
