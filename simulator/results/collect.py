"""From a world that has been run to its result: the tables and the summary."""

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fleetrec.models.runtime.pieces import pieces
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.costs import carbon_signal, device_cost, network_cost
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.engine.world import World
from fleetrec.simulator.fleet.message_sizes import install_bytes
from fleetrec.simulator.preparation import illegal_beams, list_quality
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.title_answers import answer_notes
from fleetrec.simulator.records.column_units import telling_units
from fleetrec.simulator.results import summary as parts
from fleetrec.simulator.results.account import Sought, account
from fleetrec.simulator.results.assumptions import hangs_on
from fleetrec.simulator.results.baselines import baseline_ranks
from fleetrec.simulator.results.closed_loop import lives_notes, lives_of, popularity_of_items
from fleetrec.simulator.results.engagement import engagement_headline
from fleetrec.simulator.results.notes import (
    CAVEAT,
    engine_notes,
    list_answers,
    missing_note,
    provisioned_notes,
    quality_of,
    run_notes,
)
from fleetrec.simulator.results.run_result import TABLES, RunResult
from fleetrec.simulator.results.training_curves import llm_training, training_notes, training_section
from fleetrec.simulator.results.update_summary import training_cost, update_section
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.workload.arrivals import gap_summary, gaps_of


def collect(
    scenario: sections.Scenario,
    prepared: Prepared,
    world: World,
    tuned: Tuned,
    progress: Progress,
    of_region: bool = False,
    users_fit: Mapping[str, Any] | None = None,
) -> RunResult:
    """The result of a world that has been run. Where it is one `of_region`, trainings are the fleet's and cost the
    region nothing. `users_fit`: how users who choose and were fitted compare with users who were held out."""
    trained, population, service = prepared.trained, prepared.population, world.service
    horizon_s = population.stream.horizon_s
    sought = Sought.begin(scenario.fleet, scenario.cloud.slo, prepared, service)
    records = world.recorder.finish()
    interactions, requests = (_to_pandas(records.pop(name)) for name in ("interactions", "requests"))
    used = service.used(requests, horizon_s)
    requests["usd_network"] = _traffic_usd(requests, scenario.tariffs)
    installed = install_bytes(scenario.policy.slate, scenario.srm.item_table, prepared.srm)
    devices = _devices(installed * (horizon_s / scenario.fleet.install_life), prepared, world, requests)
    users, owners = (of.astype(np.int32)[interactions["device"]] for of in (population.users, population.owners))
    steps, ranks = interactions["step"].to_numpy(), interactions["rank"].to_numpy()
    ks = scenario.metrics.k
    if world.reactions is not None:  # of histories that have grown, also the states that no slate was made of
        prepared.scores.ready(users.astype(np.int64), steps.astype(np.int64) - 1)
    base = baseline_ranks(
        trained,
        prepared.srm,
        prepared.scores,
        users,
        steps,
        scenario.llm.list_length,
        scenario.workload.hides_seen,
        progress,
    )
    chosen = None if world.reactions is None else _to_pandas(world.reactions.table())
    lives = None if chosen is None else lives_of(chosen, prepared, interactions)
    known = population.fleet.class_names, popularity_of_items(trained.training), trained.split.log.user_ids
    told = None if lives is None else lives.told(*known)
    judged = slice(None) if lives is None else lives.alone
    ours, own = owners[judged], {name: values[judged] for name, values in base.items()}
    baselines = {name: parts.baseline_section(values, ours, ks) for name, values in own.items()}
    accuracy = parts.accuracy_section(ranks[judged], ours, ks)
    gain = parts.gain_section(ranks[judged], own, ours, ks)
    share = parts.share_section(scenario.policy, len(requests), int(devices["decisions"].sum()))
    updates = world.log.table()
    training = training_cost(None if of_region else world.learning, scenario.tariffs)
    network = network_cost(float(devices["bytes_up"].sum()), float(devices["bytes_down"].sum()), scenario.tariffs)
    carbon = carbon_signal(scenario.tariffs).mean(0.0, horizon_s)
    of_devices = np.bincount(interactions["device"], minlength=population.n_devices)
    shown, shown_by = (
        (scenario.policy.slate, scenario.llm.candidates),
        (SlateInputs.of(scenario), scenario.llm.served_as),
    )
    hanging = hangs_on(*shown_by, prepared, world.scorer.slates, interactions[judged], own["srm"])
    # As late as can be: what it waits for is worked out beside all of the above.
    provisioned = account(sought, scenario.tariffs, prepared, service, requests, devices, of_devices, training)
    answers = list_answers(*shown, prepared, interactions, users)
    prompt = scenario.llm.candidates.title_prompt()
    of = {
        "quality_of": quality_of(scenario.policy.slate, scenario.llm, scenario.srm.kind),
        "cost_of": service.cost_label,
    }
    load = service.load(horizon_s)
    notes = [
        *run_notes(scenario.policy, scenario.workload, of, prepared, base),
        *training_notes(scenario.llm.candidates.kind, prepared),
        *parts.request_notes(requests, population.presence.joined_s),
        *(answer_notes(answers, prompt.fill) if answers and prompt else []),
        *missing_note(scenario.llm.candidates, load, lives is not None),
        *service.notes(),
        *engine_notes(scenario.policy.slate, scenario.llm, scenario.cloud, service.cost_label),
        *illegal_beams.notes(prepared.inputs.lists),
        *list_quality.notes(prepared.inputs.lists),
        *tuned.notes,
        *provisioned_notes(scenario.policy.slate, scenario.cloud, service, provisioned),
        *([CAVEAT] if lives is None else lives_notes(scenario.workload, tuned.curve is not None, users_fit)),
    ]
    summary: dict[str, Any] = {
        "schema_version": parts.SCHEMA_VERSION,
        "scenario": scenario.name,
        "seed": scenario.seed,
        "headline": "",  # below, of all the rest
        "notes": data_of(*notes),
        "split": {
            "kind": trained.split.kind,
            "description": trained.split.description,
            "future_share": trained.split.future_share,
            **trained.split.counts,
        },
        "simulated_seconds": horizon_s,
        "starts_at": parts.date_text(population.stream.zero_s),
        "devices": population.n_devices,
        "interactions": len(interactions),
        "accuracy": accuracy,
        "accuracy_by": _accuracy_by(prepared, interactions, judged, users, ks),
        "baselines": baselines,
        "gain_over": gain,
        "freshness": parts.freshness_section(interactions),
        **({} if told is None else told.sections),
        **({} if users_fit is None else {"users_fit": users_fit}),
        "requests": {**parts.request_section(requests, len(interactions)), **share, "threshold": tuned.threshold},
        "latency_s": parts.latency_section(interactions, requests),
        "pace": pace(gaps_of(population.stream), requests),
        "cloud": {**load, "headroom": provisioned.headroom_of(_servers(scenario.policy.slate, scenario.cloud))},
        "updates": update_section(
            scenario.policy.update.kind, world.log, updates, training, population.n_devices, horizon_s
        ),
        "cost": parts.cost_section(
            used,
            service.kept(horizon_s),
            network,
            device_cost(float(devices["joules"].sum()), carbon),
            len(interactions),
            training,
            float(devices["bytes_installed"].sum()),
        )
        | provisioned.figures,
        "represented": provisioned.represented,
        "hangs_on": hanging,
        "models": {
            "srm": {"kind": scenario.srm.kind, **training_section(trained.srm.validation, trained.srm.curve)},
            "llm": of | llm_training(prepared) | ({"answers": answers} if answers else {}),
        },
        "versions": {name: version(name) for name in ("torch", "numpy", "simpy", "transformers")}
        | {"python": platform.python_version()},
    }
    with told_in(scenario.tariffs.currency):
        said = parts.headline(scenario.policy, summary) if lives is None else engagement_headline(summary)
    summary["headline"] = said
    of_each = {name: interactions[name].to_numpy() for name in ("device", "step")}
    alone = pd.DataFrame(of_each | {name: held.astype(np.int32, copy=False) for name, held in base.items()}, copy=False)
    items, ids = _ids(prepared)
    tables = (interactions, requests, devices, items, ids, service.timeline(), updates, provisioned.draws, alone)
    named = dict(zip(TABLES, map(telling_units, tables), strict=True))
    if chosen is not None:
        named["opportunities"] = telling_units(chosen)
    if told is not None and told.feedback_without is not None:
        named["feedback"] = telling_units(told.feedback_without)
    return RunResult(parts.finite(summary), named, scenario, notes, lives=lives)


def _ids(prepared: Prepared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the numbers of items and devices mean in the user's own log."""
    log, users = prepared.trained.split.log, prepared.population.owners
    items = {"item": np.arange(log.n_items, dtype=np.int32), "item_id": log.item_ids.astype(str)}
    devices = np.arange(len(users), dtype=np.int32)
    owners = {"device": devices, "user": users.astype(np.int32), "user_id": log.user_ids[users].astype(str)}
    return pd.DataFrame(items), pd.DataFrame(owners)


def _servers(slate: sections.Slate, cloud: sections.Cloud) -> int | None:
    """Replicas (cores) of the configured cloud; None where their number or kind changes while the run goes."""
    if slate.by_cloud_srm:
        return cloud.cpu_cores
    varies = cloud.pools or cloud.disaggregation is not None or cloud.autoscale is not None or cloud.spot is not None
    return None if varies or cloud.kind != "gpus" else cloud.replicas


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """The same table, a column at a time, so that no column is held twice for longer than it takes."""
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _traffic_usd(requests: pd.DataFrame, tariffs: sections.Tariffs) -> NDArray[np.float64]:
    per_up, per_down = network_cost(1.0, 0.0, tariffs).usd, network_cost(0.0, 1.0, tariffs).usd
    usd = requests["bytes_up"] * per_up + requests["bytes_down"] * per_down
    return usd.to_numpy(dtype=np.float64)


def _devices(share: float, prepared: Prepared, world: World, requests: pd.DataFrame) -> pd.DataFrame:
    """One row a device. An installation lasts for `fleet.install_life`: the run bears its `share` of it as bytes down,
    which is `bytes_installed`."""
    population, fleet = prepared.population, prepared.population.fleet
    n = population.n_devices
    joined = population.presence.joined_s <= population.stream.horizon_s
    owner = requests["device"].to_numpy()
    up = np.bincount(owner, requests["bytes_up"], minlength=n)
    down = np.bincount(owner, requests["bytes_down"], minlength=n)
    installed = np.where(joined, share, 0.0)
    pushed, uploaded = np.array(world.log.bytes_down), np.array(world.log.bytes_up)
    return pd.DataFrame(
        {
            "device": np.arange(n, dtype=np.int32),
            "user": prepared.trained.split.log.user_ids[population.users].astype(str),
            "class": np.array(fleet.class_names, dtype=object)[fleet.class_index],
            "link": population.network.link_names,
            "decisions": world.decisions,
            "joules": world.joules,
            "bytes_up": up + uploaded,
            "bytes_down": down + pushed + installed,
            "bytes_installed": installed,
            "bytes_pushed": pushed,
            "memory_bytes": np.where(joined, world.held_bytes, 0.0),
            "joined_s": population.presence.joined_s,
            "left_s": population.presence.left_s,
        }
    )


def _accuracy_by(
    prepared: Prepared,
    interactions: pd.DataFrame,
    judged: slice | NDArray[np.bool_],
    users: NDArray[np.int32],
    ks: tuple[int, ...],
) -> dict[str, Any]:
    """By groups of the interactions that are `judged` [M], of these `users` [M]."""
    trained, population = prepared.trained, prepared.population
    fleet, stream = population.fleet, population.stream
    device, step, item, ranks = (interactions[name].to_numpy()[judged] for name in ("device", "step", "item", "rank"))
    users = users[judged]
    trained_items = trained.training.items[trained.training.events_before(trained.training.valid_end)]
    kinds = parts.kinds_of_items(np.bincount(trained_items, minlength=trained.histories.n_items))
    gaps, targets = (np.empty(len(device), dtype=np.int8) for _ in range(2))
    for piece in pieces(len(device)):
        whose, steps, items = users[piece].astype(np.int64), step[piece].astype(np.int64), item[piece].astype(np.int64)
        begins = trained.split.history[whose]
        row = stream.device_offsets[device[piece]] + steps - begins
        gap_s = np.where(steps > begins, stream.t_s[row] - stream.t_s[np.maximum(row - 1, 0)], np.inf)
        gaps[piece] = parts.gap_groups(gap_s)
        first_seen = trained.histories.first_position(whose, items[:, None])[:, 0]
        targets[piece] = parts.target_groups(items, kinds, first_seen, steps)
    return {
        "gap": parts.by_group(ranks, gaps, parts.GAPS, ks),
        "target": parts.by_group(ranks, targets, parts.TARGETS, ks),
        "class": parts.by_group(ranks, fleet.class_index.astype(np.int16)[device], fleet.class_names, ks),
    }


def pace(gaps_s: NDArray[np.float64], requests: pd.DataFrame) -> dict[str, Any]:
    """How fast users go on against how fast answers come: it decides what can be learnt from a run about latency."""
    gaps = gap_summary(gaps_s)
    responses_s = parts.response_times_s(requests)
    response_s = float(pd.Series(responses_s).median()) if len(responses_s) else math.nan
    median_s = gaps["median_gap_s"]
    ratio = median_s / response_s if median_s is not None and response_s > 0 else math.nan
    return {**gaps, "median_response_s": response_s, "gap_to_response": ratio}
