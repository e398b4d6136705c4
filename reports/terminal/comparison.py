"""What `compare` prints: the answer, a line a variant, the same ratios where asked, which key matters, notes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console

from fleetrec.models.runtime.wording import counted, with_minus
from fleetrec.reports.data.metric_names import metric as figure
from fleetrec.reports.data.months import PER_MONTH
from fleetrec.reports.terminal.parts import new_table, write_line, write_notes
from fleetrec.reports.terminal.text import escape
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.experiments.comparison.decision import PER_MONTH as PROVISIONED_PER_MONTH
from fleetrec.simulator.experiments.comparison.sensitivity import LEAST_TOLD
from fleetrec.simulator.results.sentences import money

_MOST_ROWS = 30
_MOST_HINTS = 4


def print_comparison(
    table: pd.DataFrame, answer: Mapping[str, Any], console: Console, said: Sequence[str] = ()
) -> None:
    """table: comparisons.parquet; answer: answer.json; said: what else is to be noted.

    Beyond 30 variants only those on the front are shown, and those named.
    """
    write_line(console, str(answer["headline"]), "bold")
    write_line(console, "")
    metric, cost = answer["metric"], answer["cost"]
    on_front = {row["variant"]: row["probability_on_front"] for row in answer["frontier"]}
    rows = table[table["metric"] == metric].set_index("variant")
    costs = table[table["metric"] == cost].set_index("variant")
    shown = list(rows.index)
    if len(shown) > _MOST_ROWS:
        named = {*on_front, answer["baseline"], answer["winner"]}
        shown = [name for name in shown if name in named]
    a_month = PER_MONTH.get(cost, PROVISIONED_PER_MONTH)
    months = table[table["metric"] == a_month].set_index("variant")["mean"]
    month = (f"{currency().code}\na month",) if len(months) and cost not in PER_MONTH.values() else ()
    price = figure(cost)
    unit = f"cost, {currency().code}" if price.form == "money" else "cost"
    heads = ("variant", f"{_name(metric)}\n95%", "difference\n95%", "p\nadjusted", f"{unit}\n95%", *month, "on\nfront")
    lines = new_table(console, heads)
    for name in shown:
        own, spent = rows.loc[name], costs.loc[name]
        lines.add_row(
            escape(name),
            _estimate(own["mean"], own["low"], own["high"]),
            "baseline"
            if name == answer["baseline"]
            else _estimate(own["difference"], own["difference_low"], own["difference_high"], "+"),
            "" if name == answer["baseline"] else _p(own["p_adjusted"]),
            _estimate(price.drawn(spent["mean"]), price.drawn(spent["low"]), price.drawn(spent["high"])),
            *([money(months[name])] if month else []),
            f"{on_front[name]:.0%}" if name in on_front else "",
        )
    console.print(lines)
    if len(shown) < len(rows):
        write_line(console, f"{counted(len(rows) - len(shown), 'variant')} on no front: comparisons.parquet", "dim")
    _differences(answer, console)
    _equal_ratios(answer.get("equal_ratio") or (), console)
    _front(answer, len(rows), console)
    _sensitivity(answer["sensitivity"], len(rows), console)
    first = rows.iloc[0]
    told = [f"cost: {cost}"]
    many = counted(first["n_seeds"], "seed")
    for label, of in ((_name(metric), first), ("cost", costs.iloc[0])):
        if of["method"] != "none":
            told.append(f"intervals of {label}: {of['method']}, {many}; for {of['generalises_to']}")
    open_rows = rows[(rows["seeds_to_resolve"] > 0).fillna(False).astype(bool)]
    if len(open_rows):
        fewest = open_rows["seeds_to_resolve"].astype(int).sort_values(kind="stable")
        hints = [f"'{name}' {more}" for name, more in fewest.iloc[:_MOST_HINTS].items()]
        if len(fewest) > _MOST_HINTS:
            hints.append(f"{counted(len(fewest) - _MOST_HINTS, 'other')} up to {fewest.iloc[-1]}")
        told.append(f"more seeds that would resolve a difference as large as the one seen: {', '.join(hints)}")
    write_line(console, "")
    write_notes(answer, console, said=[*told, *said])


def _differences(answer: Mapping[str, Any], console: Console) -> None:
    """Of runs that were compared where they lie: every figure less the baseline's."""
    if not answer.get("differences"):
        return
    write_line(console, f"differences to '{answer['baseline']}', with 95% intervals", "bold")
    lines = new_table(console, ("run", "figure", "difference", "95%"))
    for row in answer["differences"]:
        of, figures = figure(row["metric"]), [row[end] for end in ("difference", "low", "high")]
        moved, *ends = ["" if _unknown(one) else of.change_text(one) for one in figures]
        name = of.label if of.form == "money" else _name(of.key)
        lines.add_row(escape(row["variant"]), name, moved or "n/a", " to ".join(ends) if all(ends) else "")
    console.print(lines)


def _equal_ratios(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not rows:
        return
    write_line(console, "")
    write_line(console, "at equal request ratios", "bold")
    lines = new_table(console, ("family", "ratio", "mean\n95%", "difference\n95%", "p\nadjusted"))
    for row in rows:
        reference = row["difference"] is None
        lines.add_row(
            escape(str(row["family"])),
            f"{row['ratio']:.3f}",
            _estimate(row["mean"], row["low"], row["high"]),
            "reference"
            if reference
            else _estimate(row["difference"], row["difference_low"], row["difference_high"], "+"),
            "" if reference else _p(row["p_adjusted"]),
        )
    console.print(lines)


def _front(answer: Mapping[str, Any], n: int, console: Console) -> None:
    """The front in a line, and the cheapest point that is as good as the baseline where there is one."""
    said = [f"front: {len(answer['frontier'])} of {counted(n, 'variant')}"]
    if answer["knee"] is not None:
        said.append(f"knee '{answer['knee']}'")
    volume = answer["hypervolume"]
    if volume is not None:
        names = (answer["cost"], answer["third"], answer["metric"])
        worst = zip((name for name in names if name is not None), volume["reference"], strict=True)
        ends = "" if volume["low"] is None else f" ({volume['low']:.4g} to {volume['high']:.4g})"
        under = ", ".join(f"{_name(name)} {value:.4g}" for name, value in worst)
        said.append(f"hypervolume {volume['value']:.4g}{ends} against the worst of each, {under}")
    write_line(console, "; ".join(said))
    for tie in answer["decision"]["ties"]:
        tied = ", ".join(f"'{name}'" for name in tie)
        write_line(console, f"a tie: {tied} do not differ in any run")


def _sensitivity(rows: Sequence[Mapping[str, Any]], n: int, console: Console) -> None:
    """A line a metric: the keys that explain a percent or more of `n` variants' differences."""
    for metric in dict.fromkeys(row["metric"] for row in rows):
        own = [(str(row["key"]), float(row["share_of_variance"])) for row in rows if row["metric"] == metric]
        told = [f"{key} {share:.0%}" for key, share in own if share >= LEAST_TOLD]
        rest = len(own) - len(told)
        if told and rest:
            told.append(f"{counted(rest, 'other key')} under 1%")
        said = ", ".join(told) or f"no key by itself, as far as {n} variants tell"
        write_line(console, f"what explains {_name(metric)} over variants: {said}")


def _name(metric: str) -> str:
    short = metric.removeprefix("accuracy.")
    return short.upper() if short != metric else metric


def _estimate(mean: float, low: float, high: float, sign: str = "") -> str:
    """Mean and half the width of its interval, or both ends where it is not symmetric, with the same places."""
    if _unknown(mean):
        return "n/a"
    places = 4 if abs(mean) < 10 else max(4 - len(f"{abs(mean):.0f}"), 0)
    text, *ends = (with_minus(f"{value:{sign},.{places}f}") for value in (mean, low, high))
    if _unknown(low) or _unknown(high):
        return text
    up, down = f"{high - mean:,.{places}f}", f"{mean - low:,.{places}f}"
    return f"{text} ±{up}" if up == down else f"{text} ({ends[0]} to {ends[1]})"


def _p(value: float) -> str:
    return "n/a" if _unknown(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _unknown(value: Any) -> bool:
    return value is None or pd.isna(value) or math.isinf(value)
