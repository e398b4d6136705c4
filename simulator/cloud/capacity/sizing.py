"""Size a cloud from a request trace: latency, throughput, utilisation and cost of serving it, or the fewest replicas
that meet an objective."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.provisioning import provision
from fleetrec.simulator.cloud.capacity.replay import Replayed, Requests
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.traces import read_trace
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.pools import expected_errors, kind_of
from fleetrec.simulator.cloud.prediction.rows import engine_named
from fleetrec.simulator.cloud.prediction.setup import Formats, kv_cache_named, served_on, weights_of
from fleetrec.simulator.cloud.request_files.forms import NOTHING_SAID, Said
from fleetrec.simulator.cloud.tokens import RequestTokens
from fleetrec.simulator.core.costs import HOUR_S, rent_cost
from fleetrec.simulator.core.months import MONTH_S
from fleetrec.simulator.core.notes import data_of, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.units import DURATION


@dataclass(frozen=True)
class Plan:
    """What is to be sized. `replicas` None: as many as the objective needs, or one where there is no objective."""

    model: str
    """a catalogue name, or a config.json"""
    gpu: str
    layout: Layout = field(default_factory=Layout)
    """of the GPUs of a replica"""
    formats: Formats = field(default_factory=Formats)
    replicas: int | None = None
    router: sections.Router = field(default_factory=sections.Router.family.default)
    engine: str | None = None
    """none: as a scenario's cloud has it by default"""
    profile: str | None = None
    rate_scale: float = 1.0
    limit: int | None = None
    slo: str | None = None
    """objectives, with commas between"""
    said: Said = NOTHING_SAID
    """of the trace"""


def size(trace: Path, plan: Plan, progress: Progress, seed: int = 1) -> dict[str, Any]:
    """Replay a trace and return the figures. `seed` is that of the random router.

    InputError: a trace, name or objective that cannot be used, a model that does not fit, or an objective that no
    number of replicas meets.
    """
    if plan.slo is not None and plan.replicas is not None:
        raise InputError("--replicas and --slo contradict: --slo looks for the number of replicas; give one of them")
    if not 0 < plan.rate_scale < math.inf:
        raise InputError(f"--rate-scale {plan.rate_scale:g}: expected a number above 0, such as 2 for twice the load")
    objective = None if plan.slo is None else _objective(plan.slo)
    model = default_catalogue().model(plan.model, "--model")
    cloud = without_faults(_cloud(plan, model))
    gpu = default_catalogue().gpu(plan.gpu, "--gpu")
    requests, notes = read_trace(trace, plan.limit, plan.said)
    lasts_s = float(requests.arrival_s[-1]) / plan.rate_scale
    if lasts_s > DURATION.most:
        raise InputError(
            f"--rate-scale {plan.rate_scale:g}: the trace would last {lasts_s:.3g} s, more than {DURATION.most:g}; "
            "give a larger number"
        )
    requests = requests.at(requests.arrival_s / plan.rate_scale)
    columns = (requests.prompt_tokens, requests.output_tokens, requests.sequences)
    longest = RequestTokens(*(int(column.max()) for column in columns))
    with served_on(plan.layout):
        kind = kind_of("cloud", cloud, cloud, model, longest)
    for off in expected_errors(cloud, model.name, longest.sequences):
        notes.append(note("engine_error", "step times of {error}", error=off))
    rent = rent_cost(1.0, gpu.usd_per_hour(sections.Tariffs()))
    gpus = plan.layout.gpus
    power = ReplicaPower(kind.model, gpu, gpus)
    pool = Pool(kind.replica, gpus_per_replica=gpus, rent_usd=rent.usd, power=power)
    replicas = Replicas((pool,), cloud, Draws(seed), objective or ServiceObjective.of(cloud.slo), progress)
    with sections.silent(cloud):
        wanted: int | None = plan.replicas or 1
        if objective is not None:
            found = provision(requests, replicas)
            wanted = found.servers
            if wanted is None:
                raise InputError(
                    f"--slo {plan.slo}: no number of replicas meets it: on an empty node {found.excess}; "
                    "relax it, or take a faster GPU, a smaller model or a larger --tp"
                )
            notes.append(note("objective", "the fewest replicas with {objective}", objective=str(objective)))
        assert wanted is not None
        figures = _figures(requests, replicas.replayed(requests, wanted))
    served = {
        "model": model.name,
        "gpu": gpu.name,
        "gpus_per_replica": gpus,
        "replicas": wanted,
        "router": plan.router.kind,
        "step_times": plan.profile or cloud.engine or "roofline",
    }
    return {"served_by": served, **figures, "notes": data_of(*notes)}


def _cloud(plan: Plan, model: ModelSpec) -> sections.Cloud:
    layout = plan.layout
    kept: dict[str, Any] = {
        "gpu": plan.gpu,
        "gpus_per_replica": layout.gpus,
        "parallel": sections.Parallel(
            pipeline=layout.pipeline, attention_data=layout.attention_data, expert=layout.expert
        ),
        "precision": sections.Precision(
            weights=weights_of(plan.formats.weights, model), kv_cache=kv_cache_named(plan.formats.kv_cache)
        ),
        "router": plan.router,
        "profile": plan.profile,
    }
    if plan.engine is not None:
        kept["engine"] = None if plan.engine == "none" else engine_named(plan.engine, "--engine")
    return sections.Cloud(**kept)


def _objective(text: str) -> ServiceObjective:
    try:
        return ServiceObjective.parse(text)
    except ValueError as error:
        raise InputError(f"--slo: {error}") from None


def _figures(requests: Requests, replayed: Replayed) -> dict[str, Any]:
    node, seconds, times = replayed.node, max(replayed.end_s, 1e-9), replayed.times
    generated = float((requests.output_tokens * requests.sequences).sum())
    read = float(requests.prompt_tokens.sum())
    gpu_hours = node.paid_gpu_seconds / HOUR_S
    gpus = node.machines[0].pool.gpus_per_replica
    return {
        "trace": {
            "requests": len(requests),
            "span_s": requests.span_s,
            "prompt_tokens_mean": read / len(requests),
            "output_tokens_mean": generated / len(requests),
        },
        "ttft_s": _percentiles(times.ttft_s),
        "tpot_s": _percentiles(times.tpot_s),
        "latency_s": _percentiles(times.latency_s),
        "throughput": {
            "requests_per_second": len(requests) / seconds,
            "prompt_tokens_per_second": read / seconds,
            "output_tokens_per_second": generated / seconds,
        },
        "load": {
            "utilization": node.utilization(),
            "kv_share_mean": float(replayed.kv_shares.mean()),
            "kv_share_max": float(replayed.kv_shares.max()),
            "preemptions": int(replayed.preemptions.sum()),
        },
        "cost": {
            "replica_hours": gpu_hours / gpus,
            "usd": node.paid_usd,
            "usd_per_month": node.paid_usd * MONTH_S / seconds,
            "usd_per_1k_requests": 1000 * node.paid_usd / len(requests),
            "usd_per_1m_output_tokens": 1e6 * node.paid_usd / generated if generated else None,
            "joules": node.busy_joules + node.idle_joules,
        },
    }


def _percentiles(values: NDArray[np.float64]) -> dict[str, float | None]:
    known = values[~np.isnan(values)]
    if not len(known):
        return {"mean": None, "p50": None, "p95": None, "p99": None}
    p50, p95, p99 = np.percentile(known, [50, 95, 99]).tolist()
    return {"mean": float(known.mean()), "p50": p50, "p95": p95, "p99": p99}
