"""The `cloud` section: the GPUs that serve the LLM, who gets which request, and what goes wrong with them."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from fleetrec.simulator.scenario.objectives import Objective
from fleetrec.simulator.scenario.sections.admission import Admission
from fleetrec.simulator.scenario.sections.api import Api
from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.queue_order import QueueOrder
from fleetrec.simulator.scenario.sections.router import Router
from fleetrec.simulator.scenario.sections.speculation import Speculation
from fleetrec.simulator.scenario.units import Bytes, BytesPerSecond, Seconds, Share


class Slo(Section):
    """The service-level objective that the provisioned account must meet: all of what it names."""

    p95_latency: Seconds | None = Field(
        1.0, description="95% of the requests should be answered within this; none: `objectives` say all"
    )
    objectives: tuple[str, ...] = Field(
        (), description="further ones, such as `ttft_p99=200ms`, `tpot_p50=30ms` or `latency_p99=2s`"
    )

    @model_validator(mode="after")
    def _can_be_met(self) -> "Slo":
        if not self.parts:
            raise ValueError("no objective is left; give p95_latency a time, or name some in objectives")
        return self

    @property
    def parts(self) -> tuple[Objective, ...]:
        """Every one of them."""
        p95 = () if self.p95_latency is None else (Objective(0.95, self.p95_latency),)
        return *p95, *map(Objective.parse, self.objectives)


class Autoscale(Section):
    """Replicas start and end with the load: replicas x measured / target, as Kubernetes has it."""

    metric: Literal["utilization", "queue"] = Field(
        "utilization", description="share of time a replica is busy, or requests that wait or are served per replica"
    )
    target: float = Field(0.7, gt=0, description="value of the metric that is aimed at")
    period: Seconds = Field(30.0, gt=0, description="time between two looks at the metric")
    min: int = Field(1, ge=1, description="fewest replicas")
    max: int = Field(8, ge=1, description="most replicas")
    cooldown: Seconds = Field(300.0, description="scale in to the most that was wanted during this long")


class Spot(Section):
    """Replicas on spare capacity: cheaper, and taken away now and then."""

    taken_per_hour: float = Field(
        0.05, ge=0, le=3600, description="spot preemptions per replica and hour, at random moments"
    )
    notice: Seconds = Field(30.0, description="warning before; a warned replica takes no new requests")
    replacement: Seconds = Field(300.0, description="mean time until another machine can be had; exponential")
    price_factor: Share = Field(0.4, description="price of a GPU as a share of the regular one")


class Failures(Section):
    """Replicas that fail at once, with all that they serve, and come back."""

    every: Seconds = Field(7 * 86400.0, gt=0, description="mean time between failures of a replica; exponential")
    repair: Seconds = Field(600.0, description="mean time to repair; exponential; a cold start follows")


class KvOffloading(Section):
    """A tier of KV cache in the host memory of each replica: cached prefixes that the GPUs' memory has no room for."""

    memory: Bytes = Field(64e9, gt=0, description="host memory of one replica that holds them")
    link: BytesPerSecond = Field(25e9, description="from there to the GPUs of a replica, all together")


WeightFormat = Literal["fp32", "fp16", "bf16", "fp8", "fp8_block", "int8", "int4", "nvfp4", "mxfp4"]
EngineName = Literal["vllm", "sglang", "tensorrt_llm", "generative_recommender"]


class Precision(Section):
    """Number formats in which the LLM is served."""

    weights: WeightFormat | None = Field(
        None, description="of the layers' weights, those of experts too; int4: as AWQ and GPTQ; none: as published"
    )
    experts: WeightFormat | None = Field(None, description="of experts' weights; none: as `weights`, or as published")
    kv_cache: Literal["fp16", "fp8"] | None = Field(
        None, description="of keys and values; none: as published, or 16 bits"
    )


class Parallel(Section):
    """How a replica's GPUs divide the LLM; what these keys leave of them is tensor parallel."""

    pipeline: int = Field(1, ge=1, description="stages, each with its part of the layers")
    attention_data: int = Field(
        1, ge=1, description="groups with all of attention each, for sequences of their own (data-parallel attention)"
    )
    expert: int = Field(1, ge=1, description="groups of a stage's GPUs among which the experts are dealt out")


class Machines(Section):
    """Replicas of one kind."""

    gpu: str = Field("h100", description="a GPU of the catalogue")
    replicas: int = Field(1, ge=1, description="copies of the LLM that serve requests; with `autoscale`, at the start")
    gpus_per_replica: int = Field(1, ge=1, description="GPUs that hold one copy (tensor parallel)")
    parallel: Parallel = Field(Parallel(), description="other ways to divide the copy")
    precision: Precision = Field(
        Precision(), description="number formats; of the model as published, where none is given"
    )
    engine: EngineName | None = Field(
        "vllm",
        description="the serving engine, whose measured constants time the steps; none: the plain roofline, and the "
        "default where a `profile` has step times of its own",
    )
    profile: str | None = Field(
        None,
        description="step times, how the speed spreads around them, and memory, calibrated from a server's log "
        "(`fleetrec calibrate`); none: `engine`",
    )
    cold_start: Seconds = Field(120.0, description="from the decision for another replica until it serves")
    autoscale: Autoscale | None = Field(None, description="none: `replicas` all the time")
    spot: Spot | None = Field(None, description="none: the replicas are never taken away")

    @model_validator(mode="before")
    @classmethod
    def _profile_is_of_its_engine(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("profile") is not None:
            return {"engine": None, **given}
        return given


class Disaggregation(Section):
    """Prefill and decode on replicas of their own: the KV cache of a prompt moves from the one to the other."""

    prefill: Machines = Field(default_factory=Machines, description="replicas that compute prompts alone")
    decode: Machines = Field(
        default_factory=Machines, description="replicas that generate alone, each request where fewest are"
    )
    link: BytesPerSecond = Field(50e9, description="of each prefill replica to all others, one KV cache at a time")
    latency: Seconds = Field(1e-3, description="from the end of a transfer until the KV cache can be read")


class Pool(Machines):
    """A kind of replicas beside others."""

    name: str = Field(min_length=1, description="names the pool in messages; unique")


class Cloud(Machines):
    """What serves the LLM: own GPUs, of one kind or in several `pools`, a hosted API, or both."""

    kind: Literal["gpus", "api", "overflow"] = Field(
        "gpus",
        description="who answers: own GPUs; the hosted `api`, where the keys of replicas say nothing; or own GPUs, and "
        "the API what they turn away (`admission`, `queue_limit`)",
    )
    api: Api | None = Field(None, description="a hosted API (docs/how-to/hosted_api.md); none: none is called")
    pools: tuple[Pool, ...] = Field((), description="kinds of replicas; where given, the keys above say nothing")
    disaggregation: Disaggregation | None = Field(
        None, description="none: each replica computes prompts and generates; where given, the keys above say nothing"
    )
    router: Router = Field(default_factory=Router.family.default, description="which replica gets a request")
    max_sequences: int = Field(256, ge=1, description="sequences (beams count) that one replica serves at once")
    max_batched_tokens: int = Field(8192, ge=1, description="new tokens that one step holds at most")
    block_tokens: int = Field(16, ge=1, description="tokens of a block of KV cache")
    order: QueueOrder = Field(
        default_factory=QueueOrder.family.default, description="which waiting request a replica takes first"
    )
    prefix_caching: bool = Field(False, description="prompts whose beginning is still in memory skip that part")
    kv_offloading: KvOffloading | None = Field(
        None, description="none: prefixes that the KV cache drops are computed anew"
    )
    speculation: Speculation | None = Field(None, description="none: a step gives each sequence one token")
    failures: Failures | None = Field(None, description="none: replicas never fail")
    on_failure: Literal["retry", "lost"] = Field(
        "retry", description="requests of a replica that fails or is taken away start anew elsewhere, or are lost"
    )
    max_retries: int = Field(2, ge=0, description="times that one request starts anew; then it is lost")
    admission: Admission = Field(
        default_factory=Admission.family.default, description="which requests are turned away on arrival"
    )
    queue_limit: int = Field(1000, ge=0, description="waiting requests above which new ones are rejected")
    request_timeout: Seconds = Field(10.0, gt=0, description="an answer that takes longer is given up")
    abort_on_timeout: bool = Field(False, description="a request given up while it is served leaves its replica")
    cpu_cores: int = Field(4, ge=1, description="cores that answer where the slate is cloud_srm")
    slo: Slo = Slo()
    stores: Literal["none", "history", "lists"] = Field("none", description="what the cloud keeps of each user")

    def machines(self, key: str = "cloud") -> Iterator[tuple[str, Machines]]:
        """(dotted key, section) of each kind of replicas: the pools, or those for prefill and for decode, or the
        cloud's own keys where there are none. A hosted API alone has none."""
        if self.kind == "api":
            return
        if self.disaggregation is not None:
            yield f"{key}.disaggregation.prefill", self.disaggregation.prefill
            yield f"{key}.disaggregation.decode", self.disaggregation.decode
        elif not self.pools:
            yield key, self
        for i, pool in enumerate(self.pools):
            yield f"{key}.pools.{i}", pool
