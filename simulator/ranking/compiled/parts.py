"""The parts of small networks for single rows of floats: products, layer norms, attention, rounding.

Each sum is taken in the order in which PyTorch's libraries take it: products one term after the other in pieces of
`_terms`, layer norms eight lanes at a time, the sums of attention sixteen lanes at a time. Matrices are flat; of each,
the place of its first element and the floats from one row to the next are told.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.compiling import compiled
from fleetrec.simulator.ranking.compiled.lanes import (
    add,
    block,
    div,
    each,
    fma,
    highest,
    lane,
    loaded,
    most,
    mul,
    nearest,
    paired,
    quick_exp,
    single_fma,
    stored,
    sub,
    total,
)

Singles = NDArray[np.float32]
Codes = NDArray[np.int32]

PANEL = 32
"""columns of a matrix that lie together"""
_LIMIT = np.float32(16.0)
_EPSILON = np.float32(1e-5)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)

_eight, _four, _two, _one = (block(rows, 2) for rows in (8, 4, 2, 1))


@compiled
def _panel(
    a: Singles,
    a_at: int,
    a_stride: int,
    b: Singles,
    b_at: int,
    b_stride: int,
    terms: int,
    base: Singles,
    base_at: int,
    base_stride: int,
    out: Singles,
    out_at: int,
    out_stride: int,
    rows: int,
) -> None:
    done = 0
    while rows - done >= 8:
        _eight(
            a,
            a_at + done * a_stride,
            a_stride,
            b,
            b_at,
            b_stride,
            terms,
            base,
            base_at + done * base_stride,
            base_stride,
            out,
            out_at + done * out_stride,
            out_stride,
        )
        done += 8
    if rows - done >= 4:
        _four(
            a,
            a_at + done * a_stride,
            a_stride,
            b,
            b_at,
            b_stride,
            terms,
            base,
            base_at + done * base_stride,
            base_stride,
            out,
            out_at + done * out_stride,
            out_stride,
        )
        done += 4
    if rows - done >= 2:
        _two(
            a,
            a_at + done * a_stride,
            a_stride,
            b,
            b_at,
            b_stride,
            terms,
            base,
            base_at + done * base_stride,
            base_stride,
            out,
            out_at + done * out_stride,
            out_stride,
        )
        done += 2
    if rows - done >= 1:
        _one(
            a,
            a_at + done * a_stride,
            a_stride,
            b,
            b_at,
            b_stride,
            terms,
            base,
            base_at + done * base_stride,
            base_stride,
            out,
            out_at + done * out_stride,
            out_stride,
        )


@compiled
def _terms(terms: int) -> int:
    if terms <= 192:
        return terms
    return terms // 2 if terms <= 384 else 192


@compiled
def linear(
    a: Singles,
    a_at: int,
    a_stride: int,
    weights: Singles,
    at: int,
    terms: int,
    columns: int,
    bias_at: int,
    out: Singles,
    out_at: int,
    out_stride: int,
    rows: int,
) -> None:
    piece = _terms(terms)
    for panel in range(columns // PANEL):
        b_at, here, bias = at + panel * PANEL * terms, out_at + panel * PANEL, bias_at + panel * PANEL
        _panel(a, a_at, a_stride, weights, b_at, PANEL, piece, weights, bias, 0, out, here, out_stride, rows)
        done = piece
        while done < terms:
            more = min(piece, terms - done)
            _panel(
                a,
                a_at + done,
                a_stride,
                weights,
                b_at + done * PANEL,
                PANEL,
                more,
                out,
                here,
                out_stride,
                out,
                here,
                out_stride,
                rows,
            )
            done += more


@compiled
def _row_norm(
    x: Singles,
    at: int,
    out: Singles,
    out_at: int,
    weights: Singles,
    gain: int,
    shift: int,
    dim: int,
    lanes_mean: Any,
    lanes_spread: Any,
    half: int,
) -> None:
    mean, spread = _ZERO, _ZERO
    for i in range(8):
        share = np.float32(dim // 8) / np.float32(dim // 8 * (i + 1))
        away = lane(lanes_mean, half + i) - mean
        mean = single_fma(share, away, mean)
        spread = spread + single_fma(away * away * share, np.float32(dim // 8 * i), lane(lanes_spread, half + i))
    scale = _ONE / np.sqrt(spread / np.float32(dim) + _EPSILON)
    means, scales = each(mean), each(scale)
    for k in range(0, dim, 16):
        centred = mul(sub(loaded(x, at + k), means), scales)
        stored(out, out_at + k, fma(centred, loaded(weights, gain + k), loaded(weights, shift + k)))


@compiled
def norm(
    x: Singles,
    at: int,
    out: Singles,
    out_at: int,
    weights: Singles,
    gain: int,
    shift: int,
    dim: int,
    rows: int,
) -> None:
    for row in range(0, rows, 2):
        first = at + row * dim
        second = first + dim if row + 1 < rows else first
        means, spreads = each(_ZERO), each(_ZERO)
        for j in range(dim // 8):
            values = paired(x, first + 8 * j, second + 8 * j)
            away = sub(values, means)
            means = fma(away, each(_ONE / np.float32(j + 1)), means)
            spreads = fma(away, sub(values, means), spreads)
        _row_norm(x, first, out, out_at + row * dim, weights, gain, shift, dim, means, spreads, 0)
        if row + 1 < rows:
            _row_norm(x, second, out, out_at + (row + 1) * dim, weights, gain, shift, dim, means, spreads, 8)


@compiled
def _weigh(scores: Singles, row: int, upto: int, wide: int, whole: int, at: int, scales: Any, scale: float) -> float:
    """Of one row of scores, of which the columns up to `at` are looked at: their exponentials in place, zeros up to
    `upto`, and their sum."""
    for column in range(at + 1, (upto + 15) // 16 * 16):
        scores[row + column] = -np.inf
    best, in_lanes = each(np.float32(-np.inf)), min((upto + 15) // 16 * 16, whole)
    for column in range(0, in_lanes, 16):
        scaled = mul(loaded(scores, row + column), scales)
        stored(scores, row + column, scaled)
        best = most(best, scaled)
    largest = highest(best)
    for column in range(whole, at + 1):
        scores[row + column] *= scale
        largest = max(largest, scores[row + column])
    sums, from_best = each(_ZERO), each(largest)
    for column in range(0, in_lanes, 16):
        weights = quick_exp(sub(loaded(scores, row + column), from_best))
        stored(scores, row + column, weights)
        sums = add(sums, weights)
    summed: float = total(sums)
    for column in range(whole, upto):
        weight: Any = np.float32(math.exp(np.float64(scores[row + column] - largest))) if column <= at else _ZERO
        scores[row + column] = weight
        summed += weight
    return summed


@compiled
def attend(
    rows_of: Singles,
    since: int,
    filled: int,
    heads: int,
    dim: int,
    length: int,
    keys: Singles,
    scores: Singles,
    zeros: Singles,
    mixed: Singles,
) -> None:
    """Of one window, whose queries, keys and values stand in `rows_of` [filled, 3 dim]: what the columns from `since`
    to `filled` mix of those up to their own, in `mixed` [filled - since, dim]. `length`: columns of a whole window;
    `keys` [dim / heads, wide] and `scores` [8, wide] are to work in, `wide` the length in whole panels."""
    size, stride = dim // heads, 3 * dim
    wide, whole = (length + PANEL - 1) // PANEL * PANEL, length // 16 * 16
    scale: Any = np.float32(1.0 / math.sqrt(size))
    scales = each(scale)
    for head in range(heads):
        key, value = dim + head * size, 2 * dim + head * size
        for column in range(filled):
            for k in range(size):
                keys[k * wide + column] = rows_of[column * stride + key + k]
        for first in range(since, filled, 8):
            rows = min(8, filled - first)
            upto = first + rows  # columns that some of these rows look at
            for at in range(0, upto, PANEL):
                _panel(
                    rows_of,
                    first * stride + head * size,
                    stride,
                    keys,
                    at,
                    wide,
                    size,
                    zeros,
                    0,
                    0,
                    scores,
                    at,
                    wide,
                    rows,
                )
            out = (first - since) * dim + head * size
            for row in range(rows):
                summed = _weigh(scores, row * wide, upto, wide, whole, first + row, scales, scale)
                scores[8 * wide + row] = _ONE / summed
            for panel in range(0, size, PANEL):
                _panel(
                    scores,
                    0,
                    wide,
                    rows_of,
                    value + panel,
                    stride,
                    upto,
                    zeros,
                    0,
                    0,
                    mixed,
                    out + panel,
                    dim,
                    rows,
                )
            for row in range(rows):
                share = each(scores[8 * wide + row])
                for k in range(out + row * dim, out + row * dim + size, 16):
                    stored(mixed, k, mul(loaded(mixed, k), share))


@compiled
def round_row(x: Singles, at: int, states: Singles, state: int, dim: int, step: Any) -> bool:
    """The nearest multiples of `step` of one row, and whether all are below 16 in magnitude."""
    good, steps = True, each(step)
    for k in range(0, dim, 16):
        stored(states, state + k, mul(nearest(div(loaded(x, at + k), steps)), steps))
    for k in range(dim):
        good &= abs(states[state + k]) < _LIMIT
    return good
