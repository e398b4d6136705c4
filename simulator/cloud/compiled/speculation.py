"""The sequences of a replica that decode where steps verify drafts, in compiled code: see replica/speculation.py.

Blocks that steps open are counted round a ring, by the number of the step.
"""

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.core.compiling import Floats, Ints, compiled


@compiled
def _held(context: int, tokens: int, steps: int, done: int, each: int) -> int:
    """Tokens of a sequence that have a place in memory after the first `done` of its steps."""
    return context + (done - 1) * tokens // steps + each if done else context


@compiled
def _open(r: int, S: Ints, joined: int, context: int, tokens: int, steps: int, done: int, sign: int) -> None:
    """`Speculating._open`"""
    block, each, ring, at = S[r, c.BLOCK], S[r, c.EACH], S[r, c.RING], S[r, c.AT_OPENED]
    before = block * -(-_held(context, tokens, steps, done, each) // block) - context - each
    while before < done * tokens // steps:
        S[r, at + (joined + done) % ring] += sign
        before += block
    come, last = before + 1, (steps - 1) * tokens // steps
    while come <= last:
        S[r, at + (joined - (-come * steps // tokens)) % ring] += sign
        come += block


@compiled
def join(r: int, S: Ints, X: Floats, J: Ints, job: int, generated: int) -> int:
    """`Speculating.join`; how many steps it takes."""
    tokens, context, steps = J[job, c.OUTPUT] - generated, J[job, c.PROMPT] + generated - 1, J[job, c.DECODE_STEPS]
    if generated > 1:  # it was preempted: the rest takes its part of the steps
        steps = -(-tokens * steps // (J[job, c.OUTPUT] - 1))
    J[job, c.GENERATED], J[job, c.JOINED] = generated, S[r, c.STEP]
    S[r, c.SEQUENCES] += 1
    X[r, c.HAD] += context
    X[r, c.GROWTH] += tokens / steps
    _open(r, S, S[r, c.STEP], context, tokens, steps, 0, 1)
    return int(steps)


@compiled
def leave(r: int, S: Ints, X: Floats, J: Ints, job: int) -> int:
    """`Speculating.leave`; the tokens that have a place in memory."""
    joined, tokens = J[job, c.JOINED], J[job, c.OUTPUT] - J[job, c.GENERATED]
    done, steps = S[r, c.STEP] - joined, J[job, c.FINISH] - joined
    context = J[job, c.PROMPT] + J[job, c.GENERATED] - 1
    if done < steps:
        _open(r, S, joined, context, tokens, steps, done, -1)
    S[r, c.SEQUENCES] -= 1
    X[r, c.HAD] -= context + done * (tokens / steps)
    X[r, c.GROWTH] -= tokens / steps
    if not S[r, c.SEQUENCES]:
        X[r, c.HAD] = X[r, c.GROWTH] = 0.0
    J[job, c.GENERATED] += done * tokens // steps
    return _held(context, tokens, steps, done, S[r, c.EACH])


@compiled
def advance(r: int, S: Ints, X: Floats, steps: int) -> None:
    """`Speculating.advance`, before the step's number is."""
    for step in range(S[r, c.STEP], S[r, c.STEP] + steps):
        S[r, S[r, c.AT_OPENED] + step % S[r, c.RING]] = 0
    X[r, c.HAD] += X[r, c.GROWTH] * steps


@compiled
def opened(r: int, S: Ints, first: int, end: int) -> int:
    """Blocks that those steps open, counted from the next one."""
    blocks = 0
    for step in range(S[r, c.STEP] + first, S[r, c.STEP] + end):
        blocks += S[r, S[r, c.AT_OPENED] + step % S[r, c.RING]]
    return int(blocks)


@compiled
def after_joining(r: int, S: Ints, X: Floats, J: Ints, steps: int, free: int) -> tuple[int, float, float]:
    """`Speculating.run_after_joining` of those with a chunk in the step at hand, where it is so many steps until one of
    the others has all its tokens: the steps of the run, 0 for None, the tokens of KV cache, and their growth."""
    had, growth, first = X[r, c.HAD] + X[r, c.GROWTH], X[r, c.GROWTH], S[r, c.AT_PREFILLS]
    for place in range(first, first + S[r, c.PREFILLS]):
        job = S[r, place]
        tokens = J[job, c.OUTPUT] - J[job, c.GENERATED] - 1
        if tokens <= 0:
            return 0, had, growth
        its = -(-tokens * J[job, c.DECODE_STEPS] // (J[job, c.OUTPUT] - 1))
        had = had + J[job, c.PROMPT] + J[job, c.GENERATED]
        growth += tokens / its
        steps = min(steps, its)
    if steps <= 0 or (S[r, c.SEQUENCES] + S[r, c.PREFILLS]) * -(-steps * S[r, c.EACH] // S[r, c.BLOCK]) > free:
        return 0, had, growth
    return steps, had, growth


@compiled
def steps_within(r: int, S: Ints, steps: int, free: int) -> int:
    """`Speculating.steps_within`, of at most so many steps."""
    free -= opened(r, S, 1, steps)
    while free < 0:
        steps -= 1
        free += opened(r, S, steps, steps + 1)
    return steps
