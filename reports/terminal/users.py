"""What `users` prints: how fitted users compare with held-out ones, and what is assumed of them."""

from collections.abc import Mapping, Sequence
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
    for row in figures["compared"]:
        if "by_worth" in row:
            write_line(console, _by_worth(row["by_worth"]))
    write_line(console, f"split: {figures['split']}")
    for held in figures["notes"]:
        write_line(console, f"note: {held['text']}", "dim")


def _by_worth(fifths: Sequence[Mapping[str, float]]) -> str:
    """How often nothing is taken of screens that are worth little, and of those that are worth much."""
    model, did = (", ".join(f"{one[whose]:.0%}" for one in fifths) for whose in ("model", "held_out"))
    return (
        f"nothing is taken, from the fifth of screens that are worth least to that worth most: {did} by them, {model} "
        "by the model"
    )
