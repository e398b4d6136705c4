"""The sequences of a replica that decode, in compiled code: see decode_batch.py.

The requests among them are a heap by the step at which they have all their tokens, then by their number.
"""

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled import speculation as drafts
from fleetrec.simulator.cloud.compiled.timing import HAS_BEAMS, set_run, step_s
from fleetrec.simulator.cloud.compiled.verifying import set_verify_run, verify_s
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined

_NUMBERS = 1 << 31


@inlined
def blocks_at(J: Ints, job: int, tokens: int, block: int) -> int:
    """`Job.blocks_at`"""
    shared = min(tokens, J[job, c.PROMPT]) // block
    return int(J[job, c.WINDOWED] + shared + J[job, c.WIDTH] * -((shared * block - tokens) // block))


@inlined
def _sift_up(r: int, S: Ints, place: int) -> None:
    ends, ending = S[r, c.AT_ENDS], S[r, c.AT_ENDING]
    key, job = S[r, ends + place], S[r, ending + place]
    while place:
        above = (place - 1) // 2
        if S[r, ends + above] <= key:
            break
        S[r, ends + place], S[r, ending + place] = S[r, ends + above], S[r, ending + above]
        place = above
    S[r, ends + place], S[r, ending + place] = key, job


@inlined
def _take_out(r: int, S: Ints, place: int) -> None:
    """The entry at a place leaves the heap."""
    ends, ending = S[r, c.AT_ENDS], S[r, c.AT_ENDING]
    S[r, c.DECODING] -= 1
    n = S[r, c.DECODING]
    if place == n:
        return
    key, job = S[r, ends + n], S[r, ending + n]
    hole = place
    while 2 * hole + 1 < n:
        below = 2 * hole + 1
        if below + 1 < n and S[r, ends + below + 1] < S[r, ends + below]:
            below += 1
        S[r, ends + hole], S[r, ending + hole] = S[r, ends + below], S[r, ending + below]
        hole = below
    S[r, ends + hole], S[r, ending + hole] = key, job
    _sift_up(r, S, hole)


@inlined
def _count(r: int, S: Ints, K: Floats, J: Ints, job: int, context: int, sign: int) -> None:
    width = J[job, c.WIDTH]
    S[r, c.SEQUENCES] += sign * width
    S[r, c.CONTEXT] += sign * width * context
    S[r, c.PHASES + (S[r, c.STEP] - context) % S[r, c.BLOCK]] += sign * width
    if width > 1 and K[S[r, c.KIND], HAS_BEAMS]:
        S[r, c.SEARCHES] += sign
        S[r, c.FURTHER] += sign * (width - 1)
        S[r, c.SQUARES] += sign * width * width
        S[r, c.AGAIN] += sign * (width - 1) * J[job, c.PROMPT]


@compiled
def join(r: int, S: Ints, X: Floats, K: Floats, J: Ints, job: int, generated: int) -> None:
    """`Decoding.join`"""
    if S[r, c.EACH] > 1:
        finish = S[r, c.STEP] + drafts.join(r, S, X, J, job, generated)
    else:
        finish = S[r, c.STEP] + J[job, c.OUTPUT] - generated
        _count(r, S, K, J, job, J[job, c.PROMPT] + generated - 1, 1)
    J[job, c.FINISH] = finish
    place = S[r, c.DECODING]
    S[r, S[r, c.AT_ENDS] + place] = finish * _NUMBERS + J[job, c.NUMBER]
    S[r, S[r, c.AT_ENDING] + place] = job
    S[r, c.DECODING] += 1
    _sift_up(r, S, place)


@compiled
def leave(r: int, S: Ints, X: Floats, K: Floats, J: Ints, job: int) -> None:
    """`Decoding.leave`"""
    place = 0
    while S[r, S[r, c.AT_ENDING] + place] != job:
        place += 1
    _take_out(r, S, place)
    if S[r, c.EACH] > 1:
        held = drafts.leave(r, S, X, J, job)
    else:
        J[job, c.GENERATED] = J[job, c.OUTPUT] - (J[job, c.FINISH] - S[r, c.STEP])
        held = J[job, c.PROMPT] + J[job, c.GENERATED] - 1
        _count(r, S, K, J, job, held, -1)
    J[job, c.BLOCKS] = blocks_at(J, job, held, S[r, c.BLOCK]) - J[job, c.SHARED]


@inlined
def advance(r: int, S: Ints, X: Floats, steps: int) -> None:
    """`Decoding.advance`"""
    if S[r, c.EACH] > 1:
        drafts.advance(r, S, X, steps)
    else:
        S[r, c.CONTEXT] += S[r, c.SEQUENCES] * steps
    S[r, c.STEP] += steps
    S[r, c.PASSED] += S[r, c.SEQUENCES] * S[r, c.EACH] * steps


@inlined
def next_end(r: int, S: Ints) -> int:
    """The step at which the next request has all its tokens. There must be one."""
    return int(S[r, S[r, c.AT_ENDS]] // _NUMBERS)


@inlined
def next_ending(r: int, S: Ints) -> int:
    """That request."""
    return int(S[r, S[r, c.AT_ENDING]])


@inlined
def opened_next(r: int, S: Ints) -> int:
    """`Decoding.blocks_of_next_step`"""
    if S[r, c.EACH] > 1:
        return drafts.opened(r, S, 0, 1)
    return int(S[r, c.PHASES + S[r, c.STEP] % S[r, c.BLOCK]])


@inlined
def opened_later(r: int, S: Ints, steps: int) -> int:
    """`Decoding.blocks_after_first`"""
    if S[r, c.EACH] > 1:
        return drafts.opened(r, S, 1, steps)
    block = S[r, c.BLOCK]
    cycles = (steps - 1) // block
    opened, phase = cycles * S[r, c.SEQUENCES], S[r, c.STEP] % block
    for _ in range(steps - 1 - cycles * block):
        phase = phase + 1 if phase + 1 < block else 0
        opened += S[r, c.PHASES + phase]
    return int(opened)


@compiled
def _steps_in(r: int, S: Ints, blocks: int) -> int:
    block = S[r, c.BLOCK]
    cycles, left = blocks // S[r, c.SEQUENCES], blocks % S[r, c.SEQUENCES]
    phase = S[r, c.STEP] % block
    for k in range(block):
        left -= S[r, c.PHASES + phase]
        if left < 0:
            return int(cycles * block + k)
        phase = phase + 1 if phase + 1 < block else 0
    return int((cycles + 1) * block)


@inlined
def steps_within(r: int, S: Ints, free: int) -> int:
    """`Decoding.steps_within`"""
    steps = next_end(r, S) - S[r, c.STEP]
    if S[r, c.SEQUENCES] * -(-steps * S[r, c.EACH] // S[r, c.BLOCK]) <= free:
        return int(steps)
    if S[r, c.EACH] > 1:
        return drafts.steps_within(r, S, steps, free)
    return int(min(steps, _steps_in(r, S, free + opened_next(r, S))))


@inlined
def chunks_s(
    r: int, S: Ints, X: Floats, K: Floats, tokens: int, ends: int, read: int, pairs: int, paused: bool
) -> float:
    """`Decoding.at`; of a step of prompts alone (`paused`), `Decoding.prompts_s`."""
    n = 0 if paused else S[r, c.SEQUENCES]
    if S[r, c.EACH] > 1:
        return verify_s(r, S, K, n, 0.0 if paused else X[r, c.HAD], tokens, ends, read, pairs)
    context = 0 if paused else S[r, c.CONTEXT] + n
    return step_s(r, S, K, n + tokens, n + ends, context + read, context + pairs, paused)


@inlined
def run_now(r: int, S: Ints, X: Floats, K: Floats, at: int) -> None:
    """`Decoding.run`"""
    if S[r, c.EACH] > 1:
        set_verify_run(r, S, X, K, at, S[r, c.SEQUENCES], X[r, c.HAD], X[r, c.GROWTH])
        return
    beams = (S[r, c.SEARCHES], S[r, c.FURTHER], S[r, c.SQUARES], S[r, c.AGAIN])
    set_run(r, S, X, K, at, S[r, c.SEQUENCES], S[r, c.CONTEXT] + S[r, c.SEQUENCES], beams)


@inlined
def run_after_joining(r: int, S: Ints, X: Floats, K: Floats, J: Ints, at: int, free: int) -> int:
    """`Decoding.run_after_joining` of those with a chunk in the step at hand: the steps of the run, 0 for None."""
    sequences, context = S[r, c.SEQUENCES], S[r, c.CONTEXT] + S[r, c.SEQUENCES]
    searches, further, squares, again = S[r, c.SEARCHES], S[r, c.FURTHER], S[r, c.SQUARES], S[r, c.AGAIN]
    first = S[r, c.AT_PREFILLS]
    steps = next_end(r, S) - S[r, c.STEP] - 1 if sequences else J[S[r, first], c.OUTPUT]
    if S[r, c.EACH] > 1:
        steps, had, growth = drafts.after_joining(r, S, X, J, steps, free)
        if steps:
            set_verify_run(r, S, X, K, at, S[r, c.SEQUENCES] + S[r, c.PREFILLS], had, growth)
        return int(steps)
    for place in range(first, first + S[r, c.PREFILLS]):
        job = S[r, place]
        width = J[job, c.WIDTH]
        sequences += width
        context += width * (J[job, c.PROMPT] + J[job, c.GENERATED])
        if width > 1 and K[S[r, c.KIND], HAS_BEAMS]:
            searches += 1
            further += width - 1
            squares += width * width
            again += (width - 1) * J[job, c.PROMPT]
        steps = min(steps, J[job, c.OUTPUT] - J[job, c.GENERATED] - 1)
    if steps <= 0 or sequences * -(-steps // S[r, c.BLOCK]) > free:
        return 0
    set_run(r, S, X, K, at, sequences, context + sequences, (searches, further, squares, again))
    return int(steps)
