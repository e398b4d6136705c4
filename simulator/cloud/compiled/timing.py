"""How long a step takes, and a run of them, in compiled code: `StepTime` and `DecodeRun` to the last bit.

`kind_row` writes what they hold as a row of numbers `K`, one for each kind of replica. A run is up to three parts of
six numbers each, a DecodeRun and the steps after which the next one follows (0: none); then, where drafts are verified,
as many of the draft model, and whether there are any (VerifyRun).
"""

import math
from dataclasses import astuple

import numpy as np

from fleetrec.simulator.cloud.compiled.columns import AGAIN, FURTHER, KIND, SEARCHES, SQUARES
from fleetrec.simulator.cloud.hardware.kernels import SHARPNESS, Exchange, Experts
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined

# Each part has its numbers in the order of its class's fields; HAS_...: whether there is such a part.
COMPUTE, MEMORY, EXPERTS, FLOOR_S, WINDOWS, BEAMS, KERNELS = 0, 5, 10, 12, 13, 16, 22
BODY, HEAD, GROUPED, ATTENTION, FEED_FORWARD, GROUPS = 25, 27, 29, 33, 37, 41
HAS_EXPERTS, HAS_WINDOWS, HAS_BEAMS, HAS_KERNELS, HAS_GROUPED, HAS_ATTENTION, HAS_FEED_FORWARD = (
    42,
    43,
    44,
    45,
    46,
    47,
    48,
)
SHARP, BLUNT, SHARE = 49, 50, 51  # exponents, which the compiler must not know; what a block with a window takes
LOOKUP_S = 52  # host time of drafts, a step and sequence
KNOWN = 53  # then by sequences that decode: whether it is known, what `StepTime._decoding` has, and what the head takes
N_KNOWN = 7  # the last is 0 where it is not known
N_BODY = 8192  # the last of a row: by tokens of a step, what the body's kernels take, 0 where it is not known
PART, DRAFTED, RUN_NUMBERS = 6, 18, 37  # of a run


def kind_row(steps: StepTime, window_share: float, most: int, lookup_s: float = 0.0) -> Floats:
    """The row of replicas with these steps and at most so many sequences, or tokens that are scored in a step where
    drafts are verified; or of a model that drafts."""
    row = [*astuple(steps.compute), *astuple(steps.memory)]
    row += astuple(steps.experts) if steps.experts is not None else [0.0] * 2
    row.append(steps.prompt_floor_s)
    row += astuple(steps.windows) if steps.windows is not None else [0.0] * 3
    row += astuple(steps.beams) if steps.beams is not None else [0.0] * 6
    kernels = steps.kernels
    if kernels is None:
        row += [0.0] * 20
        parts: list[object] = [None] * 3
    else:
        row += [kernels.layers_s, kernels.prompt_layers_s, kernels.sequence_s]
        row += [*astuple(kernels.body), *astuple(kernels.head)]
        row += astuple(kernels.experts or Experts(0.0, 0.0, 0.0, 0.0))
        for exchange in (kernels.attention_exchange, kernels.block_exchange):
            row += astuple(exchange or Exchange(0.0, 0.0, 0.0, 0.0))
        row.append(kernels.attention_data)
        parts = [kernels.experts, kernels.attention_exchange, kernels.block_exchange]
    there = [steps.experts, steps.windows, steps.beams, kernels, *parts]
    row += [float(part is not None) for part in there]
    row += [SHARPNESS, 1.0 / SHARPNESS, window_share, lookup_s]
    return np.concatenate([row, np.zeros(N_KNOWN * (most + 2) + N_BODY)])


@inlined
def _roofline(K: Floats, k: int, read_s: float, compute_s: float) -> float:
    high, low = max(read_s, compute_s), min(read_s, compute_s)
    return high * (1.0 + (low / high) ** K[k, SHARP]) ** K[k, BLUNT] if high > 0.0 else 0.0


@inlined
def _exchange(K: Floats, k: int, at: int, tokens: float) -> float:
    return float(K[k, at] + min(K[k, at + 1] * tokens, K[k, at + 2] + K[k, at + 3] * tokens))


@inlined
def _body_s(K: Floats, k: int, new: float) -> float:
    """Two powers, which take as long as a step's other sums, so they are kept."""
    tokens = int(new)
    if tokens >= N_BODY or tokens != new:
        return _roofline(K, k, K[k, BODY], K[k, BODY + 1] * new)
    at = K.shape[1] - N_BODY + tokens
    if K[k, at] == 0.0:
        K[k, at] = _roofline(K, k, K[k, BODY], K[k, BODY + 1] * new)
    return float(K[k, at])


@compiled
def by_tokens_s(K: Floats, k: int, new: float, sequences: float) -> float:
    """`StepTime.by_tokens_s`"""
    seconds = 0.0
    if K[k, HAS_EXPERTS]:
        seconds = K[k, EXPERTS] * (1.0 - (1.0 - K[k, EXPERTS + 1]) ** new)
    if not K[k, HAS_KERNELS]:
        return seconds
    head = KNOWN + N_KNOWN * int(sequences) + 6
    if K[k, head] == 0.0:
        K[k, head] = _roofline(K, k, K[k, HEAD], K[k, HEAD + 1] * sequences)
    kernels = K[k, KERNELS] + K[k, KERNELS + 2] * sequences
    kernels = kernels + _body_s(K, k, new)
    kernels = kernels + K[k, head]
    if new > sequences:
        kernels += K[k, KERNELS + 1]
    if K[k, HAS_GROUPED]:
        share = K[k, GROUPED + 2]
        met = 1.0 - (1.0 - share) ** new
        kernels += _roofline(K, k, K[k, GROUPED] * met, K[k, GROUPED + 1] * (share * new + K[k, GROUPED + 3] * met))
    if K[k, HAS_ATTENTION]:
        kernels += _exchange(K, k, ATTENTION, new / K[k, GROUPS])
    if K[k, HAS_FEED_FORWARD]:
        kernels += _exchange(K, k, FEED_FORWARD, new)
    return float(seconds + kernels)


@inlined
def line_s(K: Floats, k: int, at: int, new: float, sequences: float, context: float, pairs: float) -> float:
    """`LinearCost.at`"""
    return float(
        K[k, at] + K[k, at + 1] * new + K[k, at + 2] * sequences + K[k, at + 3] * context + K[k, at + 4] * pairs
    )


@inlined
def _beams_s(K: Floats, k: int, searches: int, further: int, squares: int, again: int) -> tuple[float, float]:
    """`BeamCost.at`"""
    if searches == 0:
        return 0.0, 0.0
    both = K[k, BEAMS] + K[k, BEAMS + 1] * searches + K[k, BEAMS + 2] * squares
    gpu = K[k, BEAMS + 4] * further - K[k, BEAMS + 5] * again
    return both + K[k, BEAMS + 3] * further, both + gpu


@compiled
def lines_s(
    K: Floats, k: int, new: float, scored: float, context: float, pairs: float, sequences: float
) -> tuple[float, float]:
    """The two lines of a step in which so many tokens are scored, of so many sequences, without what searches add."""
    compute_s = line_s(K, k, COMPUTE, new, scored, context, pairs)
    memory_s = line_s(K, k, MEMORY, new, scored, context, pairs)
    if K[k, HAS_EXPERTS] or K[k, HAS_KERNELS]:
        memory_s += by_tokens_s(K, k, new, scored)
    if K[k, HAS_KERNELS] and scored > sequences:
        compute_s -= K[k, COMPUTE + 2] * (scored - sequences)
    if K[k, HAS_WINDOWS]:
        window = K[k, WINDOWS]
        compute_s += K[k, WINDOWS + 2] * min(pairs, new * window)
        memory_s += K[k, WINDOWS + 1] * min(context, sequences * window + max(new - sequences, 0.0))
    return compute_s, memory_s


@inlined
def step_s(r: int, S: Ints, K: Floats, new: int, sequences: int, context: int, pairs: int, paused: bool) -> float:
    """`StepTime.at`; of a step of prompts alone, for which those that decode are paused, without their beams."""
    k = S[r, KIND]
    a, b, c, d = float(new), float(sequences), float(context), float(pairs)
    compute_s, memory_s = lines_s(K, k, a, b, c, d, b)
    if K[k, HAS_BEAMS] and not paused:
        host_s, gpu_s = _beams_s(K, k, S[r, SEARCHES], S[r, FURTHER], S[r, SQUARES], S[r, AGAIN])
        compute_s, memory_s = compute_s + host_s, memory_s + gpu_s
    seconds = max(compute_s, memory_s)
    return max(seconds, K[k, FLOOR_S]) if new > sequences else seconds


@inlined
def set_lines(
    X: Floats, r: int, at: int, a_first_s: float, a_growth_s: float, b_first_s: float, b_growth_s: float
) -> None:
    """`DecodeRun.of`"""
    if a_first_s < b_first_s or (a_first_s == b_first_s and a_growth_s < b_growth_s):
        a_first_s, a_growth_s, b_first_s, b_growth_s = b_first_s, b_growth_s, a_first_s, a_growth_s
    X[r, at], X[r, at + 1] = a_first_s, a_growth_s
    if b_growth_s <= a_growth_s:
        X[r, at + 2], X[r, at + 3], X[r, at + 4] = math.inf, 0.0, 0.0
    else:
        X[r, at + 2] = np.ceil((a_first_s - b_first_s) / (b_growth_s - a_growth_s))
        X[r, at + 3], X[r, at + 4] = b_first_s, b_growth_s


@compiled
def _lines(
    r: int,
    S: Ints,
    X: Floats,
    K: Floats,
    at: int,
    sequences: int,
    context: int,
    beams: tuple[int, int, int, int],
    in_windows: float,
    grows: bool,
) -> None:
    """`StepTime._lines`"""
    k = S[r, KIND]
    known, n, tokens = KNOWN + N_KNOWN * sequences, float(sequences), float(context)
    if K[k, known] == 0.0:
        K[k, known + 1] = line_s(K, k, COMPUTE, n, n, 0.0, 0.0)
        K[k, known + 2] = (K[k, COMPUTE + 3] + K[k, COMPUTE + 4]) * n
        K[k, known + 3] = line_s(K, k, MEMORY, n, n, 0.0, 0.0)
        K[k, known + 4] = (K[k, MEMORY + 3] + K[k, MEMORY + 4]) * n
        K[k, known + 5] = by_tokens_s(K, k, n, n)
        K[k, known] = 1.0
    compute_s, compute_growth_s = K[k, known + 1], K[k, known + 2]
    memory_s, memory_growth_s = K[k, known + 3], K[k, known + 4]
    if K[k, HAS_WINDOWS]:
        per_pair_s, per_token_s = K[k, WINDOWS + 2], K[k, WINDOWS + 1]
        compute_s = compute_s + per_pair_s * in_windows
        compute_growth_s = compute_growth_s + per_pair_s * grows * n
        memory_s = memory_s + per_token_s * in_windows
        memory_growth_s = memory_growth_s + per_token_s * grows * n
    if K[k, HAS_BEAMS]:
        host_s, gpu_s = _beams_s(K, k, beams[0], beams[1], beams[2], beams[3])
        compute_s, memory_s = compute_s + host_s, memory_s + gpu_s
    set_lines(
        X,
        r,
        at,
        compute_s + K[k, COMPUTE + 3] * tokens + K[k, COMPUTE + 4] * tokens,
        compute_growth_s,
        memory_s + K[k, MEMORY + 3] * tokens + K[k, MEMORY + 4] * tokens + K[k, known + 5],
        memory_growth_s,
    )


@compiled
def set_run(
    r: int,
    S: Ints,
    X: Floats,
    K: Floats,
    at: int,
    sequences: int,
    context: int,
    beams: tuple[int, int, int, int],
) -> None:
    """`StepTime.decoding`, written to column `at` of the replica's times."""
    k = S[r, KIND]
    capped = sequences * int(K[k, WINDOWS])
    steps = int(np.floor((capped - context) / sequences)) + 1 if K[k, HAS_WINDOWS] and context <= capped else 0
    X[r, at + 5] = steps
    grows = steps > 0
    _lines(r, S, X, K, at, sequences, context, beams, float(context if grows else capped), grows)
    if grows:
        later = context + steps * sequences
        _lines(r, S, X, K, at + PART, sequences, later, beams, float(capped), not grows)


@compiled
def _decode_s(X: Floats, r: int, at: int, steps: int) -> float:
    """`DecodeRun.seconds`"""
    switch = X[r, at + 2]
    if steps <= switch:
        return float(steps * (X[r, at] + 0.5 * X[r, at + 1] * (steps - 1)))
    before = switch * (X[r, at] + 0.5 * X[r, at + 1] * (switch - 1))
    more = steps - switch
    return float(before + more * (X[r, at + 3] + 0.5 * X[r, at + 4] * (steps + switch - 1)))


@compiled
def _parts_s(X: Floats, r: int, at: int, steps: int) -> float:
    """`WindowedRun.seconds`"""
    first = int(X[r, at + 5])
    if first == 0 or steps <= first:
        return _decode_s(X, r, at, steps)
    before, more, second = _decode_s(X, r, at, first), steps - first, int(X[r, at + PART + 5])
    if second == 0 or more <= second:
        return before + _decode_s(X, r, at + PART, more)
    return before + (_decode_s(X, r, at + PART, second) + _decode_s(X, r, at + 2 * PART, more - second))


@compiled
def run_s(X: Floats, r: int, at: int, steps: int) -> float:
    """`Run.seconds` of the run that is written at column `at`."""
    if X[r, at + 5] == 0.0 and X[r, at + RUN_NUMBERS - 1] == 0.0:
        return _decode_s(X, r, at, steps)
    seconds = _parts_s(X, r, at, steps)
    return seconds + _parts_s(X, r, at + DRAFTED, steps) if X[r, at + RUN_NUMBERS - 1] else seconds


@compiled
def _decode_until(X: Floats, r: int, at: int, elapsed_s: float) -> int:
    """`DecodeRun.steps_until`"""
    first, growth, elapsed, done = X[r, at], X[r, at + 1], elapsed_s, 0.0
    switch = X[r, at + 2]
    if switch < math.inf:
        before = _decode_s(X, r, at, int(switch))
        if before < elapsed_s:
            first, growth = X[r, at + 3] + switch * X[r, at + 4], X[r, at + 4]
            elapsed, done = elapsed_s - before, switch
    linear = first - 0.5 * growth
    root = 2.0 * elapsed / (linear + math.sqrt(linear * linear + 2.0 * growth * elapsed))
    steps = max(1, int(np.ceil(done + root)))
    while steps > 1 and _decode_s(X, r, at, steps - 1) >= elapsed_s:
        steps -= 1
    while _decode_s(X, r, at, steps) < elapsed_s:
        steps += 1
    return steps


@compiled
def _parts_until(X: Floats, r: int, at: int, elapsed_s: float) -> int:
    """`WindowedRun.steps_until`"""
    steps = 0
    for part in range(at, at + DRAFTED, PART):
        first = int(X[r, part + 5])
        before = _decode_s(X, r, part, first)
        if first == 0 or elapsed_s <= before:
            return steps + _decode_until(X, r, part, elapsed_s)
        steps += first
        elapsed_s -= before
    return steps


@compiled
def steps_until(X: Floats, r: int, at: int, elapsed_s: float) -> int:
    """`Run.steps_until` of the run that is written at column `at`."""
    if not X[r, at + RUN_NUMBERS - 1]:
        return _parts_until(X, r, at, elapsed_s)
    low, high = 0, max(1, int(np.ceil(elapsed_s / run_s(X, r, at, 1))))
    while run_s(X, r, at, high) < elapsed_s:
        high += 1
    while high - low > 1:
        middle = (low + high) // 2
        if run_s(X, r, at, middle) < elapsed_s:
            low = middle
        else:
            high = middle
    return high
