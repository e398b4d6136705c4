"""The paper's claims, one row each, as paired differences in NDCG@10: above zero, the claim holds."""

from collections.abc import Callable
from pathlib import Path

from results import Difference, Sweep, replays, sweeps

Found = dict[str, Difference]
_BUDGET = "0.2"


def claims(root: Path, names: list[str]) -> list[list[str]]:
    """Rows of text: the claim, and the difference on each data set; what was not measured is left out."""
    shown, papers = sweeps(root, "fusion", names), sweeps(root, "paper", names)
    strategies, asked = sweeps(root, "training", names), sweeps(root, "requests", names)
    no_latency = replays(root, "replay", names)

    def fused_less(other: str) -> Found:
        found = {data: sweep.minus("sum", other) for data, sweep in shown.items()}
        return found | {data: _trained(sweep, "sum", other) for data, sweep in papers.items()}

    def trained(one: str, other: str) -> Found:
        return _each(strategies, lambda sweep: sweep.minus(f"{one} fusion=srm_only", f"{other} fusion=srm_only"))

    def updated(other: str) -> Found:
        return _each(sweeps(root, "updates", names), lambda sweep: sweep.minus("fleet 6h", other))

    def replayed(one: str, other: str) -> Found:
        return {data: Difference(*found[_BUDGET][one][f"minus_{other}"]) for data, found in no_latency.items()}

    def in_background(one: str, other: str) -> Found:
        at = f"request.ratio={_BUDGET} budget.ratio={_BUDGET}"
        return _each(asked, lambda sweep: sweep.minus(f"{one} {at}", f"{other} {at}"))

    cooperative = trained("cooperative", "independent")
    cooperative |= {data: _trained(sweep, "SRM only, cooperative", "SRM only") for data, sweep in papers.items()}
    rows = {
        "fused (sum) − LLM alone": fused_less("LLM only"),
        "fused (sum) − SRM re-ranking alone": fused_less("SRM only"),
        "fused (sum) − SRM alone over the catalogue": fused_less("SRM over the catalogue"),
        "cooperative − independent training": cooperative,
        "adaptive − no re-training": updated("none"),
        "adaptive − as much training on old data": updated("fleet 6h old data (control)"),
        "inconsistency − random, 20%, no latency": replayed("inconsistency", "random"),
        "inconsistency − random, 20%, background": in_background("inconsistency", "random"),
        "inconsistency − oldest list first, 20%, no latency": replayed("inconsistency", "staleness"),
        "learned − random, 20%, no latency": replayed("learned", "random"),
        "learned − inconsistency, 20%, no latency": replayed("learned", "inconsistency"),
        "learned − random, 20%, background": in_background("learned", "random"),
        "learned − inconsistency, 20%, background": in_background("learned", "inconsistency"),
    }
    return [
        [claim, *(str(found[data]) if data in found else "" for data in names)]
        for claim, found in rows.items()
        if found
    ]


def _each(found: dict[str, Sweep], difference: Callable[[Sweep], Difference]) -> Found:
    return {data: difference(sweep) for data, sweep in found.items()}


def _trained(sweep: Sweep, one: str, other: str) -> Difference:
    """Over the training seeds of the paper's protocol."""
    own, others = ([v for v in sweep.variants if v.startswith(f"{name} seed=")] for name in (one, other))
    return sweep.over_trainings(own, others)
