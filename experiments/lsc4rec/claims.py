"""The paper's claims, one row each, as paired differences in NDCG@10: above zero, the claim holds.

What is bold is not zero in spite of how many differences are looked at: by Holm, over all of the table, at 5%.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from results import Difference, Sweep, replays, sweeps

from fleetrec.simulator.experiments.statistics import holm

Found = dict[str, Difference]
_BUDGET = "0.2"
FAMILY_ERROR = 0.05
"""chance of any bold difference in the table where none is real"""


def claims(root: Path, names: list[str]) -> list[list[str]]:
    """Rows of text: the claim, and the difference on each data set; what was not measured is left out."""
    rows = {claim: found for claim, found in differences(root, names).items() if found}
    every = [found[data] for found in rows.values() for data in names if data in found]
    sure = iter((holm(np.array([each.p for each in every])) < FAMILY_ERROR).tolist())
    return [
        [claim, *(found[data].text(next(sure)) if data in found else "" for data in names)]
        for claim, found in rows.items()
    ]


def differences(root: Path, names: list[str]) -> dict[str, Found]:
    """By claim and data set."""
    shown, papers = sweeps(root, "fusion", names), sweeps(root, "paper", names)
    strategies, asked = sweeps(root, "training", names), sweeps(root, "requests", names)
    no_latency, invalid = replays(root, "replay", names), replays(root, "invalid", names)

    def fused_less(other: str) -> Found:
        found = {data: sweep.minus("sum", other) for data, sweep in shown.items()}
        return found | {data: sweep.trained("sum", other) for data, sweep in papers.items()}

    def trained(one: str, other: str) -> Found:
        return _each(strategies, lambda sweep: sweep.trained(f"{one} fusion=srm_only", f"{other} fusion=srm_only"))

    def updated(other: str) -> Found:
        return _each(sweeps(root, "updates", names), lambda sweep: sweep.trained("fleet 6h", other))

    def replayed(one: str, other: str, part: dict[str, dict[str, Any]] = no_latency) -> Found:
        return {data: at_no_latency(found[_BUDGET], one, other) for data, found in part.items()}

    def in_background(one: str, other: str) -> Found:
        return _each(asked, lambda sweep: at_one_share(sweep, one, other, _BUDGET))

    cooperative = trained("cooperative", "independent")
    cooperative |= {data: sweep.trained("SRM only, cooperative", "SRM only") for data, sweep in papers.items()}
    return {
        "fused (sum) − LLM alone": fused_less("LLM only"),
        "fused (sum) − SRM re-ranking alone": fused_less("SRM only"),
        "fused (sum) − SRM alone over the catalogue": fused_less("SRM over the catalogue"),
        "cooperative − independent training": cooperative,
        "adaptive − no re-training": updated("none"),
        "adaptive − as much training on old data": updated("fleet 6h old data (control)"),
        "inconsistency − random, 20%, no latency": replayed("inconsistency", "random"),
        "inconsistency − random, 20%, background": in_background("inconsistency", "random"),
        "inconsistency − oldest list first, 20%, no latency": replayed("inconsistency", "staleness"),
        "inconsistency − random, 20%, LLM with invalid items": replayed("inconsistency", "random", invalid),
        "both terms − rank distance, 20%, LLM with invalid items": replayed(
            "inconsistency", "rank distance alone", invalid
        ),
        "learned − random, 20%, no latency": replayed("learned", "random"),
        "learned − inconsistency, 20%, no latency": replayed("learned", "inconsistency"),
        "learned − random, 20%, background": in_background("learned", "random"),
        "learned − inconsistency, 20%, background": in_background("learned", "inconsistency"),
    }


def at_no_latency(found: dict[str, Any], one: str, other: str) -> Difference:
    """Two policies of a replay, at one budget."""
    mean, low, high = found[one][f"minus_{other}"]
    return Difference(mean, low, high, shares=(found[one]["requests"], found[other]["requests"]))


def at_one_share(sweep: Sweep, one: str, other: str, budget: str) -> Difference:
    """Two policies of a sweep that were told the same share."""
    names = [f"{policy} ratio={budget}" for policy in (one, other)]
    return replace(sweep.minus(*names), shares=(sweep.asked(names[0]), sweep.asked(names[1])))


def _each(found: dict[str, Sweep], difference: Callable[[Sweep], Difference]) -> Found:
    return {data: difference(sweep) for data, sweep in found.items()}
