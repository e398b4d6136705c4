"""What `decide` prints: one sentence, a table of policies with their month, and what the answer hangs on."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.charts.decision_charts import value_text
from fleetrec.reports.data.decision import rival_of
from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.terminal.parts import new_table, write_line, write_notes
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.money import currency, told_in
from fleetrec.simulator.results.engagement import metric_words, priced_in
from fleetrec.simulator.results.sentences import money, signed
from fleetrec.simulator.scenario.sections import Currency

_MOST = 12
_ENERGY = (
    ("phones", "device_joules_per_month", "J"),
    ("cloud, idle or not", "gpu_joules_per_month", "J"),
    ("carbon", "gco2_per_month", "gCO2"),
)


def print_decision(decision: Mapping[str, Any], console: Console) -> None:
    """decision: what decision.json holds."""
    with told_in(Currency(**decision["currency"])):
        _print(decision, console)


def _print(decision: Mapping[str, Any], console: Console) -> None:
    write_line(console, str(decision["sentence"]), "bold")
    write_line(console, "")
    worth = decision["value"]["worth_usd"]
    metric, rival = metric_words(decision["metric"]), rival_of(decision).removeprefix("the ")
    priced = priced_in(decision["metric"]).removesuffix(" over 1,000 interactions")
    last = "left\na month" if worth is not None else f"pays from {currency().sign.strip()}\nfor {priced}"
    heads = (
        "policy",
        f"{metric} over\n{rival}, 95%",
        "a month\n95%",
        "per 1,000\ninteractions",
        last,
    )
    table = new_table(console, heads)
    shown = _most(decision)
    for row in shown:
        gain, month, pays = row["gain_over_srm"] or row["gain_over_best"], row["usd_per_month"], row["pays_from_usd"]
        end = money(row["net_usd_per_month"]["mean"]) if worth is not None else _pays(pays)
        table.add_row(
            escape(row["policy"]) + (" *" if row["shown"] else ""),
            f"{signed(gain['mean'])}\n{_ends(gain, signed)}",
            f"{money(month['mean'])}\n{_ends(month, money)}",
            money(row["usd_per_1k_interactions"]["mean"]),
            end,
        )
    console.print(table)
    if len(shown) < len(decision["policies"]):
        write_line(
            console, f"{counted(len(decision['policies']) - len(shown), 'more policy', 'more policies')}: decision.json"
        )
    own = next(row for row in decision["policies"] if row["policy"] == decision["policy"])
    used = [
        f"{name} {'unknown' if own[key] is None else f'{number_text(own[key])} {unit}'}" for name, key, unit in _ENERGY
    ]
    write_line(console, f"a month of '{own['policy']}': {', '.join(used)}")
    ways = [(one["name"], one["usd_per_month"]["mean"]) for one in decision.get("ways") or ()]
    if ways:
        told = [f"{name} {'too slow' if usd is None else money(usd)}" for name, usd in ways]
        write_line(console, f"served by: {', '.join(told)}")
    write_line(console, "")
    if decision["axes"]:
        table = new_table(console, ("hangs on", "values tried", "value, from", "to", "turns at"), left=2)
        for axis in decision["axes"]:
            values = sorted(point["value"]["mean"] for point in axis["points"])
            names = [point["name"].removeprefix(f"{axis['base']}, ") for point in axis["points"]]
            names = [name.split(": ", 1)[-1] for name in names if name != axis["base"]]
            ends = [value_text(decision, value) for value in (values[0], values[-1])]
            tried = f"{names[0]} ... {names[-1]}" if len(names) > 2 else ", ".join(names)
            table.add_row(escape(axis["axis"]), escape(tried), *ends, escape(axis["turns_at"] or "nothing tried"))
        console.print(table)
    said = [
        decision["value"]["taken"],
        "*: shown to add value to all that needs no cloud, with 95% for all policies at once",
    ]
    write_notes(decision, console, said=said)


def _most(decision: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The policies that fit a screen: the chosen one, and of the others those that leave, or add, most."""

    def rank(row: Mapping[str, Any]) -> tuple[bool, float]:
        return row["policy"] != decision["policy"], -row.get("net_usd_per_month", row["gain_over_best"])["mean"]

    kept = sorted(decision["policies"], key=rank)[:_MOST]
    return [row for row in decision["policies"] if row in kept]


def _pays(pays: Mapping[str, Any] | None) -> str:
    return "" if pays is None else "never" if pays["mean"] is None else money(pays["mean"])


def _ends(held: Mapping[str, Any], words: Any) -> str:
    ends = (held.get("low"), held.get("high"))
    return "" if None in ends else f"{words(ends[0])} to {words(ends[1])}"
