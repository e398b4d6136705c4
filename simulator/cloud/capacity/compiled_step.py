"""How long a step takes, in compiled code: `StepTime.at` and `VerifyTime.at` from a row of numbers.

`step_row` writes what `step_time.py` holds as such a row; what a model or an engine does without is zeros in it.
"""

import math
from collections.abc import Callable
from dataclasses import astuple
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fleetrec.simulator.cloud.hardware.kernels import Exchange, Experts, Kernels
from fleetrec.simulator.cloud.hardware.step_time import StepTime

Floats = NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """The same function in machine code, kept on disk; other threads go on while it runs."""
    return cast(Function, njit(cache=True, nogil=True)(function))


def inlined(function: Function) -> Function:
    """The same as a part of whatever calls it: a call hands over the shape and strides of every array."""
    return cast(Function, njit(cache=True, nogil=True, inline="always")(function))


# Where the parts of a step's time begin among its numbers; each has its numbers in the order of its class's fields.
COMPUTE, MEMORY, EXPERTS, FLOOR_S, WINDOWS, BEAMS, KERNELS = 0, 5, 10, 12, 13, 16, 22
BODY, HEAD, GROUPED, EXCHANGES, GROUPS = 25, 27, 29, 33, 41  # of the kernels; GROUPS is 0 where there are none
ROW = 42


def step_row(steps: StepTime | None) -> list[float]:
    """[ROW] numbers; None: all zeros."""
    if steps is None:
        return [0.0] * ROW
    row = [*astuple(steps.compute), *astuple(steps.memory)]
    row += astuple(steps.experts) if steps.experts is not None else [0.0] * 2
    row.append(steps.prompt_floor_s)
    row += astuple(steps.windows) if steps.windows is not None else [0.0] * 3
    row += astuple(steps.beams) if steps.beams is not None else [0.0] * 6
    return [*row, *_of_kernels(steps.kernels)]


def _of_kernels(kernels: Kernels | None) -> list[float]:
    if kernels is None:
        return [0.0] * (ROW - KERNELS)
    row = [kernels.layers_s, kernels.prompt_layers_s, kernels.sequence_s, *astuple(kernels.body)]
    row += [*astuple(kernels.head), *astuple(kernels.experts or Experts(0.0, 0.0, 0.0, 0.0))]
    for exchange in (kernels.attention_exchange, kernels.block_exchange):
        row += astuple(exchange or Exchange(0.0, 0.0, 0.0, 0.0))
    return [*row, kernels.attention_data]


@compiled
def _roofline(read_s: float, compute_s: float) -> float:
    high, low = max(read_s, compute_s), min(read_s, compute_s)
    if high <= 0.0:
        return 0.0
    square = (low / high) * (low / high)
    return high * math.sqrt(math.sqrt(1.0 + square * square))


@compiled
def _exchange(rows: Floats, r: int, at: int, tokens: float) -> float:
    return float(rows[r, at] + min(rows[r, at + 1] * tokens, rows[r, at + 2] + rows[r, at + 3] * tokens))


@compiled
def by_tokens_s(rows: Floats, r: int, at: int, new: float, sequences: float) -> float:
    """The part of the memory line that is no line in the tokens; the step's numbers begin at `at` of row `r`."""
    seconds, groups = 0.0, rows[r, at + GROUPS]
    experts_s, share = rows[r, at + EXPERTS], rows[r, at + EXPERTS + 1]
    if experts_s > 0:
        seconds += experts_s * (1.0 - (1.0 - share) ** new)
    if groups == 0:
        return seconds
    kernels, body, head, grouped = at + KERNELS, at + BODY, at + HEAD, at + GROUPED
    seconds += rows[r, kernels] + rows[r, kernels + 2] * sequences
    if new > sequences:
        seconds += rows[r, kernels + 1]
    seconds += _roofline(rows[r, body], rows[r, body + 1] * new)
    seconds += _roofline(rows[r, head], rows[r, head + 1] * sequences)
    read_s, share = rows[r, grouped], rows[r, grouped + 2]
    if read_s > 0:
        met = 1.0 - (1.0 - share) ** new
        seconds += _roofline(read_s * met, rows[r, grouped + 1] * (share * new + rows[r, grouped + 3] * met))
    seconds += _exchange(rows, r, at + EXCHANGES, new / groups)
    return float(seconds + _exchange(rows, r, at + EXCHANGES + 4, new))


@compiled
def step_s(
    rows: Floats,
    r: int,
    at: int,
    new: float,
    sequences: float,
    drafts: float,
    context: float,
    pairs: float,
    by_tokens: float,
    host: float,
    gpu: float,
) -> float:
    """Seconds of a step. Of its `sequences` tokens that are scored `drafts` follow another one of their sequence;
    `host` and `gpu` are what searches add to the two lines."""
    own = sequences - drafts
    compute, memory = rows[r, at + COMPUTE] + host, rows[r, at + MEMORY] + by_tokens + gpu
    compute += rows[r, at + COMPUTE + 1] * new + rows[r, at + COMPUTE + 3] * context + rows[r, at + COMPUTE + 4] * pairs
    compute += rows[r, at + COMPUTE + 2] * (own if rows[r, at + GROUPS] > 0 else sequences)
    memory += rows[r, at + MEMORY + 1] * new + rows[r, at + MEMORY + 3] * context + rows[r, at + MEMORY + 4] * pairs
    memory += rows[r, at + MEMORY + 2] * sequences
    window = rows[r, at + WINDOWS]
    if window > 0:
        compute += rows[r, at + WINDOWS + 2] * min(pairs, new * window)
        memory += rows[r, at + WINDOWS + 1] * min(context, own * window + new - own)
    seconds = max(compute, memory)
    return float(max(seconds, rows[r, at + FLOOR_S]) if new > sequences else seconds)


@compiled
def beams_s(rows: Floats, r: int, searches: int, further: int, squares: int, again: int) -> tuple[float, float]:
    """What searches add to the two lines; the step's numbers begin row `r`."""
    both = rows[r, BEAMS] + rows[r, BEAMS + 1] * searches + rows[r, BEAMS + 2] * squares
    return both + rows[r, BEAMS + 3] * further, both + rows[r, BEAMS + 4] * further - rows[r, BEAMS + 5] * again
