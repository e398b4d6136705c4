"""The page of a decision: one sentence, one figure, one table, and what it hangs on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.charts.decision_charts import decision_charts
from fleetrec.reports.data.decision import DecisionRecords, read_decision, rival_of
from fleetrec.reports.data.notes import caveat_of, texts_but
from fleetrec.reports.data.quantities import told
from fleetrec.reports.html import words
from fleetrec.reports.html.decision_tables import circumstances_table, policies_table, ways_table
from fleetrec.reports.html.render import write_page
from fleetrec.simulator.core.money import currency, told_in
from fleetrec.simulator.core.notes import ENGAGEMENT
from fleetrec.simulator.results.sentences import money, signed

PAGE = "decision.html"
_CALLS = {"yes": "Call the cloud", "no": "Do not call the cloud", "not shown": "Not shown to pay"}


def write_decision_page(folder: Path) -> Path:
    """Write decision.html of the folder that holds decision.json; InputError names what is missing or damaged."""
    held = read_decision(folder)
    with told_in(held.currency):
        return _write(folder, held)


def _write(folder: Path, held: DecisionRecords) -> Path:
    decision, summary = held.decision, held.summary
    charts = decision_charts(decision)
    page = {
        "title": held.manifest.question or held.name,
        "kicker": f"Decision “{held.name}”: {_CALLS[decision['call']].lower()}",
        "headline": decision["sentence"],
        "under_headline": [
            words.as_sentence(decision["value"]["taken"]),
            words.as_sentence(words.quality_and_cost(summary)),
        ],
        "warnings": [],
        "choices": [],
        "hangs_on": [_turn(one) for one in decision["turns"]],
        "cards": [{"title": "", "cards": _cards(decision)}],
        "charts": charts,
        "tables": {
            "policies": policies_table(decision),
            "ways": ways_table(decision),
            "circumstances": circumstances_table(decision) if decision["axes"] else None,
        },
        "scenario": held.scenario,
        "reading": [
            ("How it is decided", _rule(decision)),
            ("What is left", f"{_LEFT}{_rate()}."),
            ("Circumstances", _CIRCUMSTANCES),
            ("Cost account", words.account_note(summary)),
            ("Quality and cost", words.models_note(summary)),
            ("Split", words.split_note(summary)),
            words.measured(summary),
        ],
        "notes": [*texts_but(decision, ENGAGEMENT), *words.other_notes(summary)],
        "reproduce": _reproduce(held),
        "caveat": caveat_of(summary),
    }
    data = {"charts": [chart.data for chart in charts]}
    return write_page(folder / PAGE, "decision.html.j2", page, data)


_LEFT = (
    "A month is 30 days like those simulated, of the fleet that fleet.represents counts. What accuracy is worth is its "
    "gain over the best that needs no cloud, times its worth, times the interactions of that month; what is left is "
    "that less what the cloud and the network cost. Prices are in US dollars, as tariffs has them"
)
_CIRCUMSTANCES = (
    "The chosen policy was run again, at the same seeds, with one thing changed: nothing is guessed from other runs "
    "but where the answer turns between two of them, which is drawn straight. Intervals there are each point's own."
)


def _rate() -> str:
    """How prices became what is told."""
    told = currency()
    return "" if told.code == "USD" else f"; here {told.per_usd:g} {told.code} are told for each"


def _rule(decision: Mapping[str, Any]) -> str:
    said = (
        "A policy is called shown where what it adds beats all that makes no request, the SRM alone, popular items and "
        "the "
        "other baselines, at 95% for all policies at once: trying more policies makes that harder, so none is named "
        "because chance favoured it. "
    )
    if decision["value"]["worth_usd"] is not None:
        return said + "Of those that are shown, the one that leaves most is run."
    if decision["value"]["budget_usd"] is not None:
        return (
            said + "Of those that are shown and keep the budget at the end of their interval, the most accurate is run."
        )
    return said + "Of those that are shown, the cheapest is run; whether it is worth its cost, the table's price says."


def _turn(one: Mapping[str, Any]) -> str:
    return f"{one['axis']}: the answer turns at {one['at']} ({one['how']})."


def _cards(decision: Mapping[str, Any]) -> list[dict[str, Any]]:
    row = next(one for one in decision["policies"] if one["policy"] == decision["policy"])
    month, gain = row["usd_per_month"], row["gain_over_srm"] or row["gain_over_best"]
    cards = [
        ("Answer", _CALLS[decision["call"]], row["policy"]),
        (f"{currency().label} a month", money(month["mean"]), _ends(month, money)),
        (f"Over {rival_of(decision)}", signed(gain["mean"]), _ends(gain, signed)),
    ]
    if "net_usd_per_month" in row:
        net = row["net_usd_per_month"]
        cards.append(("Left a month", money(net["mean"]), _ends(net, money)))
    like = len(decision["not_told_apart"])
    cards.append(("Not told apart from it", counted(like, "policy", "policies"), "in what they leave or add"))
    if decision["represents"]:
        cards.append(("Phones", f"{decision['represents']:,}", "represented"))
    return [{"name": name, "value": value, "note": note} for name, value, note in cards]


def _ends(held: Mapping[str, Any], form: Any) -> str:
    ends = (held.get("low"), held.get("high"))
    return "" if None in ends else f"95%: {form(ends[0])} to {form(ends[1])}"


def _reproduce(held: DecisionRecords) -> dict[str, Any]:
    value, manifest = held.decision["value"], held.manifest
    usd = {name: value[f"{name}_usd"] for name in ("worth", "budget")}
    given = [f"--{name} {told(amount):g}" for name, amount in usd.items() if amount is not None]
    facts = [
        ("base scenario", manifest.base),
        ("hash of the base", manifest.base_hash),
        ("seeds", ", ".join(map(str, manifest.seeds))),
        *words.versions(manifest.versions),
    ]
    return {
        "words": "From the finished runs of this folder; the same versions give the same bytes.",
        "command": " ".join(["fleetrec decide .", *given]),
        "facts": [(name, fact) for name, fact in facts if fact],
    }
