"""A rehearsal: the load of a simulated fleet at a real server, what was measured, and what that does to the answer."""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from fleetrec.models.llm.api_key import read_key
from fleetrec.models.llm.chat_parameters import ChatParameters
from fleetrec.models.llm.table import check_table
from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.calibration import Machine, read_log, save_profile
from fleetrec.simulator.cloud.calibration import Server as Served
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue, served_model
from fleetrec.simulator.cloud.hardware.names import model_called
from fleetrec.simulator.cloud.pools import kinds_of
from fleetrec.simulator.cloud.tokens import longest_request
from fleetrec.simulator.core.notes import Note, data_of, note
from fleetrec.simulator.experiments.rehearsal.clouds import Cloud, HostedApi, OwnGpus
from fleetrec.simulator.experiments.rehearsal.comparison import Comparison, compared
from fleetrec.simulator.experiments.rehearsal.effect import effect_of
from fleetrec.simulator.experiments.rehearsal.folder import (
    ANSWERS,
    LOG,
    PROFILE,
    REQUESTS,
    SCENARIO,
    SUMMARY,
    empty,
)
from fleetrec.simulator.experiments.rehearsal.load import Load, load_of
from fleetrec.simulator.experiments.rehearsal.log import LogFile, frame_of, write_answers, write_log
from fleetrec.simulator.experiments.rehearsal.reaching import check_address, check_answers
from fleetrec.simulator.experiments.rehearsal.sender import LATE_S, End, Sending, Sent, Server, send
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.prompt_export import Prompts
from fleetrec.simulator.preparation.request_tokens import CHARACTERS_PER_TOKEN
from fleetrec.simulator.records.parquet import write_table
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.summary import finite
from fleetrec.simulator.scenario import resolved_yaml, sections
from fleetrec.simulator.scenario.units import DURATION
from fleetrec.simulator.simulation import simulate_prepared

_LATE_SHARE = 0.01
_FAILED = ("refused", "timed_out", "broken_off", "no_answer", "unreachable")


@dataclass(frozen=True)
class Plan:
    """How a rehearsal is held."""

    url: str
    model: str
    key_variable: str | None = None
    speed: float = 1.0
    """times as fast as simulated"""
    seconds: float = 300.0
    """that requests are sent for, of real time"""
    begin_s: float | None = None
    """of the simulated run; None: the busiest stretch"""
    most_requests: int = 10_000
    most_at_once: int = 256
    limit: int | None = None
    """most tokens of an answer; None: as the fleet would ask"""
    timeout_s: float = 60.0
    fit_first: float = 0.5


@dataclass(frozen=True)
class Rehearsal:
    """A simulated run and the part of its load that is to be sent."""

    plan: Plan
    prepared: Prepared
    run: RunResult
    load: Load
    cloud: Cloud
    """what the scenario takes the server for"""
    server: Server
    device: str

    def described(self) -> str:
        """What is about to be sent, in words."""
        load = self.load
        output = sum(one.limit for one in load.due)
        return (
            f"{counted(len(load), 'request')} with about {int(load.prompt_tokens.sum()):,} tokens of prompts, for at "
            f"most {output:,} tokens of answers, within {load.due[-1].due_s:,.0f} s, {self.plan.most_at_once} at once"
        )


def check_plan(plan: Plan, scenario: sections.Scenario) -> None:
    """InputError for what can be known to be wrong before anything is simulated or sent."""
    check_address(plan.url)
    if not plan.model.strip():
        raise InputError("--model: nothing is named; give the model's name as the server knows it")
    if plan.begin_s is not None and plan.begin_s < 0:
        raise InputError(f"--from {DURATION.show(plan.begin_s)}: lies before the simulated run; name a moment of it")
    for option, value in (("--speed", plan.speed), ("--minutes", plan.seconds), ("--timeout", plan.timeout_s)):
        if not 0 < value < math.inf:
            raise InputError(f"{option}: expected a number above 0, got {value:g}")
    if not 0 < plan.fit_first < 1:
        raise InputError(f"--fit-first {plan.fit_first:g}: the part to fit must be above 0 and below 1")
    read_key(plan.key_variable, "--key-variable")
    if scenario.regions:
        raise InputError("rehearse: the scenario has regions, each with a cloud of its own; rehearse one without them")
    if scenario.policy.slate.by_cloud_srm or not scenario.policy.slate.asks:
        raise InputError(
            f"rehearse: the slate {scenario.policy.slate.kind} asks no LLM, so there is nothing to send; rehearse a "
            "scenario whose policy asks one"
        )


def prepare_rehearsal(plan: Plan, scenario: sections.Scenario, device: str, progress: Progress) -> Rehearsal:
    """Simulate the scenario, and find what of its load is to be sent. InputError as `simulate` and `load_of` say."""
    check_plan(plan, scenario)
    prepared = prepare(scenario, device, progress)
    run = simulate_prepared(scenario, prepared, None, device, progress)
    titles, sequences = scenario.llm.candidates.title_prompt(), longest_request(scenario.llm).sequences
    limit = plan.limit or (titles.max_new_tokens if titles is not None else None)
    load = load_of(run, prepared, sequences, plan.seconds, plan.speed, plan.most_requests, plan.begin_s, limit)
    parameters = ChatParameters(load.due[0].limit, stream=True, stream_options={"include_usage": True})
    key = read_key(plan.key_variable, "--key-variable")
    server = Server(plan.url, plan.model, key, parameters, plan.timeout_s)
    return Rehearsal(plan, prepared, run, load, _cloud(plan, scenario.llm, scenario.cloud, prepared), server, device)


def rehearse(rehearsal: Rehearsal, folder: Path, progress: Progress) -> dict[str, Any]:
    """Send the load and write what was measured to `folder`, before anything is made of it; the summary.

    InputError where the server cannot be used, or answered nothing.
    """
    load, server = rehearsal.load, rehearsal.server
    check_answers(server, load.due[0], rehearsal.plan.key_variable)
    empty(folder)
    with atomic_path(folder / SCENARIO) as path:
        path.write_text(resolved_yaml(rehearsal.run.scenario), encoding="utf-8")
    with LogFile(folder / LOG, load) as log, progress.task("sending", len(load)) as task:

        def ended(number: int, sent: Sent) -> None:
            log.add(number, sent)
            task.advance()

        sending = send(server, load.due, rehearsal.plan.most_at_once, ended)
    write_table(frame_of(load, sending.sent, rehearsal.prepared.trained.split.log), folder / REQUESTS)
    answered = write_log(folder / LOG, load, sending.sent)
    if not answered:
        first = next((one for one in sending.sent if one.why), None)
        raise InputError(
            f"--url {server.address}: none of {counted(len(sending.sent), 'request')} was answered"
            + (f" (the first: {first.why})" if first else "")
            + f"; {folder / REQUESTS} holds how each ended"
        )
    summary = _concluded(rehearsal, sending, folder, progress)
    with atomic_path(folder / SUMMARY) as path:
        path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return summary


def _concluded(rehearsal: Rehearsal, sending: Sending, folder: Path, progress: Progress) -> dict[str, Any]:
    """What is made of the measurement."""
    plan, prepared, load = rehearsal.plan, rehearsal.prepared, rehearsal.load
    log = prepared.trained.split.log
    found = compared(read_log(folder / LOG), rehearsal.cloud, plan.fit_first)
    fared = _sent(load, sending)
    notes = [*_notes(rehearsal, sending, fared), *found.notes]
    effect = None
    if found.found is not None:
        notes += found.found.notes
        if found.found.profile is not None:
            save_profile(found.found.profile, folder / PROFILE)
        effect, more = effect_of(rehearsal.run, prepared, rehearsal.cloud, folder, rehearsal.device, progress)
        notes += more
    measured = _add_simulated(folder, found)
    answers: dict[str, Any] = dict(
        write_answers(folder / ANSWERS, load, sending.sent, Prompts(prepared.inputs, log), log)
    )
    if (folder / ANSWERS).exists():
        answers["recall"] = check_table(folder / ANSWERS, log)["recall"]
    figures: dict[str, Any] = {
        "scenario": rehearsal.run.scenario.name,
        "seed": rehearsal.run.scenario.seed,
        "plan": asdict(plan),
        "guess": rehearsal.cloud.name,
        "sent": fared,
        "tokens": _tokens(measured),
        **found.figures(),
        "profile": None if found.found is None else dict(found.found.figures),
        "effect": effect,
        "answers": answers,
        "notes": data_of(*notes),
    }
    return dict(finite(figures))


def _cloud(plan: Plan, llm: sections.Llm, cloud: sections.Cloud, prepared: Prepared) -> Cloud:
    """What the scenario takes the server for: its API, or a replica of its first kind."""
    if cloud.kind == "api":
        assert cloud.api is not None
        return HostedApi(cloud.api, prepared.draws)
    section, kind = kinds_of(llm, cloud, served_model(llm.served_as, prepared.architecture))[0]
    called = model_called(plan.model, default_catalogue().models)
    if called is None or called.name != llm.served_as:
        return OwnGpus(kind, None)
    return OwnGpus(kind, Served(Machine(kind.model, kind.gpu), section.gpus_per_replica, kind.engine))


def _add_simulated(folder: Path, found: Comparison) -> pd.DataFrame:
    """The simulated times of each answered request beside its measured ones in `rehearsal.parquet`: what it holds."""
    frame = pd.read_parquet(folder / REQUESTS)
    answered = np.flatnonzero(frame["outcome"] == "answered")
    in_order = answered[np.argsort(frame["sent_s"].to_numpy()[answered], kind="stable")]
    begin_s = float(frame["sent_s"].to_numpy()[in_order[0]])
    held = {"guess": found.guess, "profile": None if found.found is None else found.found.simulated}
    for name, outcomes in held.items():
        for column in ("first_s", "last_s"):
            times = np.full(len(frame), np.nan)
            if outcomes is not None:
                times[in_order] = getattr(outcomes.one, column) + begin_s
            frame[f"{name}_{column}"] = times
    frame["fitted"] = False
    if found.found is not None:
        frame.loc[in_order[: found.fitted], "fitted"] = True
    write_table(frame, folder / REQUESTS)
    return frame


def _sent(load: Load, sending: Sending) -> dict[str, Any]:
    """How the requests that were due fared, and how late the sender itself was."""
    lateness = np.array([one.sent_s - one.due_s for one in sending.sent])
    lateness = lateness[np.isfinite(lateness)]
    ends = Counter(one.end for one in sending.sent)
    return {
        "due": len(load),
        "sent": len(lateness),
        **{end: ends.get(end, 0) for end in get_args(End)},
        "late": int((lateness > LATE_S).sum()),
        "late_share": float((lateness > LATE_S).mean()) if len(lateness) else None,
        "late_s": {f"p{p}": float(np.percentile(lateness, p)) for p in (50, 99, 100)} if len(lateness) else {},
        "seconds": max((one.sent_s for one in sending.sent if one.sent_s == one.sent_s), default=0.0),
        "interrupted": sending.interrupted,
        "gave_up": sending.hopeless,
    }


def _tokens(measured: pd.DataFrame) -> dict[str, Any]:
    """Tokens of answered requests in the mean, as simulated and as the server counts them."""
    frame = measured[measured["outcome"] == "answered"]
    names = ("prompt_tokens", "output_tokens", "simulated_prompt_tokens", "simulated_output_tokens")
    return {name: float(frame[name].astype("float64").mean()) for name in names}


def _notes(rehearsal: Rehearsal, sending: Sending, figures: dict[str, Any]) -> list[Note]:
    """What bounds what the measurement says; `figures`: how requests fared."""
    notes, load, sent = [], rehearsal.load, sending.sent
    answered = [one for one in sent if one.answer is not None]
    if figures["late"]:
        bound = "so the load was not quite the simulated one" if figures["late_share"] > _LATE_SHARE else "which is few"
        said = (
            "{late} of {sent} requests were sent more than {least_ms:g} ms after their moment ({share:.1%}, by up to "
            f"{{most_ms:.0f}} ms), {bound}; times count from when each was sent, and a first token may be seen as late"
        )
        values = {"late": figures["late"], "sent": figures["sent"], "share": figures["late_share"]}
        notes.append(note("sent_late", said, **values, least_ms=1e3 * LATE_S, most_ms=1e3 * figures["late_s"]["p100"]))
    if figures["held_back"]:
        said = "{held} requests were not sent, for {most} were under way at once: the server lags behind the load"
        notes.append(note("held_back", said, held=figures["held_back"], most=rehearsal.plan.most_at_once))
    failed = {end: figures[end] for end in _FAILED if figures[end]}
    if failed:
        said = "requests without an answer are in no figure of times: {failed}; the first, {why}"
        why = next(one.why for one in sent if one.end in failed)
        notes.append(note("unanswered", said, failed=failed, why=why))
    if figures["interrupted"] or figures["gave_up"]:
        said = "it ended early: {sent} of {due} requests were sent"
        notes.append(note("ended_early", said, sent=figures["sent"], due=len(load)))
    if any(not math.isfinite(one.answer.reply.output_tokens) for one in answered if one.answer):
        said = "the server does not count its tokens: {characters:g} characters of a prompt, or an event, are one"
        notes.append(note("tokens_not_counted", said, characters=CHARACTERS_PER_TOKEN))
    replicas = rehearsal.run.scenario.cloud.replicas
    if replicas > 1 and isinstance(rehearsal.cloud, OwnGpus):
        said = (
            "the server stands for one replica and got the load of all {replicas}; --speed {speed:.3g} sends its share"
        )
        notes.append(note("replicas", said, replicas=replicas, speed=rehearsal.plan.speed / replicas))
    if longest_request(rehearsal.run.scenario.llm).sequences > 1:
        notes.append(note("beams", "the protocol knows no beams, so each request was for one sequence"))
    return notes
