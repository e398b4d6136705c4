"""A set-up as operators write it down, and what it gives at a fixed number of requests under way.

Where a set-up does not say how it was measured, it is taken to be as public benchmarks are (`Protocol`).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.closed_loop import ROUNDS, SPREAD, Load, closed_loop
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, Seconds, engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import kv_blocks, window_of
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.core.costs import rent_cost
from fleetrec.simulator.scenario.sections import EngineName, Precision, Tariffs, WeightFormat

BATCHED_TOKENS = 8192
"""new tokens of a step, where nothing else is said"""
OWN_REQUESTS = 1000
"""that TensorRT-LLM's own benchmark sends, at least: what its measured TTFT, by concurrency, is met best with"""
WORKERS = {"request": 2.5e-3, "request_token": 1.8e-6, "request_stream": 1.6e-4}
"""seconds from the client to the scheduler where processes of their own write the answers"""
NEAR, APART = 0.1, 0.3
"""of what a request takes from the client to the scheduler: in aiconfigurator's rows of vLLM and SGLang, of lengths
that are powers of two and of others"""
PROMPTS = 100
"""different ones that AIPerf sends in turns, unless it is told otherwise"""
WAIT_STEPS, BALANCE_STEPS = 20, 10
"""that prompts wait for others in InferenceMAX's launch scripts: batch_wait_timeout_iters, and batching_wait_iters of
attention-data groups that are kept in balance"""
_VLLM_COMPOSES_AHEAD = (0, 14)
"""the version since which it composes steps while others run unless told otherwise; of older ones those that were told
to, as InferenceMAX does, state no version"""
_BENCHMARKED = (1024, 8192)
"""lengths of InferenceMAX's rows"""
_BLOCK_SCALED = ("qwen3", "minimax", "deepseek")
"""families whose FP8 weights are published with a scale a block"""


@dataclass(frozen=True)
class Formats:
    """Number formats as a set-up states them: fp8, fp4, bf16, or one of `WeightFormat`; "" says nothing."""

    weights: str = ""
    experts: str = ""
    kv_cache: str = ""


@dataclass(frozen=True)
class Setup:
    """What is asked of what."""

    model: str
    gpu: str
    engine: EngineName
    prompt_tokens: int
    output_tokens: int
    concurrency: int = 1
    layout: Layout = field(default_factory=Layout)
    formats: Formats = field(default_factory=Formats)
    length_spread: float | None = None
    """how much shorter than stated a prompt or an answer may be; None: as `protocol_of` has it"""
    max_batched_tokens: int | None = None
    engine_version: str = ""


class Protocol(NamedTuple):
    """How a set-up was measured."""

    length_spread: float
    max_batched_tokens: int
    rounds: int = ROUNDS
    """requests of a client"""
    async_scheduling: bool = True
    """the next step is composed while one runs"""
    front_end: float = 1.0
    """what a request takes from the client to the scheduler, over what one takes through an engine's HTTP server"""
    workers: bool = False
    """processes of their own write the answers"""
    wait_steps: int = 0
    """for which prompts are held while others decode"""
    prompts: int | None = None
    """so many differ, and the server remembers those that it has computed; None: all do"""
    warm_up: int = 0
    """requests of a client that are sent before and count in no mean"""


@dataclass(frozen=True)
class Prediction:
    """Means over all requests."""

    ttft_s: float
    tpot_s: float
    latency_s: float
    requests_per_s: float
    tokens_per_s: float
    """written"""
    joules_per_million_tokens: float
    """of those written, by the GPUs"""
    usd_per_million_tokens: float
    """rent at the typical list price"""


def protocol_of(setup: Setup) -> Protocol:
    """As public benchmarks run (docs/background/serving_errors.md, "How a row is taken"): as InferenceMAX where the
    lengths are its, or nothing is known of vLLM and SGLang, else as aiconfigurator's rows are met best."""
    lengths = (setup.prompt_tokens, setup.output_tokens)
    unknown = setup.engine != "tensorrt_llm" and not setup.engine_version
    inferencemax = unknown or all(length in _BENCHMARKED for length in lengths)
    found = _inferencemax(setup) if inferencemax else _aiconfigurator(setup)
    numbers = re.match(r"(\d+)\.(\d+)", setup.engine_version)
    if setup.engine == "vllm" and numbers and tuple(map(int, numbers.groups())) < _VLLM_COMPOSES_AHEAD:
        found = found._replace(async_scheduling=False)
    if setup.length_spread is not None:
        found = found._replace(length_spread=setup.length_spread)
    return found._replace(max_batched_tokens=setup.max_batched_tokens or found.max_batched_tokens)


def front_end_of(protocol: Protocol, profile: EngineProfile) -> Seconds:
    """What a request takes from the client to the scheduler."""
    seconds, share = profile.seconds, protocol.front_end
    figures = WORKERS if protocol.workers else {name: getattr(seconds, name) * share for name in WORKERS}
    return seconds.model_copy(update=figures)


def _inferencemax(setup: Setup) -> Protocol:
    """What its launch scripts of TensorRT-LLM say besides: longer steps, processes of their own that write answers, and
    prompts that wait for each other."""
    if setup.engine != "tensorrt_llm":
        return Protocol(SPREAD, max(BATCHED_TOKENS, setup.concurrency))
    wait = BALANCE_STEPS if setup.layout.attention_data > 1 else 0
    short = setup.prompt_tokens == setup.output_tokens == min(_BENCHMARKED)
    if not wait and short and setup.layout.gpus < 8 and setup.model.startswith("llama"):
        wait = WAIT_STEPS
    return Protocol(SPREAD, max(2 * BATCHED_TOKENS, setup.concurrency), workers=True, wait_steps=wait)


def _aiconfigurator(setup: Setup) -> Protocol:
    """Fixed lengths, a prompt a step. TensorRT-LLM: as many requests whatever the concurrency, where the lengths are
    powers of two. The others: a client close to the scheduler; where they are not, one that sends vLLM, which remembers
    them, a hundred prompts in turns, the first of each client as a warm-up."""
    tokens = setup.prompt_tokens + setup.concurrency
    powers = all(length & (length - 1) == 0 for length in (setup.prompt_tokens, setup.output_tokens))
    if setup.engine != "tensorrt_llm":
        found = Protocol(0.0, tokens, front_end=NEAR if powers else APART)
        return found if powers or setup.engine != "vllm" else found._replace(prompts=PROMPTS, warm_up=1)
    rounds = max(-(-OWN_REQUESTS // setup.concurrency), ROUNDS) if powers else ROUNDS
    return Protocol(0.0, tokens, rounds, async_scheduling=False)


@dataclass(frozen=True)
class Server:
    """A set-up's model and GPU of the catalogue, with the limits of its engine."""

    model: ModelSpec
    gpu: GpuSpec
    limits: Engine


def server_of(setup: Setup) -> Server:
    """InputError where a name is unknown, or the set-up cannot be served."""
    catalogue = default_catalogue()
    gpu = catalogue.gpu(setup.gpu, "gpu")
    model = _served(catalogue.model(setup.model, "model"), gpu, setup)
    layout = setup.layout
    check_layout(layout, model)
    tokens = setup.prompt_tokens + setup.output_tokens
    window, share = window_of(model)
    scheduling = engine_profile(setup.engine).scheduling
    at_least = -(-tokens // Engine.block_tokens)
    with served_on(layout):
        blocks = kv_blocks(model, gpu, layout, Engine.block_tokens, at_least=at_least)
    limits = Engine(
        blocks,
        max(protocol_of(setup).max_batched_tokens, setup.concurrency),
        max(Engine.max_sequences, setup.concurrency),
        prefix_caching=protocol_of(setup).prompts is not None,
        async_scheduling=protocol_of(setup).async_scheduling,
        separate_prefill=scheduling.separate_prefill,
        reserve_output=scheduling.reserve_output,
        window_tokens=window,
        window_share=share,
    )
    return Server(model, gpu, limits)


def check_layout(layout: Layout, model: ModelSpec) -> None:
    """InputError where the model cannot be divided so."""
    if layout.expert > 1 and model.experts % layout.expert:
        has = f"{model.experts} experts" if model.experts > 1 else "no experts"
        raise InputError(f"ep: {model.name} has {has}, not {layout.expert} equal groups; set 1")
    if layout.pipeline > model.layers:
        raise InputError(f"pp: {model.name} has {counted(model.layers, 'layer')}; set at most as many stages")


@contextmanager
def served_on(layout: Layout) -> Iterator[None]:
    """Says of what does not fit what would, in the columns of a row: `tp` for a replica's GPUs."""
    try:
        yield
    except InputError as error:
        text = str(error).replace("cloud.gpu:", "gpu:")
        key, others = r"cloud\.gpus_per_replica: (\d+)", layout.gpus // layout.tensor
        raise InputError(re.sub(key, lambda found: f"tp: {int(found[1]) // others}", text)) from None


def predict(setup: Setup, profile: EngineProfile | None = None) -> Prediction:
    """Serve the set-up's load; `profile`: other constants than the engine's own. InputError: see `server_of`."""
    server, profile = server_of(setup), profile or engine_profile(setup.engine)
    protocol = protocol_of(setup)
    load = Load(
        *(setup.prompt_tokens, setup.output_tokens, setup.concurrency),
        spread=protocol.length_spread,
        rounds=protocol.rounds,
        wait_steps=protocol.wait_steps,
        prompts=protocol.prompts,
        warm_up=protocol.warm_up,
    )
    steps = engine_steps(server.model, server.gpu, setup.layout, profile)
    served = closed_loop(steps, server.limits, load, front_end_of(protocol, profile))
    power = ReplicaPower(server.model, server.gpu, setup.layout.gpus)
    joules = power.busy_joules(served.busy_s, served.passed_tokens)
    joules += power.idle_joules(max(served.seconds - served.busy_s, 0.0))
    rent = rent_cost(served.seconds * setup.layout.gpus, server.gpu.usd_per_hour(Tariffs()))
    written_millions = served.tokens_per_s * served.seconds / 1e6
    return Prediction(
        served.ttft_s,
        served.tpot_s,
        served.latency_s,
        served.requests_per_s,
        served.tokens_per_s,
        joules / written_millions,
        rent.usd / written_millions,
    )


# number formats


def _served(model: ModelSpec, gpu: GpuSpec, setup: Setup) -> ModelSpec:
    """The model in the stated formats. What is published with experts of 4 bits (gpt-oss) is served as published."""
    stated = setup.formats
    if model.expert_weights is not None:
        precision = Precision()
    else:
        weights = weights_of(stated.weights, model)
        experts = weights_of(stated.experts, model) if model.experts > 1 else None
        precision = Precision(weights=weights, experts=experts if experts != weights else None)
    served = model.served_in(precision)
    kv_cache = kv_cache_named(stated.kv_cache)
    if kv_cache is None:
        few_bits = (served.expert_weights or served.weights) not in ("fp32", "fp16", "bf16")
        narrow = few_bits and (setup.engine == "tensorrt_llm" or (setup.engine == "vllm" and gpu.flops_fp4 is not None))
        kv_cache = "fp8" if narrow else "fp16"
    return served.served_in(Precision(kv_cache=kv_cache)) if served.weights != "fp32" else served


FORMATS: dict[str, WeightFormat] = {name: name for name in get_args(WeightFormat)}
_SHORT: dict[str, WeightFormat] = {
    "fp4": "nvfp4",
    "half": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
    "int8_wo": "int8",
    "awq": "int4",
    "gptq": "int4",
    "int4_wo": "int4",
}


def weights_of(stated: str, model: ModelSpec) -> WeightFormat | None:
    """The format of a model's weights that files and options call so; None, as published, where they say none."""
    name = stated.lower()
    if not name:
        return None
    if name == "fp8" and model.name.startswith(_BLOCK_SCALED):
        return "fp8_block"
    return weights_named(name)


def kv_cache_named(stated: str) -> Literal["fp16", "fp8"] | None:
    """The format of a KV cache that files and options call so; None where they say none."""
    if stated not in ("", "fp16", "bf16", "fp8"):
        raise InputError(f"kv_cache: no format {stated!r}; known: fp16, fp8")
    return None if not stated else "fp8" if stated == "fp8" else "fp16"


def weights_named(stated: str) -> WeightFormat:
    """The format that files and options call so."""
    found = _SHORT.get(stated.lower(), stated.lower())
    if found not in FORMATS:
        raise InputError(f"precision: no format {stated!r}; known: fp4, {', '.join(FORMATS)}")
    return FORMATS[found]
