"""The node of a scenario: its pools of replicas, timed by the roofline or by a calibrated profile.

InputError where a name is not in the catalogue, or the model or its longest request does not fit the GPUs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from simulator.cloud.catalogue import GpuSpec, ModelSpec, default_catalogue
from simulator.cloud.cluster import Pool
from simulator.cloud.jobs import Engine
from simulator.cloud.replica import Replica
from simulator.cloud.steps import Batch, StepTime
from simulator.cloud.timed import TimedReplica
from simulator.cloud.timing import MEMORY_UTILIZATION, RooflineTiming, check_memory
from simulator.cloud.tokens import RequestTokens, longest_request
from simulator.costs import serving_cost
from simulator.scenario import sections


def machines_of(cloud: sections.Cloud) -> Iterator[tuple[str, sections.Machines]]:
    """(dotted key, section) of each kind of replicas: the pools, or the cloud's own keys where there are none."""
    if not cloud.pools:
        yield "cloud", cloud
    for i, pool in enumerate(cloud.pools):
        yield f"cloud.pools.{i}", pool


def alone_s(steps: StepTime, request: RequestTokens) -> float:
    """Seconds of one request alone on a replica: one step over the prompt, one for each further token."""
    prompt, output, sequences = request.prompt_tokens, request.output_tokens, request.sequences
    seconds = steps.at(Batch(prompt, 1, prompt, prompt * (prompt + 1) / 2))
    if output > 1:
        seconds += steps.decoding(sequences, sequences * (prompt + 1)).seconds(output - 1)
    return seconds


@dataclass(frozen=True)
class Kind:
    """What the replicas of one section are: how fast, under which limits, on which GPU."""

    steps: StepTime
    engine: Engine
    gpu: GpuSpec

    def replica(self) -> Replica:
        """An empty replica."""
        return Replica(self.steps, self.engine)


def kind_of(
    key: str, section: sections.Machines, cloud: sections.Cloud, model: ModelSpec, longest: RequestTokens
) -> Kind:
    """The kind of a section's replicas, with room for the longest request; `key` is blamed where there is none."""
    gpu = default_catalogue().gpu(section.gpu, f"{key}.gpu")
    gpus, block = section.gpus_per_replica, cloud.block_tokens
    tokens = longest.prompt_tokens + longest.output_tokens
    check_memory(model, gpu, gpus, 1, tokens, longest.sequences)
    free = gpus * gpu.memory_bytes * MEMORY_UTILIZATION - model.weight_bytes
    engine = Engine(
        int(free // (model.kv_bytes_per_token * block)),
        cloud.max_batched_tokens,
        cloud.max_sequences,
        block,
        cloud.prefix_caching,
        cloud.order,
    )
    return Kind(RooflineTiming(model, gpu, gpus).steps, engine, gpu)


def kinds_of(llm: sections.Llm, cloud: sections.Cloud, model: ModelSpec) -> list[tuple[sections.Machines, Kind]]:
    """Each section of machines with the kind of its replicas."""
    longest = longest_request(llm)
    return [(section, kind_of(key, section, cloud, model, longest)) for key, section in machines_of(cloud)]


def pools_of(
    llm: sections.Llm, cloud: sections.Cloud, tariffs: sections.Tariffs, model: ModelSpec, timed: bool = False
) -> tuple[Pool, ...]:
    """The pools of a scenario. `timed`: every request brings its service time along, as a table's answers may."""
    kinds = kinds_of(llm, cloud, model)
    seconds = [alone_s(kind.steps, longest_request(llm)) for _, kind in kinds]
    pools = []
    for (section, kind), took_s in zip(kinds, seconds, strict=True):
        factor = section.spot.price_factor if section.spot is not None else 1.0
        gpu = kind.gpu
        pools.append(
            Pool(
                replica=partial(TimedReplica, cloud.max_sequences) if timed else kind.replica,
                replicas=section.replicas,
                gpus_per_replica=section.gpus_per_replica,
                speed=min(seconds) / took_s,
                rate=serving_cost(1.0, 1, gpu.usd_per_hour, gpu.serving_power_w, tariffs, 0.0, factor),
                cold_start_s=section.cold_start,
                autoscale=section.autoscale,
                spot=section.spot,
            )
        )
    return tuple(pools)


def check_cloud(llm: sections.Llm, cloud: sections.Cloud) -> None:
    """InputError for a GPU or model that the catalogue lacks, or a model that does not fit, before anything is trained.

    A candidate model that is charged as itself is not known yet, and is checked when the node is built.
    """
    for key, section in machines_of(cloud):
        default_catalogue().gpu(section.gpu, f"{key}.gpu")
    if llm.served_as is not None:
        kinds_of(llm, cloud, default_catalogue().model(llm.served_as))
