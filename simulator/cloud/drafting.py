"""The drafter of a scenario's replicas: what its drafts cost on their GPUs, and the memory that it takes from them.

InputError where there is no such draft model, it is no smaller than the LLM or reads other tokens, or does not fit.
"""

from dataclasses import replace

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import block_token_bytes
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.scenario import sections

_KEY = "cloud.speculation"
_SAME_VOCABULARY = 0.01  # by which tables of one tokenizer differ at most, where sizes are rounded up


def with_drafter(
    engine: Engine,
    speculation: sections.Speculation,
    model: ModelSpec,
    gpu: GpuSpec,
    layout: Layout,
    longest: Job,
    profile: EngineProfile | None = None,
) -> Engine:
    """The engine of a replica that verifies drafts, with room for the longest request beside what drafts. `profile`:
    what serves the drafts too; none: the roofline."""
    acceptance = speculation.by_position
    if isinstance(speculation, sections.Ngram):
        return replace(engine, drafter=Drafter(acceptance, lookup_s=speculation.lookup))
    of_step = 1.0  # the share of what a step takes whatever it holds
    if isinstance(speculation, sections.Mtp):
        draft, layers = _prediction_layer(model), model.mtp_layers  # a draft passes through one, and all are loaded
        sizes = {"layers": layers, "vocab": 1, "n_params": layers * draft.body_params}  # the tables are the LLM's
        in_memory = draft.model_copy(update=sizes)
        of_step = 1.0 / model.layers
    else:
        draft = in_memory = _draft_model(speculation, model)
    steps = _steps(draft, gpu, layout, profile, of_step)
    drafter = Drafter(acceptance, steps, flops_share=draft.active_params / model.active_params)
    engine = replace(engine, drafter=drafter)
    of_llm, of_draft = (block_token_bytes(one, layout) * engine.block_tokens for one in (model, in_memory))
    blocks = int((engine.kv_blocks * of_llm - in_memory.weight_bytes) // (of_llm + of_draft))
    needed = engine.blocks_of(longest)
    if blocks < needed:
        raise InputError(
            f"{_KEY}: {draft.name} does not fit beside {model.name} on {layout.gpus} x {gpu.name}: its weights of "
            f"{in_memory.weight_bytes / 1e9:.1f} GB and its KV cache leave {max(blocks, 0) * engine.block_tokens} "
            f"tokens, and the longest request needs {needed * engine.block_tokens}; take a smaller draft model, more "
            "gpus_per_replica, or speculation of kind ngram"
        )
    return replace(engine, kv_blocks=blocks)


def _steps(draft: ModelSpec, gpu: GpuSpec, layout: Layout, profile: EngineProfile | None, of_step: float) -> StepTime:
    if profile is None:
        efficiency = Efficiency()
        return RooflineTiming(draft, gpu, layout, replace(efficiency, overhead_s=efficiency.overhead_s * of_step)).steps
    seconds = profile.seconds
    parts = {key: getattr(seconds, key) * of_step for key in ("step", "host", "host_sequence")}
    return engine_steps(draft, gpu, layout, profile.model_copy(update={"seconds": seconds.model_copy(update=parts)}))


def _draft_model(speculation: sections.DraftModel, model: ModelSpec) -> ModelSpec:
    key = f"{_KEY}.model"
    draft = default_catalogue().model(speculation.model, key)
    if draft.n_params > model.n_params:
        raise InputError(
            f"{key}: {draft.name} ({draft.n_params / 1e9:.1f}B) is larger than {model.name} "
            f"({model.n_params / 1e9:.1f}B), whose tokens it drafts; name a smaller model"
        )
    if abs(draft.vocab - model.vocab) > _SAME_VOCABULARY * model.vocab:
        raise InputError(
            f"{key}: {draft.name} has a vocabulary of {draft.vocab} tokens and {model.name} one of {model.vocab}; name "
            "a model of the same family"
        )
    return draft


def _prediction_layer(model: ModelSpec) -> ModelSpec:
    """A layer that predicts a further token, as large as a layer of the model, with the model's output projection."""
    if not model.mtp_layers:
        known = ", ".join(one.name for one in default_catalogue().models.values() if one.mtp_layers)
        raise InputError(
            f"{_KEY}: {model.name} comes without layers for multi-token prediction, as {known} have; set kind "
            "draft_model or ngram"
        )
    alike = {"layers": 1, "dense_layers": 0, "window_layers": 0, "window": None, "other_params": 0}
    layer = model.model_copy(update={"name": f"the prediction layer of {model.name}", **alike})
    dense = (model.body_params - model.expert_params) // model.layers
    n_params = dense + layer.expert_params + model.head_params
    return layer.model_copy(update={"n_params": n_params, "tied_embeddings": True})
