"""The notes of a run: whose quality and cost it is of, what its figures take for granted, and what they leave out."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.cloud.pools import expected_errors
from fleetrec.simulator.cloud.tokens import longest_request
from fleetrec.simulator.core.notes import (
    COST_ACCOUNT,
    NOT_CALENDAR,
    PREDICTION,
    PREDICTION_TEXT,
    PROVISIONED_LEAVES_OUT,
    PROVISIONED_NONE,
    QUALITY,
    Note,
    note,
)
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.title_answers import answer_figures
from fleetrec.simulator.results.account import Account
from fleetrec.simulator.results.summary import NOT_EVALUATED
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

CAVEAT = note(PREDICTION, PREDICTION_TEXT)


def quality_of(slate: sections.Slate, llm: sections.Llm, srm: str) -> str:
    """Whose lists a slate shows; `srm`: the kind of small model."""
    return f"{srm} over the catalogue" if slate.by_cloud_srm else f"{llm.candidates.label()}{llm.quality.label()}"


def list_answers(
    slate: sections.Slate,
    candidates: sections.Candidates,
    prepared: Prepared,
    interactions: pd.DataFrame,
    users: NDArray[np.integer[Any]],
) -> dict[str, float] | None:
    """How the titles of the lists on screen were grounded; None where nobody wrote titles."""
    if prepared.source is None or candidates.title_prompt() is None or slate.by_cloud_srm:
        return None
    as_of = interactions["as_of"].to_numpy()
    listed = np.flatnonzero(as_of >= 0)
    return answer_figures(prepared.source, users[listed].astype(np.int64), as_of[listed].astype(np.int64))


def missing_note(candidates: sections.Candidates, load: dict[str, Any], reacts: bool) -> list[Note]:
    """How often the user's own table had no answer."""
    missing, then = load.get("missing_answers", 0), candidates.when_missing(reacts)
    said = "requests that the table has no list for, {then}: {requests:,}"
    return [note("missing_answers", said, then=then, requests=missing)] if missing and then is not None else []


def engine_notes(slate: sections.Slate, llm: sections.Llm, cloud: sections.Cloud, model: str) -> list[Note]:
    """How far step times may be off, where serving engines time them."""
    errors = [] if slate.by_cloud_srm else expected_errors(cloud, model, longest_request(llm).sequences)
    return [note("engine_error", "step times of {error}", error=error) for error in errors]


def account_note(slate: sections.Slate, cloud: sections.Cloud, objective: str, devices: int) -> Note:
    """What the two accounts are of, for a fleet of so many devices."""
    servers = "cores" if slate.by_cloud_srm else "replicas"
    own = {
        "gpus": "the fewest {servers} with {objective} for a fleet of {devices:,} in its busiest half hour",
        "api": "what a fleet of {devices:,} pays a hosted API whose limits are wide enough",
        "overflow": "the {servers} that are worth their rent beside a hosted API, with {objective}, for a fleet of "
        "{devices:,}, and what the API is paid for the rest",
    }
    said = own["gpus" if slate.by_cloud_srm else cloud.kind]
    text = f"cost account: provisioned, {said}; marginal, what the requests used"
    return note(COST_ACCOUNT, text, servers=servers, objective=objective, devices=devices)


def provisioned_notes(slate: sections.Slate, cloud: sections.Cloud, service: Service, found: Account) -> list[Note]:
    """What the two accounts are; where the second one cannot be had, or leaves something out, why."""
    notes = [account_note(slate, cloud, str(found.objective), found.represented["devices"])]
    if found.failed is not None:
        said = "provisioned account: none, since it could not be computed ({error})"
        notes.append(note(PROVISIONED_NONE, said, error=found.failed))
    elif found.provision.servers is None:
        alone_s = found.provision.alone_s
        said = (
            "provisioned account: none, since on an empty node {excess}; relax cloud.slo, or serve a smaller model or "
            "a faster GPU"
        )
        known = alone_s if math.isfinite(alone_s) else None
        notes.append(note(PROVISIONED_NONE, said, excess=found.provision.excess, alone_s=known))
    elif found.provision.misses:
        said = "the hosted API does not meet cloud.slo: {excess}"
        notes.append(note("slo_missed", said, excess=found.provision.excess, alone_s=found.provision.alone_s))
    notes += service.peak_notes(found.provision.peak_per_s)
    left_out = service.not_provisioned()
    if left_out:
        notes.append(note(PROVISIONED_LEAVES_OUT, "provisioned account: leaves out {parts}", parts=left_out))
    return notes


def run_notes(
    policy: sections.Policy, workload: sections.Workload, of: dict[str, str], prepared: Prepared, base: dict[str, Ints]
) -> list[Note]:
    """What is to be known of the models, the split, the stream and what is shown; `of`: whose quality, whose cost."""
    split, stream, request = prepared.trained.split, prepared.population.stream, policy.request
    notes = [*split.log.notes, note(QUALITY, "quality of {quality_of}, cost of {cost_of}", **of)]
    if request.knows_future:
        said = "request policy {policy} knows the future: a bound, which nobody can run"
        notes.append(note("knows_future", said, policy=request.kind))
    if not stream.calendar:
        replayed = workload.arrivals.kind == "replay"
        why = "users are shifted against each other" if replayed else "moments of interactions are drawn"
        notes.append(note(NOT_CALENDAR, "events are not in calendar order: {why}", why=why))
    devices, users = prepared.population.n_devices, len(np.unique(prepared.population.owners))
    if devices > users:
        said = "users whose streams {devices:,} devices replay: {users:,}; intervals count users, not devices"
        notes.append(note("users_cloned", said, devices=devices, users=users))
    away = int((prepared.population.presence.joined_s >= stream.horizon_s).sum())
    if away:
        said = (
            "devices that never take part, {absent:,} of {devices:,}: no row of fleet.churn's trace brings them in time"
        )
        notes.append(note("never_there", said, absent=away, devices=devices))
    dropped = stream.dropped_after_horizon
    if dropped:
        said = "streamed interactions that come after the duration and are left out: {interactions:,}"
        notes.append(note("after_duration", said, interactions=dropped))
    if split.future_share > 0:
        said = "split {kind}: {share:.0%} of training events are later than a streamed event they may inform"
        notes.append(note("split_future", said, kind=split.kind, share=split.future_share))
    if split.log.problems:
        notes.append(note("log_problems", "the log's problems: {problems}", problems=dict(split.log.problems)))
    sampled = base["srm"] != NOT_EVALUATED
    if not sampled.all():
        said = "baseline srm: ranked on a sample of the interactions, {interactions:,}"
        notes.append(note("baseline_sampled", said, interactions=int(sampled.sum())))
    if policy.slate.asks and workload.hides_seen:
        then = "the SRM's best take their places" if workload.refills else "those behind them move up"
        notes.append(note("seen_hidden", "items that the user has had leave the slate at display; {then}", then=then))
    return notes
