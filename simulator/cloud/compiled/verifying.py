"""How long steps take that verify drafts, and the drafts before them, in compiled code: see verify_time.py."""

import math

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.timing import (
    COMPUTE,
    DRAFTED,
    FLOOR_S,
    HAS_WINDOWS,
    LOOKUP_S,
    MEMORY,
    PART,
    RUN_NUMBERS,
    WINDOWS,
    lines_s,
    set_lines,
)
from fleetrec.simulator.core.compiling import Floats, Ints, compiled


@compiled
def _lines(
    K: Floats, k: int, new: float, had: float, pairs: float, sequences: float, each: float, times: float, more_s: float
) -> tuple[float, float, float, float]:
    """`_lines_of`: seconds on the two lines without any context, and the tokens of it at which each of the two bends;
    inf: it does not."""
    compute_s, memory_s = lines_s(K, k, new, new, had, pairs, sequences)
    compute_s, memory_s = times * compute_s + more_s, times * memory_s + more_s
    if not K[k, HAS_WINDOWS]:
        return compute_s, memory_s, math.inf, math.inf
    window = K[k, WINDOWS]
    reads, seen = sequences * window + new - sequences - had, (new * window - pairs) / each
    return compute_s, memory_s, max(seen, 0.0), max(reads, 0.0)


@compiled
def _lines_at(
    K: Floats, k: int, lines: tuple[float, float, float, float], each: float, times: float, had: float
) -> tuple[float, float, float, float]:
    """`_Lines.at`"""
    compute_s, memory_s, pairs_bend, reads_bend = lines
    compute_token_s = times * (K[k, COMPUTE + 3] + each * K[k, COMPUTE + 4])
    memory_token_s = times * (K[k, MEMORY + 3] + each * K[k, MEMORY + 4])
    compute_s, memory_s = compute_s + compute_token_s * had, memory_s + memory_token_s * had
    if K[k, HAS_WINDOWS]:
        by_reads_s, by_pairs_s = times * K[k, WINDOWS + 1], times * each * K[k, WINDOWS + 2]
        compute_s, memory_s = (
            compute_s + by_pairs_s * min(had, pairs_bend),
            memory_s + by_reads_s * min(had, reads_bend),
        )
        compute_token_s += by_pairs_s if had <= pairs_bend else 0.0
        memory_token_s += by_reads_s if had <= reads_bend else 0.0
    return compute_s, compute_token_s, memory_s, memory_token_s


@compiled
def _set_run(
    r: int,
    X: Floats,
    K: Floats,
    k: int,
    at: int,
    lines: tuple[float, float, float, float],
    each: float,
    times: float,
    had: float,
    growth: float,
) -> None:
    """`_Lines.run`"""
    while True:
        compute_s, compute_token_s, memory_s, memory_token_s = _lines_at(K, k, lines, each, times, had)
        set_lines(X, r, at, compute_s, compute_token_s * growth, memory_s, memory_token_s * growth)
        X[r, at + 5] = 0.0
        bend = math.inf
        for one in lines[2:]:
            if had <= one < bend:
                bend = one
        if bend == math.inf:
            return
        steps = np.floor((bend - had) / growth) + 1.0
        X[r, at + 5] = steps
        had = had + steps * growth
        at += PART


@compiled
def _of_draft(K: Floats, k: int, sequences: float, drafts: float) -> tuple[float, float, float, float]:
    middle = sequences * (drafts + 1.0) / 2.0
    return _lines(K, k, sequences, middle, middle, sequences, 1.0, drafts, 0.0)


@compiled
def set_verify_run(r: int, S: Ints, X: Floats, K: Floats, at: int, sequences: int, had: float, growth: float) -> None:
    """`VerifyTime.run`, written to column `at` of the replica's times."""
    k, draft, each, n = S[r, c.KIND], S[r, c.DRAFT], float(S[r, c.EACH]), float(sequences)
    new = n * each
    verify = _lines(K, k, new, new, new * (each + 1.0) / 2.0, n, each, 1.0, K[k, LOOKUP_S] * n)
    drafted = at + RUN_NUMBERS - 1
    X[r, drafted] = 0.0
    if draft == NOBODY:
        _set_run(r, X, K, k, at, verify, each, 1.0, had, growth)
        return
    drafts = each - 1.0
    lines = _of_draft(K, draft, n, drafts)
    if not K[k, HAS_WINDOWS] and not K[draft, HAS_WINDOWS]:
        compute_s, compute_token_s, memory_s, memory_token_s = _lines_at(K, k, verify, each, 1.0, had)
        d_compute_s, d_compute_token_s, d_memory_s, d_memory_token_s = _lines_at(K, draft, lines, 1.0, drafts, had)
        by_memory = memory_s >= compute_s and memory_token_s >= compute_token_s
        if by_memory and d_memory_s >= d_compute_s and d_memory_token_s >= d_compute_token_s:
            X[r, at], X[r, at + 1] = memory_s + d_memory_s, (memory_token_s + d_memory_token_s) * growth
            X[r, at + 2], X[r, at + 3], X[r, at + 4], X[r, at + 5] = math.inf, 0.0, 0.0, 0.0
            return
    _set_run(r, X, K, k, at, verify, each, 1.0, had, growth)
    _set_run(r, X, K, draft, at + DRAFTED, lines, 1.0, drafts, had, growth)
    X[r, drafted] = 1.0


@compiled
def verify_s(
    r: int, S: Ints, K: Floats, sequences: int, had: float, tokens: int, ends: int, read: int, pairs: int
) -> float:
    """`VerifyTime.at`"""
    k, draft, each, n = S[r, c.KIND], S[r, c.DRAFT], float(S[r, c.EACH]), float(sequences)
    new = n * each
    own = each * had + new * (each + 1.0) / 2.0
    compute_s, memory_s = lines_s(K, k, new + tokens, new + ends, had + new + read, own + pairs, n + ends)
    seconds = max(compute_s, memory_s)
    if tokens > ends:
        seconds = max(seconds, K[k, FLOOR_S])
    seconds += K[k, LOOKUP_S] * n
    if draft == NOBODY:
        return float(seconds)
    drafts = each - 1.0
    middle = had + n * (drafts + 1.0) / 2.0
    compute_s, memory_s = lines_s(K, draft, n + tokens, n + ends, middle + read, middle + pairs, n + ends)
    first_s = max(compute_s, memory_s)
    seconds += max(first_s, K[draft, FLOOR_S]) if tokens > ends else first_s
    if sequences:
        compute_s, _, memory_s, _ = _lines_at(K, draft, _of_draft(K, draft, n, drafts), 1.0, drafts, had)
        seconds += max(compute_s, memory_s) * (drafts - 1.0) / drafts
    return float(seconds)
