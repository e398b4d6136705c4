"""A run's result: its tables, its summary, and the files they become."""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.costs import carbon_signal, device_cost, network_cost
from fleetrec.simulator.core.wording import counted
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.engine.context import World
from fleetrec.simulator.fleet.message_sizes import held_bytes, install_bytes
from fleetrec.simulator.preparation.candidate_sources import answer_figures, answer_note
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import WITHOUT_CLOUD, Prepared
from fleetrec.simulator.records.column_units import telling_units
from fleetrec.simulator.records.update_log import training_cost, update_section
from fleetrec.simulator.results import summary as parts
from fleetrec.simulator.results.account import Account, account
from fleetrec.simulator.results.assumptions import hangs_on
from fleetrec.simulator.results.baselines import NOT_EVALUATED, baseline_ranks
from fleetrec.simulator.results.run_folder import RunFolder
from fleetrec.simulator.results.training_curves import llm_training, training_notes, training_section
from fleetrec.simulator.scenario import resolved_yaml, sections
from fleetrec.simulator.workload.arrivals import gap_summary, gaps_of

Ints = NDArray[np.int64]

TABLES = ("interactions", "requests", "devices", "items", "users", "cloud", "updates", "account", "baselines")
CAVEAT = "logged choices do not react to slates: results measure prediction, not engagement"


@dataclass
class RunResult:
    """What a run found: `summary`, and tables of interactions, requests, devices, items, users, cloud load, updates and
    account (pandas; `attrs["units"]` has the units of their columns)."""

    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]
    """by name; those of a run in regions are read from its folder each time"""
    scenario: sections.Scenario
    timing: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def interactions(self) -> pd.DataFrame:
        """One row an interaction."""
        return self.tables["interactions"]

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request."""
        return self.tables["requests"]

    @property
    def devices(self) -> pd.DataFrame:
        """One row a device."""
        return self.tables["devices"]

    @property
    def items(self) -> pd.DataFrame:
        """The number of each item in these tables, and its id in the log."""
        return self.tables["items"]

    @property
    def users(self) -> pd.DataFrame:
        """Whose interactions each device has: the user's place and id in the log."""
        return self.tables["users"]

    @property
    def cloud(self) -> pd.DataFrame:
        """Queue and busy replicas over time."""
        return self.tables["cloud"]

    @property
    def updates(self) -> pd.DataFrame:
        """One row a version released, an install or an adaptation."""
        return self.tables["updates"]

    @property
    def account(self) -> pd.DataFrame:
        """One row a bootstrap draw of users: what the represented fleet costs."""
        return self.tables["account"]

    @property
    def baselines(self) -> pd.DataFrame:
        """One row an interaction: the rank of its item under every baseline, -1 absent and -2 not evaluated."""
        return self.tables["baselines"]

    def write(self, folder: RunFolder) -> None:
        """Write the run's files to `folder`; each appears whole or not at all, and all carry the run's id."""
        folder.begin()
        for name, table in self.tables.items():
            folder.write_table(name, table)
        self.write_texts(folder)

    def write_texts(self, folder: RunFolder) -> None:
        """Write what is no table: the scenario, timing and the summary; then the folder is whole."""
        self.timing = {"run": folder.run, **self.timing, "peak_rss_bytes": peak_rss_bytes()}
        self.summary = {"run": folder.run, **self.summary}
        folder.write_text(
            "scenario.yaml", f"# run: {folder.run}\n# made by: {folder.made_by}\n{resolved_yaml(self.scenario)}"
        )
        folder.write_text("timing.json", _json(self.timing))
        folder.write_text("summary.json", _json(self.summary))
        folder.finish(varying=("timing.json",))
        self.folder = folder.path


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def collect(
    scenario: sections.Scenario,
    prepared: Prepared,
    world: World,
    tuned: Tuned,
    progress: Progress,
    of_region: bool = False,
) -> RunResult:
    """The result of a world that has been run. Where it is one `of_region`, trainings are the fleet's and cost the
    region nothing."""
    learnt, population, service = prepared.learnt, prepared.population, world.service
    horizon_s = population.stream.horizon_s
    records = world.recorder.finish()
    interactions, requests = (_to_pandas(records.pop(name)) for name in ("interactions", "requests"))
    used = service.used(requests, horizon_s)
    requests["usd"] += _traffic_usd(requests, scenario.tariffs)
    devices = _devices(scenario, prepared, world, requests)
    users = population.users[interactions["device"].to_numpy()]
    steps = interactions["step"].to_numpy().astype(np.int64)
    ranks = interactions["rank"].to_numpy().astype(np.int64)
    ks = scenario.metrics.k
    base = baseline_ranks(
        learnt,
        prepared.srm,
        prepared.scores,
        users,
        steps,
        scenario.llm.list_length,
        scenario.workload.hides_seen,
        progress,
    )
    baselines = {
        name: parts.accuracy_section(values[values >= -1], users[values >= -1], ks) for name, values in base.items()
    }
    accuracy = parts.accuracy_section(ranks, users, ks)
    gain = parts.gain_section(ranks, base, users, ks)
    share = parts.share_section(scenario, len(requests), int(devices["decisions"].sum()))
    updates = world.log.table()
    training = training_cost(None if of_region else world.learning, scenario.tariffs)
    network = network_cost(float(devices["bytes_up"].sum()), float(devices["bytes_down"].sum()), scenario.tariffs)
    carbon = carbon_signal(scenario.tariffs).mean(0.0, horizon_s)
    met = np.bincount(interactions["device"], minlength=population.n_devices)
    provisioned = account(scenario, prepared, service, requests, devices, met, training)
    answers = _answers(scenario, prepared, interactions, users)
    load = service.load(horizon_s)
    summary: dict[str, Any] = {
        "schema_version": parts.SCHEMA_VERSION,
        "scenario": scenario.name,
        "seed": scenario.seed,
        "headline": parts.headline(
            scenario, accuracy, baselines, share, gain, provisioned.figures, provisioned.represented["devices"]
        ),
        "notes": [
            *_notes(scenario, prepared, service, base),
            *training_notes(scenario, prepared),
            *parts.request_notes(requests, population.presence.joined_s),
            *([answer_note(answers)] if answers else []),
            *_missing_note(scenario, load),
            *service.notes(),
            *([tuned.note] if tuned.note else []),
            *_provisioned_note(scenario, service, provisioned),
            CAVEAT,
        ],
        "split": {
            "kind": learnt.split.kind,
            "description": learnt.split.description,
            "future_share": learnt.split.future_share,
            **learnt.split.counts,
        },
        "simulated_seconds": horizon_s,
        "starts_at": parts.date_text(population.stream.zero_s),
        "devices": population.n_devices,
        "interactions": len(interactions),
        "accuracy": accuracy,
        "accuracy_by": _accuracy_by(prepared, interactions, users, steps, ranks, ks),
        "baselines": baselines,
        "gain_over": gain,
        "freshness": parts.freshness_section(interactions),
        "requests": {**parts.request_section(requests, len(interactions)), **share, "threshold": tuned.threshold},
        "latency_s": parts.latency_section(interactions, requests),
        "pace": pace(gaps_of(population.stream), requests),
        "cloud": {**load, "headroom": provisioned.headroom_of(_servers(scenario))},
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
        "hangs_on": hangs_on(scenario, prepared, world.scorer.slates, interactions, base["srm"]),
        "models": {
            "srm": {"kind": scenario.srm.kind, **training_section(learnt.srm.validation, learnt.srm.curve)},
            "llm": {"quality_of": _quality(scenario), "cost_of": service.cost_label}
            | llm_training(prepared)
            | ({"answers": answers} if answers else {}),
        },
        "versions": {name: version(name) for name in ("torch", "numpy", "simpy", "transformers")}
        | {"python": platform.python_version()},
    }
    alone = interactions[["device", "step"]].assign(**{name: held.astype(np.int32) for name, held in base.items()})
    items, owners = _ids(prepared)
    tables = (interactions, requests, devices, items, owners, service.timeline(), updates, provisioned.draws, alone)
    named = zip(TABLES, map(telling_units, tables), strict=True)
    return RunResult(parts.finite(summary), dict(named), scenario)


def _ids(prepared: Prepared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the numbers of items and devices mean in the user's own log."""
    log, users = prepared.learnt.split.log, prepared.population.users
    items = {"item": np.arange(log.n_items, dtype=np.int32), "item_id": log.item_ids.astype(str)}
    devices = np.arange(len(users), dtype=np.int32)
    owners = {"device": devices, "user": users.astype(np.int32), "user_id": log.user_ids[users].astype(str)}
    return pd.DataFrame(items), pd.DataFrame(owners)


def _servers(scenario: sections.Scenario) -> int | None:
    """Replicas (cores) of the configured cloud; None where their number or kind changes while the run goes."""
    cloud = scenario.cloud
    if scenario.policy.slate == "cloud_srm":
        return cloud.cpu_cores
    return None if cloud.pools or cloud.autoscale is not None or cloud.spot is not None else cloud.replicas


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    """The same table, a column at a time, so that no column is held twice for longer than it takes."""
    frame: pd.DataFrame = table.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _traffic_usd(requests: pd.DataFrame, tariffs: sections.Tariffs) -> NDArray[np.float64]:
    per_up, per_down = network_cost(1.0, 0.0, tariffs).usd, network_cost(0.0, 1.0, tariffs).usd
    usd = requests["bytes_up"] * per_up + requests["bytes_down"] * per_down
    return usd.to_numpy(dtype=np.float64)


def _devices(scenario: sections.Scenario, prepared: Prepared, world: World, requests: pd.DataFrame) -> pd.DataFrame:
    """One row a device. An installation lasts for `fleet.install_life`: the run bears its share of that life as bytes
    down; `bytes_installed` is that share."""
    population, fleet = prepared.population, prepared.population.fleet
    n = population.n_devices
    joined = population.presence.joined_s <= population.stream.horizon_s
    owner = requests["device"].to_numpy()
    up = np.bincount(owner, requests["bytes_up"], minlength=n)
    down = np.bincount(owner, requests["bytes_down"], minlength=n)
    life = population.stream.horizon_s / scenario.fleet.install_life
    installed = np.where(joined, install_bytes(scenario, prepared.srm) * life, 0.0)
    held = held_bytes(scenario, prepared.srm, world.messages.answer_bytes)
    pushed, uploaded = np.array(world.log.bytes_down), np.array(world.log.bytes_up)
    return pd.DataFrame(
        {
            "device": np.arange(n, dtype=np.int32),
            "user": prepared.learnt.split.log.user_ids[population.users].astype(str),
            "class": np.array(fleet.class_names, dtype=object)[fleet.class_index],
            "link": population.network.link_names,
            "decisions": np.array(world.decisions, dtype=np.int64),
            "joules": np.array(world.energy_j),
            "bytes_up": up + uploaded,
            "bytes_down": down + pushed + installed,
            "bytes_installed": installed,
            "bytes_pushed": pushed,
            "memory_bytes": np.where(joined, held, 0.0),
            "joined_s": population.presence.joined_s,
            "left_s": population.presence.left_s,
        }
    )


def _accuracy_by(
    prepared: Prepared, interactions: pd.DataFrame, users: Ints, steps: Ints, ranks: Ints, ks: tuple[int, ...]
) -> dict[str, Any]:
    learnt, population = prepared.learnt, prepared.population
    fleet, stream = population.fleet, population.stream
    device = interactions["device"].to_numpy()
    row = stream.device_offsets[device] + steps - learnt.split.history[users]
    gap_s = np.where(steps > learnt.split.history[users], stream.t_s[row] - stream.t_s[np.maximum(row - 1, 0)], np.inf)
    items = interactions["item"].to_numpy().astype(np.int64)
    learnt_items = learnt.training.items[learnt.training.events_before(learnt.training.valid_end)]
    counts = np.bincount(learnt_items, minlength=learnt.histories.n_items)
    first_seen = learnt.histories.first_position(users, items[:, None])[:, 0]
    targets = parts.target_groups(items, counts, first_seen, steps)
    return {
        "gap": parts.by_group(ranks, parts.gap_groups(gap_s), parts.GAPS, ks),
        "target": parts.by_group(ranks, targets, parts.TARGETS, ks),
        "class": parts.by_group(ranks, fleet.class_index[device], fleet.class_names, ks),
    }


def pace(gaps_s: NDArray[np.float64], requests: pd.DataFrame) -> dict[str, Any]:
    """How fast users go on against how fast answers come: it decides what can be learnt from a run about latency."""
    gaps = gap_summary(gaps_s)
    done = requests[requests["outcome"] == "completed"]
    response_s = float((done["t_delivered_s"] - done["t_issued_s"]).median()) if len(done) else math.nan
    median_s = gaps["median_gap_s"]
    ratio = median_s / response_s if median_s is not None and response_s > 0 else math.nan
    return {**gaps, "median_response_s": response_s, "gap_to_response": ratio}


def _quality(scenario: sections.Scenario) -> str:
    if scenario.policy.slate == "cloud_srm":
        return f"{scenario.srm.kind} over the catalogue"
    section = scenario.llm.candidates
    return f"table {Path(section.path).name}" if isinstance(section, sections.CandidateTable) else section.kind


def _answers(
    scenario: sections.Scenario, prepared: Prepared, interactions: pd.DataFrame, users: Ints
) -> dict[str, float] | None:
    """How the titles of the lists on screen were grounded; None where nobody wrote titles."""
    titles = isinstance(scenario.llm.candidates, sections.TitlePrompt) and scenario.policy.slate != "cloud_srm"
    if prepared.source is None or not titles:
        return None
    as_of = interactions["as_of"].to_numpy().astype(np.int64)
    return answer_figures(prepared.source, users[as_of >= 0], as_of[as_of >= 0])


def _missing_note(scenario: sections.Scenario, load: dict[str, Any]) -> list[str]:
    """How often the user's own table had no answer."""
    section, missing = scenario.llm.candidates, load.get("missing_answers", 0)
    if not isinstance(section, sections.CandidateTable) or not missing:
        return []
    were = "was" if missing == 1 else "were"
    then = f"{were} rejected" if section.missing == "fail_request" else "got the user's newest older list, if any"
    return [f"{counted(missing, 'request')} that the table has no list for {then}"]


def _provisioned_note(scenario: sections.Scenario, service: Service, found: Account) -> list[str]:
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


def _notes(scenario: sections.Scenario, prepared: Prepared, service: Service, base: dict[str, Ints]) -> list[str]:
    notes = [*prepared.learnt.split.log.notes]
    notes.append(f"quality of {_quality(scenario)}, cost of {service.cost_label}")
    if isinstance(scenario.policy.request, sections.OracleGreedyRequest | sections.OracleDpRequest):
        notes.append(f"request policy {scenario.policy.request.kind} knows the future: a bound, which nobody can run")
    if not prepared.population.stream.calendar:
        replayed = scenario.workload.arrivals.kind == "replay"
        why = "users are shifted against each other" if replayed else "moments of interactions are drawn"
        notes.append(f"events are not in calendar order: {why}")
    devices, users = prepared.population.n_devices, len(np.unique(prepared.population.users))
    if devices > users:
        notes.append(f"{devices:,} devices replay the streams of {users:,} users: intervals count users, not devices")
    dropped = prepared.population.stream.dropped_after_horizon
    if dropped:
        notes.append(f"{dropped:,} streamed interactions would come after the duration and are left out")
    if prepared.learnt.split.future_share > 0:
        notes.append(
            f"split {prepared.learnt.split.kind}: {prepared.learnt.split.future_share:.0%} of training events are "
            "later than a streamed event they may inform"
        )
    if prepared.learnt.split.log.problems:
        counted = ", ".join(f"{name} {count}" for name, count in prepared.learnt.split.log.problems.items())
        notes.append(f"the log's problems: {counted}")
    sampled = base["srm"] != NOT_EVALUATED
    if not sampled.all():
        notes.append(f"baseline srm: ranked on a sample of {int(sampled.sum())} interactions")
    if scenario.policy.slate not in WITHOUT_CLOUD and scenario.workload.hides_seen:
        then = "the SRM's best take their places" if scenario.workload.refills else "those behind them move up"
        notes.append(f"items that the user has had leave the slate at display; {then}")
    return notes
