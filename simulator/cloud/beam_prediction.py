"""Wide beams as they are measured: an offline batch of equal requests, or clients who each have one under way.

In closed form: requests of a batch go in step, and clients that all begin at once stay so.
"""

from dataclasses import dataclass, replace
from typing import get_args

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.beam_steps import beams_of
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, Search, engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import kv_blocks
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.step_time import Batch, StepTime
from fleetrec.simulator.scenario.sections import EngineName, WeightFormat

MODELS = {"sohurec-1.7b": "qwen3-1.7b"}
"""catalogue's names of models of the same architecture"""
NOT_STATED: WeightFormat = "fp8"
"""weights where a file of measured beams states none, as the other rows of that table (FlashRec's) have it"""


@dataclass(frozen=True)
class BeamLoad:
    """What is asked: requests of one width, `requests` of them under way."""

    prompt_tokens: int
    output_tokens: int
    """of each beam"""
    beams: int
    requests: int = 1


def batch_s(steps: StepTime, load: BeamLoad) -> float:
    """Seconds of a batch: one step over all prompts, each a single sequence, then one for each further token, in which
    each beam is one."""
    requests, prompt, width = load.requests, load.prompt_tokens, load.beams
    tokens, sequences = requests * prompt, requests * width
    seconds = steps.at(Batch(tokens, requests, tokens, tokens * (prompt + 1) / 2))
    if load.output_tokens > 1:
        beams = beams_of(prompt, width, requests)
        seconds += steps.decoding(sequences, sequences * (prompt + 1), beams).seconds(load.output_tokens - 1)
    return seconds


def requests_per_s(steps: StepTime, search: Search, load: BeamLoad) -> float:
    """What so many clients get served, each of whom sends the next request behind the last one's answer."""
    return load.requests / (search.request + batch_s(steps, load))


@dataclass(frozen=True)
class Predicted:
    """Of a load: one batch of it, or its clients' requests one after the other."""

    batch_s: float
    requests_per_s: float
    latency_s: float
    """of a client's request"""
    decode_s: float
    """of either, behind the first token of each beam"""
    error: float
    """median absolute error to expect, of cells that were left out of the fit"""


def engine_of(name: str) -> tuple[EngineName, str]:
    """(engine, version) of what files of measured beams call an engine: one of ours, or a program or version whose
    constants one of ours has. InputError where it is neither."""
    known = {}
    for engine in get_args(EngineName):
        known[engine] = (engine, "")
        known |= {version: (engine, version) for version in engine_profile(engine).searches}
    if name.lower() not in known:
        raise InputError(f"engine: no engine {name!r} for beams; known: {', '.join(known)}")
    return known[name.lower()]


def model_of(name: str) -> ModelSpec:
    """A model of the catalogue, of `MODELS` or of a config.json. InputError where it is none."""
    named = name if name.endswith(".json") else name.lower()
    return default_catalogue().model(MODELS.get(named, named), "model")


def beam_prediction(engine: str, model: ModelSpec, card: GpuSpec, load: BeamLoad, layout: Layout) -> Predicted:
    """What an engine (`engine_of`) makes of the load. Requests that the memory has no room for wait for those before
    them. InputError where it cannot be served, with what would work."""
    name, version = engine_of(engine)
    profile = engine_profile(name)
    check_width(profile, model, card, layout, load.beams, load.requests > 1)
    search = profile.searches.get(version, profile.search)
    steps = engine_steps(model, card, layout, profile, search)
    held = load.prompt_tokens + load.beams * load.output_tokens  # engines for this load have pages of a token
    room = kv_blocks(model, card, layout, 1, at_least=held) // held
    together = replace(load, requests=min(load.requests, room))
    full, rest = divmod(load.requests, together.requests)
    batch = full * batch_s(steps, together) + (batch_s(steps, replace(load, requests=rest)) if rest else 0.0)
    rate = requests_per_s(steps, search, together)
    decode = batch_s(steps, together) - batch_s(steps, replace(together, output_tokens=1))
    return Predicted(batch, rate, load.requests / rate, decode, search.error)


def check_width(
    profile: EngineProfile | None,
    model: ModelSpec,
    gpu: GpuSpec,
    layout: Layout,
    beams: int,
    together: bool,
    keys: tuple[str, str] = ("beams", "beams"),
) -> None:
    """InputError where nobody can search with so many beams, or the engine cannot; `together`: beside other requests;
    `keys`: of the beams, and what is to blame where it is the engine that cannot."""
    key, of_engine = keys
    if beams > model.vocab:
        raise InputError(
            f"{key}: {beams:,} beams cannot differ in their first token, of which {model.name} has {model.vocab:,}; "
            "set at most so many"
        )
    limits = None if profile is None else profile.beam_limits
    if profile is None or limits is None:
        return
    more = max(layout.gpus * gpu.memory_bytes / limits.memory, 1.0)
    alone, beside = int(limits.alone * more), int(limits.together * more)
    if beams > (beside if together else alone):
        others = f" ({alone:,} where requests come one at a time)" if alone > beside else ""
        raise InputError(
            f"{of_engine}: {profile.title} on {layout.gpus} x {gpu.name} fails at {beams:,} beams ({limits.source}); "
            f"set {key}: {beside:,} or fewer{others}, or the engine sglang or generative_recommender"
        )
