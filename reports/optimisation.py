"""The answer of an optimisation on a terminal."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_front(answer: dict[str, Any], console: Console) -> None:
    """Headline, the front from the cheapest point on, and what to keep in mind."""
    console.print(answer["headline"], highlight=False, markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("front", answer["metric"], answer["cost"], ""):
        table.add_column(heading, justify="left" if heading in ("front", "") else "right")
    marks = {answer["winner"]: "winner", answer["knee"]: "knee"}
    for point in answer["frontier"]:
        table.add_row(point["variant"], f"{point['y']:.4f}", f"{point['x']:.4g}", marks.get(point["variant"], ""))
    console.print()
    console.print(table)
    console.print()
    for note in answer["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)
