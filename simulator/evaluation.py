"""Leave-one-out accuracy of a scenario's SRM and LLM, ranked among the whole catalogue, beside published figures.

The models are those of the scenario, trained on this split instead of the scenario's own; ranks are computed as in a
simulation: anchored windows, exact scores, ties by item id.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.core.notes import data_of, note
from fleetrec.simulator.preparation import list_quality
from fleetrec.simulator.preparation.title_answers import answer_figures, answer_notes
from fleetrec.simulator.preparation.training import (
    candidate_source,
    first_deployed,
    load_workload,
    srm_scores,
    train_on,
)
from fleetrec.simulator.results.baselines import baseline_ranks
from fleetrec.simulator.results.summary import NOT_EVALUATED, finite
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.file_checks import check_files
from fleetrec.simulator.scenario.inputs import PreparationInputs
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.splitting import leave_one_out

Ints = NDArray[np.int64]

PUBLISHED = Path(__file__).parent / "published" / "leave_one_out.yaml"


@dataclass(frozen=True)
class KnownLog:
    """A public data set as its counts tell it, and what others have measured on it."""

    name: str
    figures: tuple[dict[str, Any], ...]  # model, hr@10, ndcg@10, note, source


def evaluate(
    scenario: sections.Scenario,
    device: str = "cpu",
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
) -> dict[str, Any]:
    """HR, NDCG and MRR at the scenario's cut-offs (and 10) of its SRM, its LLM and the baselines; JSON-able.

    An item outside the LLM's list is a miss. Raises InputError for what the user can mend.
    """
    progress = progress or NullProgress()
    check_files(scenario)
    torch.set_num_threads(scenario.engine.threads)
    log = load_workload(scenario.workload)
    split, data = leave_one_out(log)
    inputs = PreparationInputs.of(scenario)
    trained = train_on(inputs.training, split, data, store or ArtifactStore(), device, progress)
    users, steps = np.flatnonzero(split.streamed), split.history[split.streamed]
    first = np.maximum(split.history - 1, 0)
    srm = first_deployed(inputs.item_table, trained)
    scores = srm_scores(trained, first, users, srm)
    ks = tuple(sorted({*scenario.metrics.k, 10}))
    exclude_seen, length = scenario.workload.hides_seen, scenario.llm.list_length
    ranks = baseline_ranks(trained, srm, scores, users, steps, max(ks), exclude_seen, progress)
    source, _ = candidate_source(inputs.lists, trained, srm, first, scores, device, progress)
    with sections.silent(scenario):
        lists = source.lists(users, steps - 1).items
    source.save()
    ranks["llm"] = _place(lists, trained.histories.item_at(users, steps))
    judged = {name: values[values != NOT_EVALUATED] for name, values in ranks.items()}
    figures = {name: _rounded(accuracy(values, ks)) for name, values in judged.items()}
    known = recognise(log)
    notes = []
    if len(judged["srm"]) < len(users):
        notes.append(note("srm_sampled", "srm: a sample of {users} users", users=len(judged["srm"])))
    prompt = scenario.llm.candidates.title_prompt()
    if prompt is not None and not scenario.policy.slate.by_cloud_srm:
        notes += answer_notes(answer_figures(source, users, steps - 1), prompt.fill)
    notes += list_quality.notes(inputs.lists)
    if length < max(ks):
        said = "llm: beyond the length of its lists every item is a miss (llm.list_length: {items})"
        notes.append(note("lists_short", said, items=length))
    result: dict[str, Any] = finite(
        {
            "scenario": scenario.name,
            "data": log.source if known is None else known.name,
            "protocol": _protocol(exclude_seen, length),
            "users": len(users),
            "items": log.n_items,
            "events": log.n_events,
            "srm": figures.pop("srm"),
            "llm": figures.pop("llm"),
            "baselines": figures,
            "models": {
                "srm": f"{scenario.srm.kind}, {scenario.srm.loss}, d={scenario.srm.dim}",
                "llm": "srm" if scenario.policy.slate.by_cloud_srm else scenario.llm.candidates.kind,
                "srm_validation": trained.srm.validation,
                "llm_validation": source.validation,
            },
            "published": [] if known is None else list(known.figures),
            "notes": data_of(*log.notes, *notes),
        }
    )
    return result


def _protocol(exclude_seen: bool, length: int) -> str:
    seen = "the user's earlier items leave the ranking" if exclude_seen else "the user's earlier items stay in it"
    return (
        "leave-one-out: each user's last item tests, the one before it validates (early stopping), the rest is learnt "
        f"from, users of fewer than 3 items are learnt from only; full ranking of the whole catalogue, {seen}; ties "
        f"to the lower item id; the LLM's ranking is its list of {length}"
    )


def _place(lists: NDArray[np.int32], targets: Ints) -> Ints:
    """Place [M] of each target in its list [M, N]; -1 where it is not there."""
    hit = lists == targets[:, None]
    return np.where(hit.any(axis=1), hit.argmax(axis=1), -1)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in figures.items() if not name.startswith("precision")}


def recognise(log: InteractionLog) -> KnownLog | None:
    """The public data set that has exactly as many users, items and events as `log`, if one is known."""
    counts = [log.n_users, log.n_items, log.n_events]
    for entry in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        if counts in entry["counts"]:
            return KnownLog(entry["name"], tuple(entry["figures"]))
    return None
