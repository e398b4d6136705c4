"""The LLM node's replicas step by step in compiled code, for loads of hundreds of thousands of requests.

What `replica.py` does with objects, here with arrays, for requests that are served in order of arrival, without cached
prefixes, on replicas that never fail (see `compiled_replay.py`). Importing this module loads the compiler. Tests hold
it to the node.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.compiled_step import (
    ROW,
    beams_s,
    by_tokens_s,
    compiled,
    inlined,
    step_row,
    step_s,
)

__all__ = ["serve", "step_row"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A replica is a row of integers, a row of times and a row of numbers (`rows`) that tell how long its steps take. All
# are indexed in place: a view of a row takes as long as a step.
TOKENS, MOST, BLOCK, KV_BLOCKS, WINDOW = 0, 1, 2, 3, 4  # its engine's limits, and the tokens that a window holds
DRAFTS, OWN_S = 5, 6  # that a step verifies of each sequence; whether they are made by a model, which takes time
SEPARATE, RESERVE = 7, 8  # whether prompts go first and alone; whether memory for whole answers is reserved
N_ENGINE = 9
FREE, RUNNING, OUTSTANDING = 9, 10, 11  # KV blocks; sequences in the batch; requests that wait or run
FIRST, LAST = 12, 13  # of its line of waiting requests: numbers, -1 for none
PARTIAL = 14  # the request whose prompt is cut by the token budget, -1 for none
STEP, DECODING = 15, 16  # steps taken; sequences that decode
BATCH, PREFILLS = 17, 18  # how many requests decode, and have a chunk in the step at hand
NEXT = 19  # the step at which the next one has all its tokens
SEARCHES, FURTHER, SQUARES, AGAIN = 20, 21, 22, 23  # of those that decode several sequences, as in `Beams`
CHUNKS, ENDS, READ, PAIRS = 24, 25, 26, 27  # of prompts in the step at hand: tokens, prompts that end, see `Chunks`
PAUSED, RESERVED = 28, 29  # whether those that decode wait for the step at hand; blocks of the batch's whole answers
N_INTS = 30
END_S, BUSY_S = 0, 1  # when the step at hand ends (inf: idle); time spent in steps
CONTEXT, GROWTH = 2, 3  # tokens of KV cache of those that decode, and how many more each step
DRAFT, LOOKUP_S, SHARE = ROW, 2 * ROW, 2 * ROW + 1  # of `rows`, behind the step: the draft model's, and see `serve`

# A request is a row of integers: what it asks, and how far it has come.
PROMPT, OUTPUT, SEQUENCES, STEPS = 0, 1, 2, 3  # STEPS: that its tokens after the first take
COMPUTED, PREFILL, GENERATED, BLOCKS, JOINED, FINISH, WINDOWED = 4, 5, 6, 7, 8, 9, 10
STARTED_S, FIRST_S, ENDED_S = 0, 1, 2
NEVER = 1 << 62


@inlined
def _blocks_at(jobs: Ints, number: int, tokens: int, block: int) -> int:
    """KV blocks at `tokens` of context a sequence: the prompt's full blocks once, the rest once a sequence."""
    shared = min(tokens, jobs[number, PROMPT]) // block
    return int(jobs[number, WINDOWED] + shared - jobs[number, SEQUENCES] * ((shared * block - tokens) // block))


@inlined
def _prefill_blocks(jobs: Ints, number: int, computed: int, block: int) -> int:
    if computed < jobs[number, PREFILL]:
        return -(-computed // block)
    return _blocks_at(jobs, number, jobs[number, PROMPT] + jobs[number, GENERATED], block)


@compiled
def _window_blocks(jobs: Ints, number: int, block: int, tokens: int, share: float) -> int:
    """See `Engine.window_blocks`."""
    window, output = -(-tokens // block) + 1, jobs[number, OUTPUT]
    first = min(window, -(-(jobs[number, PROMPT] + output) // block))
    further = min(window, -(-output // block) + 1)
    return int(np.ceil(share * (first + (jobs[number, SEQUENCES] - 1) * further)))


@compiled
def _whole(r: int, replica: Ints, jobs: Ints, number: int) -> int:
    """Blocks that a request comes to hold at most."""
    output = jobs[number, OUTPUT]
    tokens = jobs[number, PROMPT] + max(output, 1) - 1 + (replica[r, DRAFTS] if output > 1 else 0)
    return _blocks_at(jobs, number, tokens, replica[r, BLOCK])


@inlined
def _release(r: int, replica: Ints, jobs: Ints, number: int) -> None:
    replica[r, RESERVED] -= _whole(r, replica, jobs, number) if replica[r, RESERVE] else 0
    replica[r, FREE] += jobs[number, BLOCKS]
    replica[r, RUNNING] -= jobs[number, SEQUENCES]
    jobs[number, BLOCKS] = 0


@compiled
def _held(context: int, tokens: int, steps: int, done: int, drafts: int) -> int:
    """Tokens of each sequence that have a place in memory after the first `done` of the steps of a request."""
    return context + (done - 1) * tokens // steps + drafts + 1 if done else context


@inlined
def _count(
    r: int, replica: Ints, times: Floats, opening: Ints, jobs: Ints, number: int, done: int, steps: int, sign: int
) -> None:
    """A request joins those that decode, or leaves them after `done` of its `steps`. `opening`: blocks that steps open,
    by their number round a ring; without drafts as long as a block (see `Decoding`), with them as the longest request
    (see `Speculating`)."""
    block, drafts, width = replica[r, BLOCK], replica[r, DRAFTS], jobs[number, SEQUENCES]
    context, tokens = jobs[number, PROMPT] + jobs[number, GENERATED] - 1, jobs[number, OUTPUT] - jobs[number, GENERATED]
    replica[r, DECODING] += sign * width
    times[r, CONTEXT] += sign * width * (context + done * (tokens / steps))
    times[r, GROWTH] += sign * width * (tokens / steps)
    if width > 1:
        replica[r, SEARCHES] += sign
        replica[r, FURTHER] += sign * (width - 1)
        replica[r, SQUARES] += sign * width * width
        replica[r, AGAIN] += sign * (width - 1) * jobs[number, PROMPT]
    if drafts == 0:
        opening[r, (replica[r, STEP] - context - done) % block] += sign * width
    if drafts == 0 or done == steps:
        return
    ring, joined = opening.shape[1], jobs[number, JOINED]
    before = block * (-(-_held(context, tokens, steps, done, drafts) // block)) - context - drafts - 1
    while before < done * tokens // steps:
        opening[r, (joined + done) % ring] += sign
        before += block
    come, last = before + 1, (steps - 1) * tokens // steps
    while come <= last:
        opening[r, (joined - (-come * steps // tokens)) % ring] += sign
        come += block


@inlined
def _join(r: int, replica: Ints, times: Floats, opening: Ints, jobs: Ints, number: int) -> None:
    """A request decodes from the next step on."""
    tokens = jobs[number, OUTPUT] - jobs[number, GENERATED]
    steps = -(-tokens * jobs[number, STEPS] // (jobs[number, OUTPUT] - 1))  # one that was preempted takes its part
    jobs[number, JOINED], jobs[number, FINISH] = replica[r, STEP], replica[r, STEP] + steps
    replica[r, NEXT] = min(replica[r, NEXT], jobs[number, FINISH])
    _count(r, replica, times, opening, jobs, number, 0, steps, 1)


@compiled
def _leave(r: int, replica: Ints, times: Floats, opening: Ints, jobs: Ints, number: int) -> None:
    """A request decodes no more: it knows what it has generated and which blocks it holds."""
    context, tokens = jobs[number, PROMPT] + jobs[number, GENERATED] - 1, jobs[number, OUTPUT] - jobs[number, GENERATED]
    done, steps = replica[r, STEP] - jobs[number, JOINED], jobs[number, FINISH] - jobs[number, JOINED]
    _count(r, replica, times, opening, jobs, number, done, steps, -1)
    held = _held(context, tokens, steps, done, replica[r, DRAFTS])
    jobs[number, BLOCKS] = _blocks_at(jobs, number, held, replica[r, BLOCK])
    jobs[number, GENERATED] += done * tokens // steps
    if replica[r, DECODING] == 0:
        times[r, CONTEXT] = times[r, GROWTH] = 0.0


@inlined
def _judge(number: int, jobs: Ints, told: Floats, arrival_s: Floats, judged: Floats, missed: Ints) -> None:
    """A request has ended: which objectives has it missed?"""
    more, arrived_s = jobs[number, OUTPUT] - 1, arrival_s[number]
    for part in range(len(judged)):
        if judged[part, 0] == 0:
            value = told[number, ENDED_S] - arrived_s
        elif judged[part, 0] == 1:
            value = told[number, FIRST_S] - arrived_s
        else:
            value = (told[number, ENDED_S] - told[number, FIRST_S]) / more if more > 0 else 0.0
        if value > judged[part, 1]:
            missed[part] += 1


@inlined
def _complete(
    r: int,
    replica: Ints,
    times: Floats,
    opening: Ints,
    batch: Ints,
    prefills: Ints,
    jobs: Ints,
    told: Floats,
    arrival_s: Floats,
    judged: Floats,
    missed: Ints,
) -> None:
    """The step at hand ends."""
    end_s = times[r, END_S]
    if not replica[r, PAUSED]:
        if replica[r, DRAFTS]:
            opening[r, replica[r, STEP] % opening.shape[1]] = 0
        replica[r, STEP] += 1
        times[r, CONTEXT] += times[r, GROWTH]
    decoded, kept = replica[r, BATCH], 0
    if replica[r, NEXT] <= replica[r, STEP]:
        replica[r, NEXT] = NEVER
        for place in range(decoded):
            number = batch[r, place]
            if jobs[number, FINISH] <= replica[r, STEP]:
                _leave(r, replica, times, opening, jobs, number)
                _release(r, replica, jobs, number)
                told[number, ENDED_S] = end_s
                replica[r, OUTSTANDING] -= 1
                _judge(number, jobs, told, arrival_s, judged, missed)
            else:
                batch[r, kept] = number
                kept += 1
                replica[r, NEXT] = min(replica[r, NEXT], jobs[number, FINISH])
    else:
        kept = decoded
    for place in range(replica[r, PREFILLS]):
        number = prefills[r, place]
        if jobs[number, COMPUTED] < jobs[number, PREFILL]:
            replica[r, PARTIAL] = number
            continue
        if replica[r, PARTIAL] == number:
            replica[r, PARTIAL] = -1
        if math.isnan(told[number, FIRST_S]):
            told[number, FIRST_S] = end_s
        if jobs[number, GENERATED] + 1 >= jobs[number, OUTPUT]:
            _release(r, replica, jobs, number)
            told[number, ENDED_S] = end_s
            replica[r, OUTSTANDING] -= 1
            _judge(number, jobs, told, arrival_s, judged, missed)
            continue
        jobs[number, GENERATED] += 1
        _join(r, replica, times, opening, jobs, number)
        batch[r, kept] = number
        kept += 1
    replica[r, BATCH], replica[r, PREFILLS] = kept, 0


@inlined
def _make_room(r: int, replica: Ints, times: Floats, opening: Ints, batch: Ints, jobs: Ints, following: Ints) -> bool:
    """Preempt the last in order until the next step's blocks are there; True where any was."""
    preempted, block, drafts = False, replica[r, BLOCK], replica[r, DRAFTS]
    while replica[r, DECODING] or replica[r, PARTIAL] >= 0:
        opened = opening[r, replica[r, STEP] % (opening.shape[1] if drafts else block)]
        needed = opened
        partial = replica[r, PARTIAL]
        if partial >= 0:
            budget = replica[r, TOKENS] - replica[r, DECODING] * (drafts + 1)
            end = min(jobs[partial, PREFILL], jobs[partial, COMPUTED] + budget)
            needed += _prefill_blocks(jobs, partial, end, block) - jobs[partial, BLOCKS]
        if needed <= replica[r, FREE]:
            replica[r, FREE] -= opened
            return preempted
        victim, at = partial, -1
        for place in range(replica[r, BATCH]):
            if batch[r, place] > victim:
                victim, at = batch[r, place], place
        if at >= 0:
            replica[r, BATCH] -= 1
            batch[r, at] = batch[r, replica[r, BATCH]]
            _leave(r, replica, times, opening, jobs, victim)
            replica[r, NEXT] = NEVER
            for place in range(replica[r, BATCH]):
                replica[r, NEXT] = min(replica[r, NEXT], jobs[batch[r, place], FINISH])
        else:
            replica[r, PARTIAL] = -1
        _release(r, replica, jobs, victim)
        jobs[victim, PREFILL] = jobs[victim, PROMPT] + jobs[victim, SEQUENCES] * jobs[victim, GENERATED]
        following[victim] = replica[r, FIRST]  # it came before all that wait
        replica[r, FIRST] = victim
        if replica[r, LAST] < 0:
            replica[r, LAST] = victim
        preempted = True
    return preempted


@inlined
def _seconds(r: int, replica: Ints, times: Floats, known: Floats, rows: Floats) -> float:
    """Of the step at hand. `known` [R, 2, sequences]: what the LLM's and the draft model's kernels take in a step
    without prompts."""
    n, drafts, had, tokens = replica[r, DECODING], replica[r, DRAFTS], times[r, CONTEXT], replica[r, CHUNKS]
    paused = replica[r, PAUSED]
    if paused:
        n, had = 0, 0.0
    ends, read, pairs = replica[r, ENDS], replica[r, READ], replica[r, PAIRS]
    each = drafts + 1
    decoded = n * each
    new, sequences = decoded + tokens, decoded + ends
    by_tokens = known[r, 0, n]
    if tokens or by_tokens < 0:
        by_tokens = by_tokens_s(rows, r, 0, new, sequences)
        if tokens == 0:
            known[r, 0, n] = by_tokens
    host = gpu = 0.0
    if replica[r, SEARCHES] and not paused:
        host, gpu = beams_s(rows, r, replica[r, SEARCHES], replica[r, FURTHER], replica[r, SQUARES], replica[r, AGAIN])
    own_pairs = each * had + decoded * ((each + 1) / 2)
    context = had + decoded + read
    seconds = step_s(rows, r, 0, new, sequences, n * drafts, context, own_pairs + pairs, by_tokens, host, gpu)
    seconds += rows[r, LOOKUP_S] * n
    if not replica[r, OWN_S]:
        return float(seconds)
    middle = had + n * (each / 2)  # the mean context of its drafts
    later = drafts
    if tokens:
        later -= 1  # the first draft reads the prompts too
        new, sequences = n + tokens, n + ends
        by_tokens = by_tokens_s(rows, r, DRAFT, new, sequences)
        seconds += step_s(rows, r, DRAFT, new, sequences, 0, middle + read, middle + pairs, by_tokens, 0.0, 0.0)
    if n and later:
        if known[r, 1, n] < 0:
            known[r, 1, n] = by_tokens_s(rows, r, DRAFT, n, n)
        seconds += later * step_s(rows, r, DRAFT, n, n, 0, middle, middle, known[r, 1, n], 0.0, 0.0)
    return float(seconds)


@inlined
def _begin(
    r: int,
    replica: Ints,
    times: Floats,
    known: Floats,
    opening: Ints,
    batch: Ints,
    prefills: Ints,
    jobs: Ints,
    told: Floats,
    following: Ints,
    rows: Floats,
) -> None:
    """Compose the next step, and set when it ends."""
    block, now, separate, preempted = replica[r, BLOCK], times[r, END_S], replica[r, SEPARATE], False
    budget = replica[r, TOKENS]
    if not separate:
        preempted = _make_room(r, replica, times, opening, batch, jobs, following)
        budget -= replica[r, DECODING] * (replica[r, DRAFTS] + 1)
    replica[r, CHUNKS] = replica[r, ENDS] = replica[r, READ] = replica[r, PAIRS] = 0
    number = replica[r, PARTIAL]
    while True:
        if number < 0:
            number = replica[r, FIRST]
            if number < 0 or preempted or budget <= 0:
                break
            if replica[r, RUNNING] + jobs[number, SEQUENCES] > replica[r, MOST]:
                break
            whole = _whole(r, replica, jobs, number) if replica[r, RESERVE] else 0
            if replica[r, RESERVED] + whole > replica[r, KV_BLOCKS]:
                break
            if _prefill_blocks(jobs, number, jobs[number, PREFILL], block) > replica[r, FREE]:
                break
            replica[r, RESERVED] += whole
            replica[r, FIRST] = following[number]
            if replica[r, FIRST] < 0:
                replica[r, LAST] = -1
            replica[r, RUNNING] += jobs[number, SEQUENCES]
            jobs[number, COMPUTED] = 0
            if math.isnan(told[number, STARTED_S]):
                told[number, STARTED_S] = now
        start = jobs[number, COMPUTED]
        end = min(jobs[number, PREFILL], start + budget)
        if end > start:
            total = _prefill_blocks(jobs, number, end, block)
            replica[r, FREE] -= total - jobs[number, BLOCKS]
            jobs[number, BLOCKS], jobs[number, COMPUTED] = total, end
            budget -= end - start
            replica[r, CHUNKS] += end - start
            replica[r, ENDS] += 1 if end == jobs[number, PREFILL] else 0
            replica[r, READ] += end
            replica[r, PAIRS] += (end * (end + 1) - start * (start + 1)) // 2
            prefills[r, replica[r, PREFILLS]] = number
            replica[r, PREFILLS] += 1
        number = -1
    if separate:
        replica[r, PAUSED] = replica[r, CHUNKS] > 0
        if not replica[r, PAUSED]:
            _make_room(r, replica, times, opening, batch, jobs, following)
    if replica[r, CHUNKS] == 0 and replica[r, DECODING] == 0:
        times[r, END_S] = math.inf
        return
    seconds = _seconds(r, replica, times, known, rows)
    times[r, END_S] = now + seconds
    times[r, BUSY_S] += seconds


@compiled
def serve(
    arrival_s: Floats, jobs: Ints, assigned: Ints, speed: Floats, engines: Ints, rows: Floats, judged: Floats
) -> tuple[Floats, Floats]:
    """When each request [N] started, had its first token and ended, [N x 3], and busy seconds of each replica [R].

    `jobs` [N x 11] as above; `assigned` [N] is the replica that each goes to, or -1 for the one with the fewest
    requests that wait or run over its `speed` [R], the first of several. `engines` [R x 9]: the first integers of each
    replica. `rows` [R x (2 ROW + 2)]: the time of its steps and of the draft model's, the host time of drafts for each
    sequence, and the share of a block that a block takes in the layers with a window. `judged` [K x 3]: objectives,
    each a measure (latency, TTFT, TPOT), the bound, and how many requests may miss it; once more have, it is given up.
    """
    n, replicas, most = len(arrival_s), len(speed), engines[:, MOST].max()
    told = np.full((n, 3), np.nan)
    following = np.full(n, -1, dtype=np.int64)
    replica = np.zeros((replicas, N_INTS), dtype=np.int64)
    times = np.zeros((replicas, 4))
    ring = engines[:, BLOCK].max()
    if engines[:, DRAFTS].max() > 0 and n > 0:
        ring = max(ring, jobs[:, STEPS].max() + 2)
    opening = np.zeros((replicas, ring), dtype=np.int64)
    batch = np.zeros((replicas, most + 1), dtype=np.int64)
    prefills = np.zeros((replicas, most + 1), dtype=np.int64)
    known = np.full((replicas, 2, most + 1), -1.0)
    replica[:, :N_ENGINE] = engines
    replica[:, FREE] = engines[:, KV_BLOCKS]
    replica[:, FIRST] = replica[:, LAST] = replica[:, PARTIAL] = -1
    replica[:, NEXT] = NEVER
    times[:, END_S] = math.inf
    missed, hopeless = np.zeros(len(judged), dtype=np.int64), False
    for number in range(n + 1):
        now = arrival_s[number] if number < n else math.inf
        best, fewest = 0, math.inf
        for r in range(replicas):
            while times[r, END_S] < now:
                if replica[r, BATCH] or replica[r, PREFILLS]:
                    _complete(r, replica, times, opening, batch, prefills, jobs, told, arrival_s, judged, missed)
                _begin(r, replica, times, known, opening, batch, prefills, jobs, told, following, rows)
            load = replica[r, OUTSTANDING] / speed[r]
            if load < fewest:
                best, fewest = r, load
        for part in range(len(judged)):
            hopeless |= missed[part] > judged[part, 2]
        if number == n or hopeless:
            break
        r = best if assigned[number] < 0 else assigned[number]
        if rows[r, SHARE] > 0:
            block, window = replica[r, BLOCK], replica[r, WINDOW]
            jobs[number, WINDOWED] = _window_blocks(jobs, number, block, window, rows[r, SHARE])
        if replica[r, LAST] < 0:
            replica[r, FIRST] = number
        else:
            following[replica[r, LAST]] = number
        replica[r, LAST] = number
        replica[r, OUTSTANDING] += 1
        if times[r, END_S] == math.inf:
            times[r, END_S] = now
    return told, times[:, BUSY_S]


def prepare() -> None:
    """Has it compiled, or loaded."""
    jobs, engines, rows = np.zeros((0, 11), dtype=np.int64), np.ones((1, 9), dtype=np.int64), np.zeros((1, 1))
    serve(np.zeros(0), jobs, np.zeros(0, dtype=np.int64), np.ones(1), engines, rows, np.zeros((0, 3)))
