"""What a summary notes of a run in words: what its figures hang on, and what they leave out."""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.preparation.prepare import WITHOUT_CLOUD, Prepared
from fleetrec.simulator.preparation.title_answers import answer_figures
from fleetrec.simulator.results.account import Account
from fleetrec.simulator.results.baselines import NOT_EVALUATED
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

CAVEAT = "logged choices do not react to slates: results measure prediction, not engagement"


def quality_of(scenario: sections.Scenario) -> str:
    if scenario.policy.slate == "cloud_srm":
        return f"{scenario.srm.kind} over the catalogue"
    return scenario.llm.candidates.label()


def list_answers(
    scenario: sections.Scenario, prepared: Prepared, interactions: pd.DataFrame, users: Ints
) -> dict[str, float] | None:
    """How the titles of the lists on screen were grounded; None where nobody wrote titles."""
    titles = scenario.llm.candidates.title_prompt() is not None and scenario.policy.slate != "cloud_srm"
    if prepared.source is None or not titles:
        return None
    as_of = interactions["as_of"].to_numpy().astype(np.int64)
    return answer_figures(prepared.source, users[as_of >= 0], as_of[as_of >= 0])


def missing_note(scenario: sections.Scenario, load: dict[str, Any]) -> list[str]:
    """How often the user's own table had no answer."""
    missing = load.get("missing_answers", 0)
    note = scenario.llm.candidates.missing_note(counted(missing, "request")) if missing else None
    return [note] if note is not None else []


def provisioned_note(scenario: sections.Scenario, service: Service, found: Account) -> list[str]:
    """What the two accounts are; where the second one cannot be had, or leaves something out, why."""
    represents, provision = found.represented["devices"], found.provision
    what = f"cost account: provisioned, the fewest replicas with {found.objective} for a fleet of {represents:,}"
    if scenario.policy.slate == "cloud_srm":
        what = what.replace("replicas", "cores")
    notes = [f"{what} in its busiest half hour; marginal, what the requests used"]
    if found.failed is not None:
        notes.append(f"provisioned account: none, since it could not be computed ({found.failed})")
    elif provision.servers is None:
        alone = "never ends" if math.isnan(provision.alone_s) else f"takes {provision.alone_s:.3g} s"
        notes.append(
            f"provisioned account: none, since the p95 request {alone} on an empty node; "
            "relax cloud.slo.p95_latency, or serve a smaller model or a faster GPU"
        )
    left_out = service.not_provisioned(found.scale)
    if left_out:
        notes.append(f"provisioned account: leaves out {', '.join(left_out)}")
    return notes


def run_notes(scenario: sections.Scenario, prepared: Prepared, service: Service, base: dict[str, Ints]) -> list[str]:
    notes = [*prepared.learnt.split.log.notes]
    notes.append(f"quality of {quality_of(scenario)}, cost of {service.cost_label}")
    if scenario.policy.request.knows_future:
        notes.append(f"request policy {scenario.policy.request.kind} knows the future: a bound, which nobody can run")
    if not prepared.population.stream.calendar:
        replayed = scenario.workload.arrivals.kind == "replay"
        why = "users are shifted against each other" if replayed else "moments of interactions are drawn"
        notes.append(f"events are not in calendar order: {why}")
    devices, users = prepared.population.n_devices, len(np.unique(prepared.population.users))
    if devices > users:
        notes.append(
            f"{devices:,} devices replay the streams of {counted(users, 'user')}: intervals count users, not devices"
        )
    dropped = prepared.population.stream.dropped_after_horizon
    if dropped:
        notes.append(f"{counted(dropped, 'streamed interaction')} would come after the duration and are left out")
    if prepared.learnt.split.future_share > 0:
        notes.append(
            f"split {prepared.learnt.split.kind}: {prepared.learnt.split.future_share:.0%} of training events are "
            "later than a streamed event they may inform"
        )
    if prepared.learnt.split.log.problems:
        problems = ", ".join(f"{name} {count}" for name, count in prepared.learnt.split.log.problems.items())
        notes.append(f"the log's problems: {problems}")
    sampled = base["srm"] != NOT_EVALUATED
    if not sampled.all():
        notes.append(f"baseline srm: ranked on a sample of {counted(sampled.sum(), 'interaction')}")
    if scenario.policy.slate not in WITHOUT_CLOUD and scenario.workload.hides_seen:
        then = "the SRM's best take their places" if scenario.workload.refills else "those behind them move up"
        notes.append(f"items that the user has had leave the slate at display; {then}")
    return notes
