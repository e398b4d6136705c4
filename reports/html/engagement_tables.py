"""Tables of a run's page on what its users did who react."""

from collections.abc import Mapping
from typing import Any

from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.metric_names import FIT, metric
from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.data.run_folder import setting
from fleetrec.reports.html.decision import interval_text
from fleetrec.reports.html.tables import Cell, Head, Row, Table
from fleetrec.simulator.results.engagement import PREFIX, RATIOS
from fleetrec.simulator.results.feedback import BOUNDS
from fleetrec.simulator.results.feedback import PREFIX as FEEDBACK

_BY_GROUP = ("choices_per_day", "slate_share", "session_s", "return_share", "churn_share", "utility_per_day", "regret")
_TAKEN = {
    "coverage": "share of the catalogue",
    "gini": "Gini",
    "popularity": "popularity, 1 the most",
    "own_taste": "closeness to their earlier taste",
}
_WAYS = {
    "class": "device class",
    "activity": "activity before the run",
    "taste": "taste before the run",
    "region": "region",
}


def engagement_table(summary: Mapping[str, Any]) -> Table | None:
    """Every figure of engagement with its interval; None where users do not react."""
    if "engagement" not in summary:
        return None
    rows = []
    for name in RATIOS:
        of = metric(f"{PREFIX}{name}")
        rows.append(Row([Cell(of.label), _cell(summary["engagement"], name)]))
    caption = "What users did, with 95% intervals over users"
    return Table("engagement-table", caption, [Head("figure"), Head("this run", "95%")], rows, world="simulated")


def feedback_table(summary: Mapping[str, Any]) -> Table | None:
    """What users took and how that moved; None where they do not react, or took too little."""
    held = summary.get("feedback")
    if not held:
        return None
    rows = [Row([Cell(metric(f"{FEEDBACK}{name}").label), _cell(held, name, FEEDBACK)]) for name in BOUNDS]
    caption = "What they took, with 95% intervals over users; coverage and Gini hang on how many choices they are of"
    return Table("feedback-table", caption, [Head("figure"), Head("this run", "95%")], rows, world="simulated")


def engagement_groups_table(summary: Mapping[str, Any]) -> Table | None:
    """The first of them by device class, kind of user and region."""
    if not summary.get("engagement_by"):
        return None
    rows, regions = [], {name: own["engagement"] | {"devices": own["devices"]} for name, own in _regions(summary)}
    for way, groups in {**summary["engagement_by"], "region": regions}.items():
        for group, held in groups.items():
            cells = [_cell(held, name) for name in _BY_GROUP]
            rows.append(Row([Cell(f"{_WAYS.get(way, way)}: {group}"), Cell(f"{held['devices']:,}"), *cells]))
    heads = [Head("group"), Head("devices"), *(Head(metric(f"{PREFIX}{name}").label, "95%") for name in _BY_GROUP)]
    return Table("engagement-groups", "Who did it", heads, rows, world="simulated")


def feedback_groups_table(summary: Mapping[str, Any]) -> Table | None:
    """What each of them took; None where users do not react, or took too little."""
    regions = {
        name: own["feedback"] | {"choices": own["engagement"]["choices"]}
        for name, own in _regions(summary)
        if own["feedback"]
    }
    ways = {**(summary.get("feedback_by") or {}), "region": regions}
    rows = [
        Row(
            [
                Cell(f"{_WAYS.get(way, way)}: {group}"),
                Cell(f"{held['choices']:,}"),
                *(_cell(held, name, FEEDBACK) for name in _TAKEN),
            ]
        )
        for way, groups in ways.items()
        for group, held in groups.items()
    ]
    heads = [Head("group"), Head("choices"), *(Head(text, "95%") for text in _TAKEN.values())]
    caption = "What they took; coverage and Gini hang on how many choices they are of"
    return Table("feedback-groups", caption, heads, rows, world="simulated") if rows else None


def _regions(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Those in which users react, by name."""
    return [(name, own) for name, own in (summary.get("by_region") or {}).items() if "engagement" in own]


def fit_table(summary: Mapping[str, Any]) -> Table | None:
    """How users who were fitted compare with users who were held out; None where they were not fitted."""
    fit = summary.get("users_fit")
    if not fit:
        return None
    rows = []
    for row in fit["compared"]:
        distances = [Cell(f"{row[name]:.3f}", value=row[name]) for name in ("ks", "between_users")]
        means = [Cell(number_text(row[f"{whose}_mean"])) for whose in ("model", "held_out", "others")]
        rows.append(Row([Cell(FIT[row["what"]]), *distances, *means]))
    caption = (
        f"Fitted users in place of {fit['held_out_users']:,} held-out ones of {fit['log']}, who made "
        f"{fit['held_out_choices']:,} choices: Kolmogorov-Smirnov (KS) distances, and means"
    )
    heads = (Head(text) for text in ("", "KS", "KS of other users", "mean", "of held-out users", "of other users"))
    return Table("users-fit", caption, list(heads), rows)


def stated(held: Mapping[str, Any], name: str) -> Estimate | None:
    """A figure with its interval; None where it is not known."""
    ends, value = setting(held, "intervals", name), held.get(name)
    if value is None:
        return None
    low, high = ends or (None, None)
    unknown = float("nan")
    return Estimate(value, unknown if low is None else low, unknown if high is None else high)


def _cell(held: Mapping[str, Any], name: str, prefix: str = PREFIX) -> Cell:
    of, found = metric(f"{prefix}{name}"), stated(held, name)
    return Cell("n/a") if found is None else Cell(of.text(found.mean), interval_text(of, found), found.mean)
