"""How good the LLM must be, what its lists are worth by their age, and how they shrink as they age."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_jsonable_python

from fleetrec.models.early_stopping import TrainingCurve
from fleetrec.models.llm.cache import CachedCandidates
from fleetrec.models.metrics import accuracy_per_query, clustered_mean
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import list_slates
from fleetrec.simulator.ranking.list_age import ranks_at_age, sample
from fleetrec.simulator.ranking.slates import ListSlates, Queries, Slates, Targets
from fleetrec.simulator.results.assumptions.shown import Shown
from fleetrec.simulator.results.sentences import signed
from fleetrec.simulator.results.summary import NOT_EVALUATED
from fleetrec.simulator.results.training_curves import LATE, curve_of_lists
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_MOST_SLATES = 3_000
_SCREEN = 10
_SHRUNK = "shrunk lists"


def lists_by_age(
    made_of: SlateInputs, served_as: str | None, prepared: Prepared, slates: Slates, shown: Shown
) -> list[Note | None]:
    """What lists are worth by their age, and how good the LLM must be; nothing where its lists would have to be paid
    for."""
    trained = prepared.trained
    had = None
    if not prepared.inputs.lists.candidates.cheap:
        if not isinstance(prepared.source, CachedCandidates):
            return []
        # Lists that take seconds or money are not asked for here: these are of the screens, whatever the cache holds.
        listed = shown.as_of >= 0
        had = shown.users[listed].astype(np.int64), shown.as_of[listed].astype(np.int64)
    if (shown.alone == NOT_EVALUATED).any():
        shown = shown.take(np.flatnonzero(shown.alone != NOT_EVALUATED))
    found, ages = sample(shown.users, shown.steps, prepared.first, had)
    if not ages:
        return []
    judging = shown.take(found)
    users, owners, steps = judging.users, judging.owners, judging.steps
    in_its_order = replace(made_of, slate=sections.Slate.family.default(), fusion=LlmOnly())
    llm_only = list_slates(in_its_order, trained, prepared.scores, prepared.source)

    def rewards(of: SlateInputs, made: Slates) -> list[Floats]:
        """At each age; what runs on the same preparation share, whatever their request policies."""
        return prepared.memo.get(
            ["list age", to_jsonable_python(of), list(ages), users, steps],
            lambda: [_rewards(ranks_at_age(made, trained.histories, users, steps, age)) for age in ages],
        )

    as_shown, llm = rewards(made_of, slates), rewards(in_its_order, llm_only)
    alone = _rewards(judging.alone)
    curves = {"ages": list(ages), "as_shown": _means(as_shown), "llm_order": _means(llm)}
    values = curves | {"srm_alone": float(alone.mean()), "interactions": len(users), "users": len(np.unique(owners))}
    this_run = float(_rewards(judging.ranks).mean())
    which = prepared.inputs.lists.candidates.described(served_as)
    quality = _llm_quality(which, curve_of_lists(prepared), as_shown[0], llm[0], alone, owners, this_run)
    return [quality, _list_age(prepared.inputs.training.log, values)]


def _llm_quality(
    which: str, curve: TrainingCurve, fresh: Floats, llm: Floats, alone: Floats, users: Ints, this_run: float
) -> Note:
    """`which` LLM it is, and how it was trained."""
    lead, half = clustered_mean(fresh - alone, users)
    ours, theirs = float(fresh.mean()), float(alone.mean())
    ratio = theirs / ours if ours > 0 else float("nan")
    values: dict[str, Any] = {
        "fresh": ours,
        "fresh_llm_order": float(llm.mean()),
        "srm_alone": theirs,
        "this_run": this_run,
        "lead": lead,
        "lead_low": lead - half,
        "lead_high": lead + half,
        "llm_order_at_which_equal": float(llm.mean()) * ratio,
        "llm_validation_by_epoch": list(curve.values),
        "most_epochs": curve.most_epochs,
    }
    text = (
        f"The LLM is {which}. On {counted(len(users), 'interaction')} of this run, lists that are always "
        f"fresh would reach NDCG@10 {ours:.4f} on screen "
        f"({float(llm.mean()):.4f} in the LLM's own order), the SRM alone {theirs:.4f}: a lead of {signed(lead)} "
        f"(95%: {signed(lead - half)} to {signed(lead + half)}); the lists that the run had, {this_run:.4f}."
    )
    if ours > 0 and lead > 0:
        text += f" With an LLM that is {1 - ratio:.0%} worse not even fresh lists would be better than the SRM alone"
        epoch = epoch_at(curve, ratio)
        text += f"; this one was no better than that after epoch {epoch} of {len(curve.values)}." if epoch else "."
        values["epoch_at_which_equal"] = epoch
    elif ours > 0:
        text += f" Asking can pay only with an LLM that is {ratio - 1:.0%} better or more."
    if curve.still_rising:
        gain = curve.gain_since(LATE)
        text += f" Its validation still rose when training ended ({signed(gain)} in the last quarter of its epochs)."
    return Note("llm_quality", text, values)


def epoch_at(curve: TrainingCurve, ratio: float) -> int | None:
    """The last epoch whose validation was at most `ratio` of the best; None where there is none."""
    if not curve.values or not 0 < ratio < 1:
        return None
    low = [number for number, value in enumerate(curve.values, start=1) if value <= ratio * max(curve.values)]
    return low[-1] if low else None


def _list_age(log: sections.Log, values: Mapping[str, Any]) -> Note:
    ages, shown = values["ages"], values["as_shown"]
    told = ", ".join(f"{value:.4f} at {age}" for age, value in zip(ages, shown, strict=True))
    text = (
        f"What a list is worth by its age in interactions, at no latency: NDCG@10 {told}; the SRM alone "
        f"{values['srm_alone']:.4f}."
    )
    behind = next((age for age, value in zip(ages, shown, strict=True) if value < values["srm_alone"]), None)
    if behind:
        text += f" From age {behind} on a list is behind the SRM alone."
    if log.interactions == "synthetic":
        text += (
            f" The built-in world sets this by workload.synthetic.freshness ({log.synthetic.freshness:g} "
            "here): the value of asking is an input, not a finding."
        )
    return Note("list_age", text, values)


def shrinking(
    exclude_seen: bool | Literal["refill"], prepared: Prepared, slates: ListSlates, shown: Shown
) -> Note | None:
    """How much of a list its user has had by the time it is on screen, and what refilling it changes."""
    if not exclude_seen:
        return None
    listed = np.flatnonzero(shown.as_of >= 0)
    rows = np.sort(listed[Draws(0).first_of(_MOST_SLATES, len(listed), "shrinking lists")])
    if not len(rows):
        return None
    taken = shown.take(rows)
    users, steps, as_of = taken.users, taken.steps, taken.as_of
    histories = prepared.trained.histories
    assert prepared.source is not None
    items = prepared.source.lists(users, as_of).items.astype(np.int64)
    valid = items >= 0
    gone = valid & (histories.first_position(users, np.maximum(items, 0)) < steps[:, None])
    share = float(gone.sum() / max(1, valid.sum()))
    short = float(((valid & ~gone).sum(axis=1) < _SCREEN).mean())
    queries = Queries(users, steps - 1, as_of, histories.item_at(users, steps), steps - 1, np.zeros_like(users))
    kept, refilled = (_rewards(slates.ranks(one, len(rows))) for one in _targets(prepared, slates, queries))
    gain, half = clustered_mean(refilled - kept, taken.owners)
    values = {
        "share_gone": share,
        "share_with_fewer_than_10_left": short,
        "ndcg@10": float(kept.mean()),
        "ndcg@10_refilled": float(refilled.mean()),
        "gain": gain,
        "gain_low": gain - half,
        "gain_high": gain + half,
        "slates": len(rows),
        "refilled_in_this_run": exclude_seen == "refill",
    }
    then = "are replaced by the SRM's best" if exclude_seen == "refill" else "are not replaced"
    text = (
        f"Items that a user has had leave the list and {then}: {share:.1%} of a list is gone when it is on screen, and "
        f"{short:.1%} of lists have fewer than {_SCREEN} left. On {counted(len(rows), 'slate')} refilling "
        f"(workload.exclude_seen: refill) moves NDCG@10 from {float(kept.mean()):.4f} by {signed(gain)} "
        f"(95%: {signed(gain - half)} to {signed(gain + half)})."
    )
    return Note("lists_shrink", text, values)


def _targets(prepared: Prepared, slates: ListSlates, queries: Queries) -> tuple[list[Targets], list[Targets]]:
    """Where targets stand in lists as they are and refilled: runs that differ in fusion alone have the same."""
    key = content_hash([queries.user, queries.step, queries.as_of])
    known: tuple[list[Targets], list[Targets]] | None = prepared.memo.newest(_SHRUNK, key)
    if known is None:
        known = slates.with_refill(False).targets(queries), slates.with_refill(True).targets(queries)
        prepared.memo.keep_newest(_SHRUNK, key, known)
    return known


def _rewards(ranks: Ints) -> Floats:
    return accuracy_per_query(ranks, (10,))["ndcg@10"]


def _means(rewards: list[Floats]) -> list[float]:
    return [float(one.mean()) for one in rewards]
