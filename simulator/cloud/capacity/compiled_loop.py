"""The LLM node's replicas step by step in compiled code, for loads of hundreds of thousands of requests.

What `replica.py` does with objects, here with arrays and for the plain case alone: requests are served in order of
arrival, without cached prefixes, on replicas that never fail (see `compiled.py`). Importing this module
loads the compiler. Tests hold it to the node.
"""

import math
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """The same function in machine code, kept on disk."""
    return cast(Function, njit(cache=True)(function))


# A replica is a row of integers and a row of times.
FREE, RUNNING, OUTSTANDING = 0, 1, 2  # KV blocks; sequences in the batch; requests that wait or run
HEAD, TAIL = 3, 4  # of its line of waiting requests: numbers, -1 for none
PARTIAL = 5  # the request whose prompt is cut by the token budget, -1 for none
STEP, DECODING, CONTEXT = 6, 7, 8  # steps taken; sequences that decode, and their tokens of KV cache
BATCH, PREFILLS = 9, 10  # how many requests decode, and have a chunk in the step at hand
NEXT = 11  # the step at which the next one has all its tokens
N_INTS = 12
END_S, BUSY_S = 0, 1  # when the step at hand ends (inf: idle); time spent in steps

# A request is a row of integers: what it asks, and how far it has come.
PROMPT, OUTPUT, SEQUENCES = 0, 1, 2
COMPUTED, PREFILL, GENERATED, BLOCKS, FINISH = 3, 4, 5, 6, 7
STARTED_S, FIRST_S, ENDED_S = 0, 1, 2


@compiled
def _blocks_at(prompt: int, sequences: int, tokens: int, block: int) -> int:
    """KV blocks at `tokens` of context a sequence: the prompt's full blocks once, the rest once a sequence."""
    shared = min(tokens, prompt) // block
    return shared + sequences * (-((shared * block - tokens) // block))


@compiled
def _prefill_blocks(job: Ints, computed: int, block: int) -> int:
    if computed < job[PREFILL]:
        return -(-computed // block)
    return _blocks_at(job[PROMPT], job[SEQUENCES], job[PROMPT] + job[GENERATED], block)


@compiled
def _release(replica: Ints, job: Ints) -> None:
    replica[FREE] += job[BLOCKS]
    replica[RUNNING] -= job[SEQUENCES]
    job[BLOCKS] = 0


@compiled
def _count(replica: Ints, phases: Ints, job: Ints, sign: int, block: int) -> None:
    """A request joins those that decode, or leaves them."""
    context = job[PROMPT] + job[GENERATED] - 1
    replica[DECODING] += sign * job[SEQUENCES]
    replica[CONTEXT] += sign * job[SEQUENCES] * context
    phases[(replica[STEP] - context) % block] += sign * job[SEQUENCES]


@compiled
def _leave(replica: Ints, phases: Ints, job: Ints, block: int) -> None:
    """A request decodes no more: it knows what it has generated and which blocks it holds."""
    job[GENERATED] = job[OUTPUT] - (job[FINISH] - replica[STEP])
    _count(replica, phases, job, -1, block)
    job[BLOCKS] = _blocks_at(job[PROMPT], job[SEQUENCES], job[PROMPT] + job[GENERATED] - 1, block)


@compiled
def _judge(number: int, job: Ints, told: Floats, arrival_s: float, judged: Floats, missed: Ints) -> None:
    """A request has ended: which objectives has it missed?"""
    more = job[OUTPUT] - 1
    for part in range(len(judged)):
        if judged[part, 0] == 0:
            value = told[number, ENDED_S] - arrival_s
        elif judged[part, 0] == 1:
            value = told[number, FIRST_S] - arrival_s
        else:
            value = (told[number, ENDED_S] - told[number, FIRST_S]) / more if more > 0 else 0.0
        if value > judged[part, 1]:
            missed[part] += 1


@compiled
def _complete(
    replica: Ints,
    times: Floats,
    phases: Ints,
    batch: Ints,
    prefills: Ints,
    jobs: Ints,
    told: Floats,
    block: int,
    arrival_s: Floats,
    judged: Floats,
    missed: Ints,
) -> None:
    """The step at hand ends."""
    end_s = times[END_S]
    replica[STEP] += 1
    replica[CONTEXT] += replica[DECODING]
    decoded, kept = replica[BATCH], 0
    if replica[NEXT] <= replica[STEP]:
        replica[NEXT] = 1 << 62
        for place in range(decoded):
            number = batch[place]
            if jobs[number, FINISH] <= replica[STEP]:
                _leave(replica, phases, jobs[number], block)
                _release(replica, jobs[number])
                told[number, ENDED_S] = end_s
                replica[OUTSTANDING] -= 1
                _judge(number, jobs[number], told, arrival_s[number], judged, missed)
            else:
                batch[kept] = number
                kept += 1
                replica[NEXT] = min(replica[NEXT], jobs[number, FINISH])
    else:
        kept = decoded
    for place in range(replica[PREFILLS]):
        number = prefills[place]
        job = jobs[number]
        if job[COMPUTED] < job[PREFILL]:
            replica[PARTIAL] = number
            continue
        if replica[PARTIAL] == number:
            replica[PARTIAL] = -1
        if math.isnan(told[number, FIRST_S]):
            told[number, FIRST_S] = end_s
        if job[GENERATED] + 1 >= job[OUTPUT]:
            _release(replica, job)
            told[number, ENDED_S] = end_s
            replica[OUTSTANDING] -= 1
            _judge(number, job, told, arrival_s[number], judged, missed)
            continue
        job[GENERATED] += 1
        job[FINISH] = replica[STEP] + job[OUTPUT] - job[GENERATED]
        _count(replica, phases, job, 1, block)
        replica[NEXT] = min(replica[NEXT], job[FINISH])
        batch[kept] = number
        kept += 1
    replica[BATCH], replica[PREFILLS] = kept, 0


@compiled
def _make_room(
    replica: Ints, phases: Ints, batch: Ints, jobs: Ints, following: Ints, max_tokens: int, block: int
) -> bool:
    """Preempt the last in order until the next step's blocks are there; True where any was."""
    preempted = False
    while replica[DECODING] or replica[PARTIAL] >= 0:
        opened = phases[replica[STEP] % block]
        needed = opened
        partial = replica[PARTIAL]
        if partial >= 0:
            job = jobs[partial]
            end = min(job[PREFILL], job[COMPUTED] + max_tokens - replica[DECODING])
            needed += _prefill_blocks(job, end, block) - job[BLOCKS]
        if needed <= replica[FREE]:
            replica[FREE] -= opened
            return preempted
        victim, at = partial, -1
        for place in range(replica[BATCH]):
            if batch[place] > victim:
                victim, at = batch[place], place
        if at >= 0:
            replica[BATCH] -= 1
            batch[at] = batch[replica[BATCH]]
            _leave(replica, phases, jobs[victim], block)
            replica[NEXT] = 1 << 62
            for place in range(replica[BATCH]):
                replica[NEXT] = min(replica[NEXT], jobs[batch[place], FINISH])
        else:
            replica[PARTIAL] = -1
        _release(replica, jobs[victim])
        jobs[victim, PREFILL] = jobs[victim, PROMPT] + jobs[victim, SEQUENCES] * jobs[victim, GENERATED]
        following[victim] = replica[HEAD]  # it came before all that wait
        replica[HEAD] = victim
        if replica[TAIL] < 0:
            replica[TAIL] = victim
        preempted = True
    return preempted


@compiled
def _begin(
    replica: Ints,
    times: Floats,
    phases: Ints,
    batch: Ints,
    prefills: Ints,
    jobs: Ints,
    told: Floats,
    following: Ints,
    engine: Ints,
    lines: Floats,
) -> None:
    """Compose the next step, and set when it ends."""
    max_tokens, max_sequences, block = engine[0], engine[1], engine[2]
    now = times[END_S]
    preempted = _make_room(replica, phases, batch, jobs, following, max_tokens, block)
    n, context = replica[DECODING], replica[CONTEXT] + replica[DECODING]
    budget, tokens, ends, pairs = max_tokens - n, 0, 0, context
    number = replica[PARTIAL]
    while True:
        if number < 0:
            number = replica[HEAD]
            if number < 0 or preempted or budget <= 0:
                break
            job = jobs[number]
            if replica[RUNNING] + job[SEQUENCES] > max_sequences:
                break
            if _prefill_blocks(job, job[PREFILL], block) > replica[FREE]:
                break
            replica[HEAD] = following[number]
            if replica[HEAD] < 0:
                replica[TAIL] = -1
            replica[RUNNING] += job[SEQUENCES]
            job[COMPUTED] = 0
            if math.isnan(told[number, STARTED_S]):
                told[number, STARTED_S] = now
        job = jobs[number]
        start = job[COMPUTED]
        end = min(job[PREFILL], start + budget)
        if end > start:
            total = _prefill_blocks(job, end, block)
            replica[FREE] -= total - job[BLOCKS]
            job[BLOCKS] = total
            job[COMPUTED] = end
            budget -= end - start
            tokens += end - start
            context += end
            pairs += (end * (end + 1) - start * (start + 1)) // 2
            ends += 1 if end == job[PREFILL] else 0
            prefills[replica[PREFILLS]] = number
            replica[PREFILLS] += 1
        number = -1
    if tokens == 0 and n == 0:
        times[END_S] = math.inf
        return
    new = n + tokens
    compute = lines[0] + lines[1] * new + lines[2] * (n + ends) + lines[3] * context + lines[4] * pairs
    memory = lines[5] + lines[6] * new + lines[7] * (n + ends) + lines[8] * context + lines[9] * pairs
    if lines[10] > 0:
        memory += lines[10] * (1.0 - (1.0 - lines[11]) ** new)
    seconds = max(compute, memory)
    if tokens > ends:
        seconds = max(seconds, lines[12])
    times[END_S] = now + seconds
    times[BUSY_S] += seconds


@compiled
def serve(
    arrival_s: Floats, jobs: Ints, assigned: Ints, speed: Floats, engine: Ints, lines: Floats, judged: Floats
) -> tuple[Floats, Floats]:
    """When each request [N] started, had its first token and ended, [N x 3], and busy seconds of each replica [R].

    `jobs` [N x 8] as above; `assigned` [N] is the replica that each goes to, or -1 for the one with the fewest requests
    that wait or run over its `speed` [R], the first of several. `engine` [R x 4]: token budget, limit of sequences,
    tokens of a block, blocks. `lines` [R x 13]: the step time, in the order of `_limits_and_step`. `judged` [K x 3]:
    objectives, each a measure (latency, TTFT, TPOT), the bound, and how many requests may miss it; once more have, it
    is given up.
    """
    n, replicas, max_sequences, block = len(arrival_s), len(speed), engine[:, 1].max(), engine[:, 2].max()
    told = np.full((n, 3), np.nan)
    following = np.full(n, -1, dtype=np.int64)
    state = np.zeros((replicas, N_INTS), dtype=np.int64)
    times = np.zeros((replicas, 2))
    phases = np.zeros((replicas, block), dtype=np.int64)
    batches = np.zeros((replicas, max_sequences + 1), dtype=np.int64)
    prefills = np.zeros((replicas, max_sequences + 1), dtype=np.int64)
    for r in range(replicas):
        state[r, FREE] = engine[r, 3]
        state[r, HEAD] = state[r, TAIL] = state[r, PARTIAL] = -1
        state[r, NEXT] = 1 << 62
        times[r, END_S] = math.inf
    missed, hopeless = np.zeros(len(judged), dtype=np.int64), False
    for number in range(n + 1):
        now = arrival_s[number] if number < n else math.inf
        best = 0
        for r in range(replicas):
            while times[r, END_S] < now:
                if state[r, BATCH] or state[r, PREFILLS]:
                    _complete(
                        state[r],
                        times[r],
                        phases[r],
                        batches[r],
                        prefills[r],
                        jobs,
                        told,
                        engine[r, 2],
                        arrival_s,
                        judged,
                        missed,
                    )
                _begin(
                    state[r], times[r], phases[r], batches[r], prefills[r], jobs, told, following, engine[r], lines[r]
                )
            if state[r, OUTSTANDING] / speed[r] < state[best, OUTSTANDING] / speed[best]:
                best = r
        for part in range(len(judged)):
            hopeless |= missed[part] > judged[part, 2]
        if number == n or hopeless:
            break
        r = best if assigned[number] < 0 else assigned[number]
        if state[r, TAIL] < 0:
            state[r, HEAD] = number
        else:
            following[state[r, TAIL]] = number
        state[r, TAIL] = number
        state[r, OUTSTANDING] += 1
        if times[r, END_S] == math.inf:
            times[r, END_S] = now
    return told, times[:, BUSY_S]
