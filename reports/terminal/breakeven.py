"""What `breakeven` found, in the terminal: a sentence and two tables a policy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.terminal.parts import new_table, write_line, write_notes
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.money import currency, told_in
from fleetrec.simulator.results.sentences import money, signed
from fleetrec.simulator.scenario.sections import Currency

_ROWS = 9  # fleets that are shown, of those that were looked at
_HEADS = {
    "gpus": "own GPUs",
    "autoscaled": "autoscaled",
    "spot": "spot",
    "api": "API",
    "overflow": "both",
    "none": "none",
}


def print_breakeven(found: Mapping[str, Any], console: Console) -> None:
    """Dollars a month by fleet and way, with what 1,000 interactions cost, and where one way comes to cost less."""
    with told_in(Currency(**found["currency"])):
        _print(found, console)


def _print(found: Mapping[str, Any], console: Console) -> None:
    ways = found["ways"]
    for policy in found["policies"]:
        write_line(console, f"{policy['policy']}: {policy['sentence']}", "bold")
        write_line(console, _gain(policy))
        for key, unit, words in _TABLES:
            write_line(console, "")
            _table(policy, found["fleets"], key, unit.format(currency=currency().code), words, console)
        write_line(console, "")
        for at in policy["crossings"]:
            low = number_text(at["low"]) if at["low"] else "the smallest"
            high = number_text(at["high"]) if at["high"] else "beyond the largest"
            cheaper, than = ways[at["cheaper"]], ways[at["than"]]
            since = f"from {number_text(at['fleet'])} devices on (95%: {low} to {high})"
            write_line(console, f"{cheaper}: less than {than} {since}")
        write_line(console, "")
    write_notes(found, console)


def _table(
    policy: Mapping[str, Any],
    fleets: Sequence[int],
    key: str,
    unit: str,
    words: Callable[[float | None], str],
    console: Console,
) -> None:
    """Some of the fleets, each a row."""
    table = new_table(console, [f"devices, {unit}", *(_HEADS[way] for way in policy["ways"])])
    step = max(-(-(len(fleets) - 1) // (_ROWS - 1)), 1)
    for place in sorted({*range(0, len(fleets), step), len(fleets) - 1}):
        values = (rows[place][key] for rows in policy["ways"].values())
        table.add_row(f"{fleets[place]:,}", *(escape(words(value)) for value in values))
    console.print(table)


def _money(usd: float | None) -> str:
    return "n/a" if usd is None else money(usd)


def _megajoules(joules: float | None) -> str:
    return "unknown" if joules is None else number_text(joules / 1e6)


_TABLES: Sequence[tuple[str, str, Callable[[float | None], str]]] = (
    ("usd_per_month", "{currency} a month", _money),
    ("usd_per_1k_interactions", "{currency} per 1,000 interactions", _money),
    ("gpu_joules_per_month", "MJ of the cloud a month", _megajoules),
)


def _gain(policy: Mapping[str, Any]) -> str:
    metric = policy["metric"]
    texts = []
    for kind, accuracy in policy["accuracy"].items():
        gain = accuracy["gain_over_srm"]
        if accuracy[metric] is None:
            texts.append(f"no {metric.upper()} on {kind}: there is no interaction")
            continue
        ends = ", ".join(signed(gain[name]) for name in ("low", "high")) if gain["low"] is not None else "n/a"
        texts.append(
            f"{metric.upper()} {accuracy[metric]:.4f} on {kind}, {signed(gain['mean'])} ({ends}) over the SRM alone"
        )
    return "; ".join(texts)
