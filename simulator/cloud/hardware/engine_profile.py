"""Serving engines: what each makes of a GPU, as constants fitted to measured set-ups (`benchmarks/fit_engines.py`)."""

from functools import cache
from pathlib import Path

import numpy as np
import yaml
from pydantic import Field, ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import EngineName, Section

_FOLDER = Path(__file__).parent / "engines"


class Shares(Section):
    """Shares of a GPU's peaks, and factors of them."""

    products_16bit: float = Field(gt=0, le=1.2, description="of the FLOP/s, in matrix products of many tokens")
    products_8bit: float = Field(gt=0, le=1.2)
    products_4bit: float = Field(gt=0, le=1.2)
    block_scaled: float = Field(gt=0, description="factor where 8-bit weights have a scale a block")
    expert_products: float = Field(gt=0, description="factor in grouped products of experts")
    prompt_attention: float = Field(gt=0, le=1.2, description="of the 16-bit FLOP/s")
    reads: float = Field(gt=0, le=1.2, description="of the bandwidth, in reads of weights")
    reads_4bit: float = Field(gt=0, description="factor in reads of NVFP4 weights")
    expert_reads: float = Field(gt=0, description="factor in reads of experts")
    cache_reads: float = Field(gt=0, le=1.2, description="of the bandwidth, in reads of the KV cache")
    link_one_shot: float = Field(gt=0, description="of the link, where each GPU reads what the others have")
    link_ring: float = Field(gt=0, description="of the link, where sums are passed round")
    fp4_gpu_products: float = Field(gt=0, description="factor on GPUs with 4-bit arithmetic, but for 4-bit products")
    fp4_gpu_reads: float = Field(gt=0, description="factor on those GPUs")
    fp4_gpu_expert_reads: float = Field(gt=0, description="further factor on those GPUs")


class Seconds(Section):
    """Times that follow from no peak."""

    step: float = Field(ge=0, description="of each step, hidden behind nothing")
    host: float = Field(
        ge=0, description="the host's work for a step, behind which the GPUs' is hidden, or the reverse"
    )
    host_sequence: float = Field(ge=0, description="the same for each sequence")
    host_prompt_layer: float = Field(ge=0, description="the least that a layer takes in a step with part of a prompt")
    layer: float = Field(ge=0, description="of a layer's kernels, whatever they hold")
    expert_layer: float = Field(ge=0, description="more where it has experts")
    layer_8bit: float = Field(ge=0, description="more where its weights have 8 bits")
    layer_block_scaled: float = Field(ge=0, description="in place of `layer_8bit` where they have a scale a block")
    layer_4bit: float = Field(ge=0, description="more where they are NVFP4")
    prompt_layer: float = Field(ge=0, description="more in a step with part of a prompt")
    sequence: float = Field(ge=0, description="of each sequence, on the GPUs")
    layer_sequence: float = Field(ge=0, description="of each sequence, in each layer")
    exchange: float = Field(ge=0, description="an exchange between GPUs")
    exchange_doubling: float = Field(ge=0, description="more for each doubling of the GPUs")
    ring_doubling: float = Field(ge=0, description="of a ring, for each doubling of the GPUs")
    request: float = Field(ge=0, description="from the client until the scheduler sees a request")
    request_token: float = Field(ge=0, description="more for each token of its prompt")
    request_stream: float = Field(ge=0, description="more for each answer that is being streamed")


class Scheduling(Section):
    """How steps are composed and memory is given, where it is not as vLLM does."""

    separate_prefill: bool = Field(False, description="prompts go first, in steps of their own, without decoding")
    reserve_output: bool = Field(False, description="a request waits until its whole answer has memory")
    source: str = ""


class Search(Section):
    """Wide beams over one prompt: what a program, or a version of it, makes of them (`benchmarks/fit_beams.py`)."""

    products: float = Field(gt=0, description="factor of all shares of products, with the kernels of this load")
    again: float = Field(ge=0, le=1, description="share of a prompt's cache that each further beam reads once more")
    step: float = Field(ge=0, description="seconds of a step with any search")
    search: float = Field(ge=0, description="seconds of each request that searches, in a step")
    beam: float = Field(ge=0, description="seconds of each further beam, in a step")
    square: float = Field(0.0, ge=0, description="seconds of a request's width squared, in a step")
    prompt_layer: float = Field(ge=0, description="in place of `host_prompt_layer`, seconds")
    request: float = Field(ge=0, description="seconds from the client until the scheduler sees a request")
    trie: bool = Field(description="whether beams follow the ids of items only, as the cells were measured")
    fitted_to: str = Field(description="version and cells")
    error: float = Field(ge=0, description="median absolute error of cells that were left out")
    error_worst: float = Field(ge=0, description="the worst of them")


class BeamLimits(Section):
    """Widths beyond which the engine was seen to fail; they are taken to grow with the memory of a replica."""

    memory: float = Field(gt=0, description="bytes of the GPU that they were seen on")
    alone: int = Field(ge=1, description="beams of a request that is served alone")
    together: int = Field(ge=1, description="beams of a request that is served beside others")
    source: str


class EngineProfile(Section):
    """What a file of `engines` holds."""

    title: str
    fitted_to: str = Field(description="versions and rows")
    shares: Shares
    seconds: Seconds
    scheduling: Scheduling = Scheduling()
    expert_tile: float = Field(ge=0, description="rows that an expert which is met computes beyond its tokens")
    attention_data_exchange: float = Field(gt=0, description="factor of exchanges between attention-data groups")
    sources: str
    searches: dict[str, Search] = Field(min_length=1, description="by program and version; scenarios take the first")
    beam_limits: BeamLimits | None = Field(None, description="none: none was met, up to 1,000 beams")

    @property
    def search(self) -> Search:
        """What scenarios take."""
        return next(iter(self.searches.values()))


_ILLEGAL = ((50, 128, 512, 1000), (0.27, 0.23, 0.19, 0.17))
"""beams without a trie, and the share of them that name no item (FlashRec's page of baselines, commit 41f12b0)"""


def illegal_share(search: Search, beams: int) -> float:
    """Share of so many beams that name no item: none under a trie, else as measured, by the width's logarithm."""
    return 0.0 if search.trie else float(np.interp(np.log(beams), np.log(_ILLEGAL[0]), _ILLEGAL[1]))


@cache
def engine_profile(name: EngineName) -> EngineProfile:
    """The profile of a serving engine. InputError where its file is not one."""
    path = _FOLDER / f"{name}.yaml"
    try:
        return EngineProfile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: no profile of an engine ({type(error).__name__}); restore the file") from None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path}: {place}: {problem['msg']}; correct the entry") from None
