"""The tables of a decision: policies with their month, and the circumstances that the chosen one was tried in."""

import math
from collections.abc import Mapping
from typing import Any

from fleetrec.reports.charts.decision_charts import value_text
from fleetrec.reports.data.decision import rival_of
from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.html.tables import Cell, Head, Row, Table
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import metric_words, priced_in
from fleetrec.simulator.results.sentences import WITHOUT_CLOUD, money, signed

_Held = Mapping[str, Any]


def policies_table(decision: _Held) -> Table:
    """A row a policy: what it adds, what a month and 1,000 interactions cost, what is left, from when on it pays."""
    metric = metric_words(decision["metric"])
    worth = decision["value"]["worth_usd"]
    heads = [
        Head("policy"),
        Head(f"{metric} over {rival_of(decision)}", "95%"),
        Head(f"{currency().label} a month", "represented fleet, 95%"),
        Head(f"{currency().label} per 1,000 interactions", "95%"),
        *([Head("left a month", f"at {money(worth)} for 0.01")] if worth is not None else []),
        Head("pays from", f"{currency().label} for {priced_in(decision['metric'])}"),
        Head("adds something", "chance"),
        Head("energy of the phones a month, J"),
        Head("energy of the cloud a month, J", "of its GPUs idle or not, and of an API"),
        Head("carbon a month, gCO2", "of both"),
    ]
    rows = [Row([*_policy(row, worth)], strong=row["policy"] == decision["policy"]) for row in decision["policies"]]
    alone = [_nothing(one, len(heads)) for one in decision["nothing"] if not one["policy"]]
    caption = f"Policies, and what needs no cloud; {decision['value']['taken']}"
    return Table("policies-table", caption, heads, [*rows, *alone])


def _policy(row: _Held, worth: float | None) -> list[Cell]:
    gain = row["gain_over_srm"] or row["gain_over_best"]
    pays = row["pays_from_usd"]
    tag = "" if row["calls"] else "asks nothing, or not at the share told"
    cells = [Cell(row["policy"], tag or ("shown" if row["shown"] else ""))]
    cells += [
        _cell(gain, signed),
        _cell(row["usd_per_month"], money),
        _cell(row["usd_per_1k_interactions"], money),
    ]
    if worth is not None:
        cells.append(_cell(row["net_usd_per_month"], money))
    if pays is None or pays["mean"] is None:
        cells.append(Cell("never" if row["calls"] else ""))
    else:
        high = "no end" if pays["high"] is None else money(pays["high"])
        cells.append(Cell(money(pays["mean"]), f"{money(pays['low'])} to {high}", pays["mean"]))
    cells.append(Cell(f"{row['chance_adds']:.0%}" if row["calls"] else ""))
    cells += [_number(row[name]) for name in ("device_joules_per_month", "gpu_joules_per_month", "gco2_per_month")]
    return cells


def _nothing(one: _Held, width: int) -> Row:
    own = one["accuracy"]["mean"]
    name = WITHOUT_CLOUD.get(str(one["baseline"]), str(one["baseline"]))
    cells = [Cell(f"without a cloud: {name}", f"{own:.4f}"), Cell(""), Cell(money(0.0)), Cell(money(0.0))]
    return Row([*cells, *([Cell("")] * (width - len(cells)))])


def ways_table(decision: _Held) -> Table | None:
    """A row a way to serve the chosen policy: a month of it in dollars, joules and grams."""
    if not decision.get("ways"):
        return None
    worth = decision["value"]["worth_usd"]
    heads = [Head("served by"), Head(f"{currency().label} a month", "represented fleet, 95%")]
    heads += [Head(f"{currency().label} per 1,000 interactions")]
    heads += [Head("left a month", f"at {money(worth)} for 0.01")] if worth is not None else []
    heads += [Head("replicas"), Head("energy of the cloud a month, J"), Head("its carbon a month, gCO2")]
    rows = []
    for one in decision["ways"]:
        usd = one["usd_per_month"]
        if usd["mean"] is None:
            rows.append(Row([Cell(one["name"]), Cell("none meets the objective"), *([Cell("")] * (len(heads) - 2))]))
            continue
        each = usd["mean"] * 1000 / decision["interactions_per_month"]
        cells = [Cell(one["name"]), _cell(usd, money), Cell(money(each))]
        cells += [_cell(one["net_usd_per_month"], money)] if worth is not None else []
        cells += [_number(one[name]) for name in ("replicas", "gpu_joules_per_month", "gco2_per_month")]
        rows.append(Row(cells))
    caption = f"A month of “{decision['policy']}” by the way it is served; what users get is as it was simulated"
    return Table("ways", caption, heads, rows)


def circumstances_table(decision: _Held) -> Table:
    """A row a circumstance: what the chosen policy adds, costs and is worth there."""
    rows = []
    for axis in decision["axes"]:
        for point in axis["points"]:
            own = point["name"] == axis["base"]
            name = "as the scenario has it" if own else point["name"].removeprefix(f"{axis['base']}, ")
            lists = "" if point["list_ndcg"] is None else f"{point['list_ndcg']:.4f}"
            cells = [Cell(name, axis["axis"]), _cell(point["gain_over_best"], signed)]
            cells += [_cell(point["usd_per_month"], money), Cell(lists)]
            value = point["value"]
            cells += [Cell(value_text(decision, value["mean"]), _interval(value, lambda v: value_text(decision, v)))]
            cells += [Cell("turns" if _turns(axis, point) else ""), Cell(axis["how"])]
            rows.append(Row(cells, strong=own))
    heads = [
        Head("circumstance"),
        Head("added to the best without a cloud", "95%"),
        Head(f"{currency().label} a month", "represented fleet, 95%"),
        Head("NDCG@10 of fresh lists"),
        Head("value", "95%"),
        Head("answer"),
        Head("how"),
    ]
    return Table("circumstances", f"“{decision['policy']}” in other circumstances", heads, rows)


def _turns(axis: _Held, point: _Held) -> bool:
    base = next(one for one in axis["points"] if one["name"] == axis["base"])
    return bool((point["value"]["mean"] > 0) != (base["value"]["mean"] > 0))


def _cell(held: _Held, words: Any) -> Cell:
    return Cell(words(held["mean"]), _interval(held, words), held["mean"])


def _interval(held: _Held, words: Any) -> str:
    ends = [held.get("low"), held.get("high")]
    if any(end is None or not math.isfinite(end) for end in ends):
        return ""
    return f"{words(ends[0])} to {words(ends[1])}"


def _number(value: float | None) -> Cell:
    return Cell("unknown" if value is None else number_text(value), value=value)
