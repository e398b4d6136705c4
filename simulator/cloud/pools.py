"""The node of a scenario: its pools of replicas, timed by their engine, the roofline, or a calibrated profile.

InputError where a name is not in the catalogue, or the model or its longest request does not fit the GPUs.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.beam_prediction import check_width
from fleetrec.simulator.cloud.calibration import load_profile
from fleetrec.simulator.cloud.drafting import with_drafter
from fleetrec.simulator.cloud.hardware.beam_steps import beams_of
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_errors import expected_beam_error, expected_error
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, Scheduling, engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout, layout_of
from fleetrec.simulator.cloud.hardware.memory import block_token_bytes, kv_blocks, window_of
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.hardware.step_time import Batch, StepTime
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.hardware.verify_time import VerifyTime
from fleetrec.simulator.cloud.node.cluster import Link, Pool
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.pace import PaceLaw
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.cloud.replica.timed_replica import TimedReplica
from fleetrec.simulator.cloud.tokens import RequestTokens, longest_request
from fleetrec.simulator.core.costs import energy_cost, rent_cost
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.text_files import resolve_path
from fleetrec.simulator.scenario.units import SIZE

BEAM_ENGINE: sections.EngineName = "generative_recommender"
SLOW_BEAMS = 2.0
"""times what that engine takes for a request, beyond which a run says so"""


def expected_errors(cloud: sections.Cloud, model: str, beams: int = 1) -> list[str]:
    """How far the step times of each engine and GPU of a cloud that serves the model may be off, in words; `beams`: of
    each request."""
    return list(
        dict.fromkeys(
            f"{section.engine} on {section.gpu}: expect "
            + (
                expected_beam_error(section.engine, beams)
                if beams > 1
                else expected_error(model, section.gpu, section.engine)
            )
            for _, section in cloud.machines()
            if section.engine is not None
        )
    )


def slow_beams(llm: sections.Llm, cloud: sections.Cloud, model: ModelSpec) -> list[Note]:
    """Where requests search with beams under an engine that takes much longer for them than the one made for that."""
    longest, quick, machines = longest_request(llm), BEAM_ENGINE, list(cloud.machines())
    slow: dict[str, Note] = {}
    if longest.sequences == 1 or llm.candidates.brings_latency():
        return []
    for key, section in machines[-1:] if cloud.disaggregation else machines:
        if section.engine in (None, quick):
            continue
        sections_of = section, section.model_copy(update={"engine": quick})
        took, would = (kind_of(key, one, cloud, model, longest).alone_s(longest) for one in sections_of)
        if took > SLOW_BEAMS * would:
            name = f"{section.engine} on {section.gpu}"
            said = (
                "slow beams: {name} takes {took_s:.2g} s for a request of {beams} beams alone, {times:.1f} times the "
                "{would_s:.2g} s of {quick}; set {setting}: {quick} where your server is made for beams"
            )
            figures = {"took_s": took, "would_s": would, "times": took / would, "beams": longest.sequences}
            slow.setdefault(name, note("slow_beams", said, name=name, setting=f"{key}.engine", quick=quick, **figures))
    return list(slow.values())


@dataclass(frozen=True)
class Kind:
    """What the replicas of one section are: how fast, under which limits, on which GPU."""

    model: ModelSpec
    """in the number formats of the section"""
    steps: StepTime
    engine: Engine
    gpu: GpuSpec
    pace: PaceLaw | None = None
    """how its speed spreads; None: a step always takes what `steps` says"""

    def replica(self) -> Replica:
        """An empty replica."""
        return Replica(self.steps, self.engine)

    def alone_s(self, request: RequestTokens) -> float:
        """Seconds of one request alone on a replica: one step over the prompt, one for each further token, or as many
        fewer as drafts are accepted in expectation."""
        prompt, output, sequences = request.prompt_tokens, request.output_tokens, request.sequences
        chunk, drafter = (prompt, 1, prompt, prompt * (prompt + 1) / 2), self.engine.drafter
        if drafter is not None:
            verifying = VerifyTime(self.steps, drafter.tokens, drafter.steps, drafter.lookup_s)
            seconds = verifying.at(0, 0, chunk)
            if output > 1:
                steps = math.ceil((output - 1) / drafter.law.mean)
                seconds += verifying.run(1, prompt, (output - 1) / steps).seconds(steps)
            return seconds
        seconds = self.steps.at(Batch(*chunk))
        if output > 1:
            seconds += self.steps.decoding(sequences, sequences * (prompt + 1), beams_of(prompt, sequences)).seconds(
                output - 1
            )
        return seconds


def kind_of(
    key: str, section: sections.Machines, cloud: sections.Cloud, model: ModelSpec, longest: RequestTokens
) -> Kind:
    """The kind of a section's replicas, with room for the longest request; `key` is blamed where there is none."""
    gpu = default_catalogue().gpu(section.gpu, f"{key}.gpu")
    model = _served(model, section, key)
    job = Job(longest.prompt_tokens, longest.output_tokens, longest.sequences)
    if section.profile is not None:
        if section.engine is not None:
            raise InputError(f"{key}.engine: {key}.profile has the step times of its own server; set one of the two")
        kind = _profiled(f"{key}.profile", section, cloud, model, gpu, job)
    else:
        kind = _modelled_kind(key, section, cloud, model, gpu, job)
    if cloud.speculation is None:
        return kind
    layout = layout_of(section, model, key)
    drafting = cloud.speculation, model, gpu, layout, job, _engine_of(section)
    return replace(kind, engine=with_drafter(kind.engine, *drafting))


def _modelled_kind(
    key: str, section: sections.Machines, cloud: sections.Cloud, model: ModelSpec, gpu: GpuSpec, longest: Job
) -> Kind:
    """A kind timed by its engine, or by the roofline."""
    layout, block = layout_of(section, model, key), cloud.block_tokens
    profile, together = _engine_of(section), cloud.max_sequences >= 2 * longest.sequences
    if longest.sequences > 1:
        keys = ("llm.beams", f"{key}.engine")
        check_width(profile, model, gpu, layout, longest.sequences, together, keys)
    window, share = window_of(model)
    scheduling = Scheduling() if profile is None else profile.scheduling
    engine = Engine(
        1,  # until its memory is known
        cloud.max_batched_tokens,
        cloud.max_sequences,
        block,
        cloud.prefix_caching,
        cloud.order,
        separate_prefill=scheduling.separate_prefill,
        reserve_output=scheduling.reserve_output,
        window_tokens=window,
        window_share=share,
    )
    at_least = _needed_blocks(engine, longest)
    engine = replace(engine, kv_blocks=kv_blocks(model, gpu, layout, block, at_least=at_least, key=key))
    if profile is None:
        steps = RooflineTiming(model, gpu, layout).steps
    else:
        steps = engine_steps(model, gpu, layout, profile, profile.search if longest.sequences > 1 else None)
    return Kind(model, steps, _tiered(engine, layout, cloud, model), gpu)


def _needed_blocks(engine: Engine, longest: Job) -> int:
    """Blocks that a replica must have for the longest request, which may write its last token too."""
    tokens = longest.prompt_tokens + longest.output_tokens
    return longest.blocks_at(tokens, engine.block_tokens) + engine.window_blocks(longest)


def _engine_of(section: sections.Machines) -> EngineProfile | None:
    return None if section.engine is None else engine_profile(section.engine)


def _served(model: ModelSpec, section: sections.Machines, key: str) -> ModelSpec:
    """The model in the section's number formats."""
    if section.precision.experts is not None and model.experts == 1:
        raise InputError(f"{key}.precision.experts: {model.name} has no experts; set {key}.precision.weights")
    return model.served_in(section.precision)


def _tiered(engine: Engine, layout: Layout, cloud: sections.Cloud, model: ModelSpec) -> Engine:
    """With the tier of KV cache in host memory, if the scenario has one."""
    offloading = cloud.kv_offloading
    if offloading is None:
        return engine
    block_bytes = engine.block_tokens * block_token_bytes(model, layout)
    if offloading.memory < block_bytes:
        raise InputError(
            f"cloud.kv_offloading.memory: {SIZE.show(offloading.memory)} hold no block of {engine.block_tokens} tokens "
            f"of KV cache of {model.name}; set at least {SIZE.show(math.ceil(block_bytes))}"
        )
    blocks = int(offloading.memory // block_bytes)
    return replace(engine, host_blocks=blocks, host_block_s=block_bytes / offloading.link)


def _profiled(
    key: str, section: sections.Machines, cloud: sections.Cloud, model: ModelSpec, gpu: GpuSpec, longest: Job
) -> Kind:
    """A kind as its profile has it: step times and the server's limits; order and prefix caching are the scenario's."""
    profile = load_profile(resolve_path(section.profile or ""))
    profile.check_model(model.name, key)
    if profile.gpu is not None and (profile.gpu, profile.gpus_per_replica) != (gpu.name, section.gpus_per_replica):
        raise InputError(
            f"{key}: the profile is of {profile.gpus_per_replica} x {profile.gpu}, these replicas are "
            f"{section.gpus_per_replica} x {gpu.name}; set both alike"
        )
    engine = replace(profile.engine, prefix_caching=cloud.prefix_caching, order=cloud.order)
    needed = _needed_blocks(engine, longest)
    if needed > engine.kv_blocks or longest.sequences > engine.max_sequences:
        raise InputError(
            f"{key}: its server holds {engine.kv_blocks * engine.block_tokens} tokens of KV cache and "
            f"{engine.max_sequences} sequences, the longest request needs {needed * engine.block_tokens} and "
            f"{longest.sequences}; shorten it, or calibrate a larger server"
        )
    layout = Layout(section.gpus_per_replica)
    return Kind(model, profile.steps, _tiered(engine, layout, cloud, model), gpu, profile.pace_law)


def kinds_of(llm: sections.Llm, cloud: sections.Cloud, model: ModelSpec) -> list[tuple[sections.Machines, Kind]]:
    """Each section of machines with the kind of its replicas."""
    longest = longest_request(llm)
    if cloud.disaggregation is None:
        return [(section, kind_of(key, section, cloud, model, longest)) for key, section in cloud.machines()]
    (first, prefill), (then, decode) = cloud.machines()
    prompt = RequestTokens(longest.prompt_tokens, 1, 1)
    without = cloud.model_copy(update={"prefix_caching": False, "kv_offloading": None})  # what comes is computed
    going_on = kind_of(then, decode, without, model, longest)
    return [
        (prefill, kind_of(first, prefill, cloud, model, prompt)),
        (decode, replace(going_on, engine=replace(going_on.engine, separate_prefill=False))),
    ]


def pools_of(
    llm: sections.Llm, cloud: sections.Cloud, tariffs: sections.Tariffs, model: ModelSpec, timed: bool = False
) -> tuple[Pool, ...]:
    """The pools of a scenario. `timed`: every request brings its service time along, as a table's answers may."""
    kinds = kinds_of(llm, cloud, model)
    split = cloud.disaggregation
    seconds = [kind.alone_s(longest_request(llm)) if split is None else 1.0 for _, kind in kinds]
    links = [None] * len(kinds) if split is None else [_link(split, kinds[0][1]), None]
    pools = []
    for (section, kind), took_s, link in zip(kinds, seconds, links, strict=True):
        factor = section.spot.price_factor if section.spot is not None else 1.0
        pools.append(
            Pool(
                replica=partial(TimedReplica, cloud.max_sequences) if timed else kind.replica,
                replicas=section.replicas,
                gpus_per_replica=section.gpus_per_replica,
                speed=min(seconds) / took_s,
                rent_usd=rent_cost(1.0, kind.gpu.usd_per_hour(tariffs), factor).usd,
                power=ReplicaPower(kind.model, kind.gpu, section.gpus_per_replica),
                usd_per_joule=energy_cost(1.0, tariffs, 0.0).usd,
                drafter=None if timed else kind.engine.drafter,
                pace=None if timed else kind.pace,
                name=section.name if isinstance(section, sections.Pool) else "",
                cold_start_s=section.cold_start,
                autoscale=section.autoscale,
                spot=section.spot,
                link=link,
                decodes=split is not None and link is None,
            )
        )
    return tuple(pools)


def _link(split: sections.Disaggregation, prefill: Kind) -> Link:
    """What a prefill replica sends over: the KV cache once, however many GPUs hold copies."""
    return Link(prefill.model.kv_bytes_per_token / split.link, split.latency)


def check_cloud(llm: sections.Llm, cloud: sections.Cloud) -> None:
    """InputError for a GPU or model that the catalogue lacks, or a model that does not fit, before anything is trained.

    A candidate model that is charged as itself is not known yet, and is checked when the node is built.
    """
    for key, section in cloud.machines():
        default_catalogue().gpu(section.gpu, f"{key}.gpu")
    if any(part.measure != "latency" for part in cloud.slo.parts) and llm.candidates.brings_latency():
        raise InputError(
            "cloud.slo.objectives: the table's answers bring their latency along and no times of tokens; ask for "
            "latency_p99=2s and the like, or leave the column latency_s out of the table"
        )
    if llm.served_as is not None:
        kinds_of(llm, cloud, default_catalogue().model(llm.served_as))
