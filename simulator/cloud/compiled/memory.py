"""KV-cache blocks of replicas, in compiled code: see kv_cache.py and kv_allocation.py.

With prefix caching, chains and segments are rows of one table `M`, whose row 0 says which rows are free. Chains of one
key at several replicas are a list that begins in the key's row; that of a preempted request is told by the request.
"""

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.decoding import blocks_at
from fleetrec.simulator.core.compiling import Ints, compiled, inlined

ROW = 8  # numbers of a row
_USED, _SPARE = 0, 1  # of row 0: rows that have been used; the first of those given back, each with the next
_FIRST = 0  # of a key: its first chain
_KEY, REPLICA, _RESIDENT, SAME, _HOLDERS, _FREE, _OWNER = 0, 1, 2, 3, 4, 5, 6  # of a chain
_CHAIN, _LOW, _HIGH, _BEFORE, _AFTER, _FREE_BEFORE, _FREE_AFTER = 0, 1, 2, 3, 4, 5, 6  # of a segment; chain 0: none


@compiled
def _new(M: Ints) -> int:
    row = M[0, _SPARE]
    if row:
        M[0, _SPARE] = M[row, 0]
    else:
        M[0, _USED] += 1
        row = M[0, _USED]
    for k in range(ROW):
        M[row, k] = 0
    return int(row)


@compiled
def _spare(M: Ints, row: int) -> None:
    M[row, 0] = M[0, _SPARE]
    M[0, _SPARE] = row


@compiled
def chain_at(r: int, M: Ints, key: int) -> int:
    """The chain of a key at a replica; 0 where there is none."""
    chain = M[key, _FIRST]
    while chain and M[chain, REPLICA] != r:
        chain = M[chain, SAME]
    return int(chain)


@compiled
def _append(r: int, S: Ints, M: Ints, chain: int, low: int, high: int) -> None:
    """Free blocks go to the end of the queue."""
    segment, last = _new(M), S[r, c.QUEUE_LAST]
    M[segment, _CHAIN], M[segment, _LOW], M[segment, _HIGH], M[segment, _BEFORE] = chain, low, high, last
    if last:
        M[last, _AFTER] = segment
    else:
        S[r, c.QUEUE] = segment
    S[r, c.QUEUE_LAST] = segment
    if chain:
        first = M[chain, _FREE]
        M[segment, _FREE_AFTER] = first
        if first:
            M[first, _FREE_BEFORE] = segment
        M[chain, _FREE] = segment


@compiled
def _remove(r: int, S: Ints, M: Ints, segment: int) -> None:
    """An empty segment leaves the queue, and its chain."""
    before, after, chain = M[segment, _BEFORE], M[segment, _AFTER], M[segment, _CHAIN]
    if before:
        M[before, _AFTER] = after
    else:
        S[r, c.QUEUE] = after
    if after:
        M[after, _BEFORE] = before
    else:
        S[r, c.QUEUE_LAST] = before
    if chain:
        before, after = M[segment, _FREE_BEFORE], M[segment, _FREE_AFTER]
        if before:
            M[before, _FREE_AFTER] = after
        else:
            M[chain, _FREE] = after
        if after:
            M[after, _FREE_BEFORE] = before
    _spare(M, segment)


@compiled
def _forget(M: Ints, J: Ints, chain: int) -> None:
    if M[chain, _RESIDENT] or M[chain, _HOLDERS]:
        return
    key = M[chain, _KEY]
    if not key:
        J[M[chain, _OWNER], c.OWN] = 0
    elif M[key, _FIRST] == chain:
        M[key, _FIRST] = M[chain, SAME]
    else:
        other = M[key, _FIRST]
        while M[other, SAME] != chain:
            other = M[other, SAME]
        M[other, SAME] = M[chain, SAME]
    _spare(M, chain)


@inlined
def take(r: int, S: Ints, J: Ints, M: Ints, blocks: int) -> None:
    """`KvCache.take`"""
    S[r, c.FREE] -= blocks
    if S[r, c.CACHING]:
        _take_cached(r, S, J, M, blocks)


@compiled
def _take_cached(r: int, S: Ints, J: Ints, M: Ints, blocks: int) -> None:
    while blocks:
        segment = S[r, c.QUEUE]
        chain = M[segment, _CHAIN]
        taken = min(blocks, M[segment, _HIGH] - M[segment, _LOW])
        blocks -= taken
        M[segment, _HIGH] -= taken
        high = M[segment, _HIGH]
        empty = high == M[segment, _LOW]
        if empty:
            _remove(r, S, M, segment)
        if chain:
            M[chain, _RESIDENT] = min(M[chain, _RESIDENT], high)
            if empty:
                _forget(M, J, chain)


@compiled
def first_row(r: int, S: Ints, M: Ints) -> None:
    """All blocks of a replica are free, and hold nothing of use."""
    S[r, c.QUEUE] = S[r, c.QUEUE_LAST] = 0
    _append(r, S, M, 0, 0, S[r, c.KV_BLOCKS])


@compiled
def _give(r: int, S: Ints, M: Ints, chain: int, low: int, high: int) -> None:
    S[r, c.FREE] += high - low
    if high > low:
        _append(r, S, M, chain, low, high)


@compiled
def _reuse(r: int, S: Ints, M: Ints, chain: int, blocks: int) -> None:
    """The first `blocks` of a chain are free no longer."""
    segment = M[chain, _FREE]
    while segment:
        following = M[segment, _FREE_AFTER]
        if M[segment, _LOW] < blocks:
            low = min(blocks, M[segment, _HIGH])
            S[r, c.FREE] -= low - M[segment, _LOW]
            M[segment, _LOW] = low
            if low == M[segment, _HIGH]:
                _remove(r, S, M, segment)
        segment = following


@compiled
def _most_held(M: Ints, J: Ints, chain: int) -> int:
    most, place = 0, M[chain, _HOLDERS]
    while place:
        most = max(most, J[place - 1, c.SHARED])
        place = J[place - 1, c.HOLDER_AFTER]
    return int(most)


@compiled
def _hold(r: int, S: Ints, J: Ints, M: Ints, job: int, chain: int, blocks: int) -> None:
    key = J[job, c.PREFIX]
    if not chain:
        chain = _new(M)
        M[chain, _KEY], M[chain, REPLICA], M[chain, SAME] = key, r, M[key, _FIRST]
        M[key, _FIRST] = chain
    first = M[chain, _HOLDERS]
    J[job, c.HOLDER_BEFORE], J[job, c.HOLDER_AFTER] = 0, first
    J[job, c.CHAIN], J[job, c.SHARED] = chain, blocks
    if first:
        J[first - 1, c.HOLDER_BEFORE] = job + 1
    M[chain, _HOLDERS] = job + 1
    if blocks:
        _reuse(r, S, M, chain, blocks)


@compiled
def _drop(r: int, S: Ints, J: Ints, M: Ints, job: int) -> None:
    chain, held = J[job, c.CHAIN], J[job, c.SHARED]
    before, after = J[job, c.HOLDER_BEFORE], J[job, c.HOLDER_AFTER]
    if before:
        J[before - 1, c.HOLDER_AFTER] = after
    else:
        M[chain, _HOLDERS] = after
    if after:
        J[after - 1, c.HOLDER_BEFORE] = before
    others = _most_held(M, J, chain)
    if held > others:
        _give(r, S, M, chain, others, held)
    elif not M[chain, _HOLDERS]:
        _forget(M, J, chain)


@compiled
def _claim(r: int, S: Ints, J: Ints, M: Ints, job: int, blocks: int) -> None:
    chain = J[job, c.OWN]
    if not chain:
        return
    _reuse(r, S, M, chain, blocks)
    segment = M[chain, _FREE]
    while segment:
        M[segment, _CHAIN] = 0
        segment = M[segment, _FREE_AFTER]
    J[job, c.OWN] = 0
    _spare(M, chain)


# What requests hold


@compiled
def _usable(tokens: int, prompt: int, prefill: int, resident: int, block: int) -> int:
    if not resident:
        return 0
    return int(min(tokens // block, prompt // block, (prefill - 1) // block, resident))


@compiled
def cached_tokens(r: int, S: Ints, J: Ints, M: Ints, chain: int, job: int) -> int:
    """`Replica.cached_tokens`, of a chain there."""
    prompt, block = J[job, c.PROMPT], S[r, c.BLOCK]
    return int(_usable(J[job, c.PREFIX_TOKENS], prompt, prompt, M[chain, _RESIDENT], block) * block)


@inlined
def prefill_blocks(r: int, S: Ints, J: Ints, job: int, computed: int) -> int:
    """`JobMemory.prefill_blocks`"""
    block = S[r, c.BLOCK]
    if computed < J[job, c.PREFILL]:
        return int(-(-computed // block))
    return blocks_at(J, job, J[job, c.PROMPT] + J[job, c.GENERATED], block)


@compiled
def _whole(r: int, S: Ints, J: Ints, job: int) -> int:
    drafts = S[r, c.EACH] - 1 if J[job, c.OUTPUT] > 1 else 0
    return blocks_at(J, job, J[job, c.PROMPT] + max(J[job, c.OUTPUT], 1) - 1 + drafts, S[r, c.BLOCK])


@inlined
def admit(r: int, S: Ints, J: Ints, M: Ints, job: int) -> bool:
    """`JobMemory.admit`"""
    whole = _whole(r, S, J, job) if S[r, c.RESERVE] else 0
    if S[r, c.RESERVED] + whole > S[r, c.KV_BLOCKS]:
        return False
    needed = blocks_at(J, job, J[job, c.PROMPT] + J[job, c.GENERATED], S[r, c.BLOCK])
    if S[r, c.CACHING]:
        fits = _admit_cached(r, S, J, M, job, needed)
    else:
        fits = needed <= S[r, c.FREE]
        if fits:
            J[job, c.BLOCKS] = J[job, c.COMPUTED] = 0
    if fits:
        S[r, c.RESERVED] += whole
    return fits


@compiled
def _admit_cached(r: int, S: Ints, J: Ints, M: Ints, job: int, needed: int) -> bool:
    block, prompt, key = S[r, c.BLOCK], J[job, c.PROMPT], J[job, c.PREFIX]
    shared = own = chain = 0
    if key:
        chain = chain_at(r, M, key)
        if chain:
            shared = _usable(J[job, c.PREFIX_TOKENS], prompt, J[job, c.PREFILL], M[chain, _RESIDENT], block)
    if J[job, c.TIMES] and not (key and shared < min(J[job, c.PREFIX_TOKENS], prompt) // block):
        resident = M[J[job, c.OWN], _RESIDENT] if J[job, c.OWN] else 0
        own = min((J[job, c.PREFILL] - 1) // block - shared, resident)
    needed -= shared
    if shared and needed <= S[r, c.FREE]:
        needed += max(shared - _most_held(M, J, chain), 0)
    if needed > S[r, c.FREE]:
        return False
    if key:
        _hold(r, S, J, M, job, chain, shared)
    if J[job, c.TIMES]:
        _claim(r, S, J, M, job, own)
    elif shared:
        J[job, c.CACHED] = shared * block
    J[job, c.BLOCKS], J[job, c.COMPUTED] = own, (shared + own) * block
    return True


@inlined
def hold_chunk(r: int, S: Ints, J: Ints, M: Ints, job: int, end: int) -> None:
    """`JobMemory.hold_chunk`"""
    total = prefill_blocks(r, S, J, job, end)
    take(r, S, J, M, total - J[job, c.BLOCKS] - J[job, c.SHARED])
    if S[r, c.CACHING] and J[job, c.PREFIX]:
        shared = min(J[job, c.PREFIX_TOKENS], J[job, c.PROMPT], end) // S[r, c.BLOCK]
        if shared > J[job, c.SHARED]:
            chain = J[job, c.CHAIN]
            if M[chain, _RESIDENT] == J[job, c.SHARED]:
                M[chain, _RESIDENT] = J[job, c.SHARED] = shared
    J[job, c.BLOCKS], J[job, c.COMPUTED] = total - J[job, c.SHARED], end


@inlined
def release(r: int, S: Ints, J: Ints, M: Ints, job: int, resumes_from: int) -> None:
    """`Batching._release`"""
    S[r, c.RUNNING] -= J[job, c.WIDTH]
    if S[r, c.RESERVE]:
        S[r, c.RESERVED] -= _whole(r, S, J, job)
    if S[r, c.CACHING]:
        _release_cached(r, S, J, M, job, resumes_from)
    else:
        S[r, c.FREE] += J[job, c.BLOCKS]
    J[job, c.BLOCKS] = J[job, c.SHARED] = 0


@compiled
def _release_cached(r: int, S: Ints, J: Ints, M: Ints, job: int, resumes_from: int) -> None:
    key, block, shared = J[job, c.PREFIX], S[r, c.BLOCK], J[job, c.SHARED]
    full = copies = 0
    if resumes_from:
        full = resumes_from // block - shared if J[job, c.WIDTH] == 1 else 0
        prefix = min(J[job, c.PREFIX_TOKENS], J[job, c.PROMPT]) // block if key else 0
        copies = min(max(prefix - shared, 0), full)
    _give(r, S, M, 0, 0, J[job, c.BLOCKS] - full)
    if full > copies:
        chain = _new(M)
        M[chain, _RESIDENT], M[chain, _OWNER] = full - copies, job
        J[job, c.OWN] = chain
        _give(r, S, M, chain, 0, full - copies)
    _give(r, S, M, 0, 0, copies)
    if key:
        _drop(r, S, J, M, job)
