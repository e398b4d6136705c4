"""Fused lists in compiled code: logits, both orders, fused scores, places of items and screens, a list at a time.

The same numbers as `ListSlates.place` and `screens`, to the last bit: dot products are exact in any order
(srm_logits.py), and fused scores are sums of what each of two ranks gives. A test drives both.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fleetrec.simulator.core.compiling import Floats, Ints, compiled, kept

Singles = NDArray[np.float32]
Codes = NDArray[np.int32]
Bools = NDArray[np.bool_]

_GRID = 2.0**30
_LOGIT_GRID = 2.0**32
_LOGIT_LIMIT = 2.0**19
_BEYOND = 1 << 51
"""limit times grid: the place of what is no candidate"""
_LAST = np.iinfo(np.int64).max
_KEYS_AT_ONCE = 32
"""that compiled code compares with one"""


@njit(nogil=True, fastmath={"reassoc", "nsz", "contract"})  # sums are exact, so their order is free
def _dot(state: Floats, vectors: Singles, item: int) -> float:
    total = 0.0
    for k in range(len(state)):
        total += state[k] * np.float64(vectors[item, k])
    return total


@compiled
def _logits(state: Floats, vectors: Singles, known: Bools, items: Codes, logits: Floats) -> None:
    """`with_floor` of a list's logits; those of no candidate mean nothing."""
    lowest, lacking = math.inf, False
    for i in range(len(items)):
        if items[i] >= 0 and known[items[i]]:
            logits[i] = _dot(state, vectors, items[i])
            lowest = min(lowest, logits[i])
        else:
            lacking |= items[i] >= 0
    if lacking:
        for i in range(len(items)):
            if items[i] >= 0 and not known[items[i]]:
                logits[i] = lowest - 1.0 if lowest < math.inf else 0.0


@compiled
def _srm_ranks(items: Codes, logits: Floats, keys: Ints, ranks: Ints) -> None:
    """`places_of(srm_order(...))`: of each candidate, how many come before it. `keys` are as many as `_padded` says, so
    that none are compared one by one."""
    n, bits = len(items), 1
    while (1 << bits) < n:
        bits += 1
    for i in range(n):
        on_grid = _BEYOND
        if items[i] >= 0:
            on_grid = int(np.rint(min(max(logits[i], -_LOGIT_LIMIT), _LOGIT_LIMIT) * -_LOGIT_GRID))
        keys[i] = (on_grid << bits) | i
    for i in range(n, len(keys)):
        keys[i] = _LAST
    for i in range(n):
        before, key = 0, keys[i]
        for j in range(len(keys)):
            before += keys[j] < key
        ranks[i] = before


@compiled
def _padded(n: int) -> int:
    return (n + _KEYS_AT_ONCE - 1) // _KEYS_AT_ONCE * _KEYS_AT_ONCE


@kept
def place(
    states: Singles,
    rows: Ints,
    vectors: Singles,
    known: Bools,
    lists: Codes,
    list_of: Ints,
    log: Codes,
    begins: Ints,
    ends: Ints,
    targets: Ints,
    seen_upto: Ints,
    hides_seen: bool,
    by_llm: Floats,
    by_srm: Floats,
) -> tuple[Ints, Ints, Ints]:
    """Ranks [M] of `targets` [M] in lists that the SRM orders by states[rows], -1: not shown; the sum [M] of the
    distances of both orders, and the candidates [M] of each list.

    Lists are lists[list_of], those of one user in a row; its log is log[begins:ends], of which what stands at positions
    up to `seen_upto` [M] is not shown where the slate `hides_seen`. `by_llm` and `by_srm` [N]: what ranks give.
    """
    count, n = len(rows), lists.shape[1]
    ranks, gaps, valid = np.full(count, -1), np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    logits, keys, fused = np.zeros(n), np.empty(_padded(n), dtype=np.int64), np.empty(n)
    llm_rank, srm_rank = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    state = np.empty(states.shape[1])
    user_of, first = np.full(len(known), -1, dtype=np.int32), np.empty(len(known), dtype=np.int32)
    user, known_to, candidates = -1, 0, 0
    for m in range(count):
        items = lists[list_of[m]]
        if m == 0 or list_of[m] != list_of[m - 1]:
            candidates = 0
            for i in range(n):
                llm_rank[i] = candidates
                candidates += items[i] >= 0
        if m == 0 or begins[m] != begins[m - 1] or ends[m] != ends[m - 1]:
            user, known_to = user + 1, 0
        state[:] = states[rows[m]]
        _logits(state, vectors, known, items, logits)
        _srm_ranks(items, logits, keys, srm_rank)
        valid[m], target = candidates, -1
        for i in range(n):
            if items[i] >= 0:
                gaps[m] += abs(srm_rank[i] - llm_rank[i])
                if items[i] == targets[m]:
                    target = i
        if target < 0:
            continue
        if hides_seen:
            for place in range(known_to, min(seen_upto[m] + 1, ends[m] - begins[m])):
                item = log[begins[m] + place]
                if user_of[item] != user:
                    user_of[item], first[item] = user, place
                known_to = place + 1
            if user_of[items[target]] == user and first[items[target]] <= seen_upto[m]:
                continue
        for i in range(n):
            fused[i] = np.rint((by_llm[llm_rank[i]] + by_srm[srm_rank[i]]) * _GRID)
        better, own = 0, fused[target]
        for i in range(n):
            if items[i] >= 0 and (fused[i] > own or (fused[i] == own and i < target)):
                better += not (hides_seen and user_of[items[i]] == user and first[items[i]] <= seen_upto[m])
        ranks[m] = better
    return ranks, gaps, valid


@compiled
def _show_best(items: Codes, fused: Floats, shown: Bools, screen: Ints) -> None:
    """The candidates that are `shown` with the highest scores, the first of equal ones first; -1 past the last."""
    depth, taken = min(len(screen), len(items)), 0
    for place in range(len(screen)):
        screen[place] = -1
    for i in range(len(items)):
        if shown[i] and (taken < depth or fused[i] > fused[screen[depth - 1]]):
            place = min(taken, depth - 1)
            while place > 0 and fused[screen[place - 1]] < fused[i]:
                screen[place] = screen[place - 1]
                place -= 1
            screen[place], taken = i, min(taken + 1, depth)
    for place in range(taken):
        screen[place] = items[screen[place]]


@kept
def screens(
    states: Singles,
    rows: Ints,
    vectors: Singles,
    known: Bools,
    lists: Codes,
    list_of: Ints,
    log: Codes,
    begins: Ints,
    ends: Ints,
    seen_upto: Ints,
    hides_seen: bool,
    by_llm: Floats,
    by_srm: Floats,
    depth: int,
) -> Ints:
    """The items [M, depth] at the first places of the slates of `place`, -1 past the last one."""
    count, n = len(rows), lists.shape[1]
    found = np.empty((count, depth), dtype=np.int64)
    logits, keys, fused = np.zeros(n), np.empty(_padded(n), dtype=np.int64), np.empty(n)
    srm_rank, shown = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.bool_)
    user_of, state = np.full(len(known), -1), np.empty(states.shape[1])
    for m in range(count):
        items, candidates = lists[list_of[m]], 0
        state[:] = states[rows[m]]
        _logits(state, vectors, known, items, logits)
        _srm_ranks(items, logits, keys, srm_rank)
        if hides_seen:
            for place in range(min(seen_upto[m] + 1, ends[m] - begins[m])):
                user_of[log[begins[m] + place]] = m
        for i in range(n):
            shown[i] = items[i] >= 0 and not (hides_seen and user_of[items[i]] == m)
            fused[i] = np.rint((by_llm[candidates] + by_srm[srm_rank[i]]) * _GRID)
            candidates += items[i] >= 0
        _show_best(items, fused, shown, found[m])
    return found


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing, codes = np.zeros(0, dtype=np.int64), np.zeros((0, 1), dtype=np.float32), np.zeros((0, 1), np.int32)
    lists = nothing, none, nothing, np.zeros(0, dtype=np.bool_), codes, none, codes[:, 0].copy(), none, none
    by_ranks = True, np.zeros(1), np.zeros(1)
    place(*lists, none, none, *by_ranks)
    screens(*lists, none, *by_ranks, 1)
