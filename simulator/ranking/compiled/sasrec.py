"""SASRec's states in machine code, but for its GELU: `models/srm/sasrec.py`, to the last bit.

Windows are taken a few at a time, only their columns that hold an item, and in the last layer only those whose states
are asked for. Between the functions here PyTorch's own GELU is taken of `feed`.
"""

import math
from typing import Any

import numpy as np

from fleetrec.simulator.core.compiling import Ints, compiled, kept
from fleetrec.simulator.ranking.compiled.lanes import add, each, loaded, mul, stored
from fleetrec.simulator.ranking.compiled.parts import Codes, Singles, attend, linear, norm, round_row


@compiled
def _layer(dim: int, layer: int) -> int:
    """Where a layer's weights begin, as quick_states.py lays them out."""
    return (12 * dim * dim + 13 * dim) * layer


@kept
def enter(
    weights: Singles,
    table: Singles,
    places: Singles,
    codes: Codes,
    begins: Ints,
    filled: Ints,
    dim: int,
    embedded: int,
    x: Singles,
) -> None:
    """x [sum of filled, dim] of windows [M]: embeddings of the items codes[begins:begins + filled] and of places,
    normed by what stands in `weights` from `embedded` on."""
    factor, row = each(np.float32(math.sqrt(dim))), 0
    for m in range(len(begins)):
        start = row
        for column in range(filled[m]):
            item = (int(codes[begins[m] + column]) + 1) * dim
            for k in range(0, dim, 16):
                stored(x, row * dim + k, add(mul(loaded(table, item + k), factor), loaded(places, column * dim + k)))
            row += 1
        norm(x, start * dim, x, start * dim, weights, embedded, embedded + dim, dim, row - start)


@kept
def until_feed(
    weights: Singles,
    layer: int,
    filled: Ints,
    since: Ints,
    dim: int,
    heads: int,
    length: int,
    x: Singles,
    feed: Singles,
    work: Singles,
) -> None:
    """The first half of a layer, of which only the columns from `since` [M] on are wanted: x becomes x [sum of
    filled - since, dim], `feed` what GELU is taken of."""
    at = _layer(dim, layer)
    wide = (length + 31) // 32 * 32
    read, rows_of = work[: length * dim], work[length * dim : 4 * length * dim]
    mixed, keys = work[4 * length * dim : 5 * length * dim], work[5 * length * dim : 5 * length * dim + dim * wide]
    scores = work[5 * length * dim + dim * wide : 5 * length * dim + dim * wide + 8 * wide + 16]
    zeros = work[5 * length * dim + dim * wide + 8 * wide + 16 :]
    zeros[:] = np.float32(0.0)
    product = at + 2 * dim
    out = product + 3 * dim * dim + 3 * dim
    norm_feed = out + dim * dim + dim
    feed_in = norm_feed + 2 * dim
    before, after = 0, 0
    for m in range(len(filled)):
        rows, asked = filled[m], filled[m] - since[m]
        norm(x, before * dim, read, 0, weights, at, at + dim, dim, rows)
        if since[m]:
            linear(
                read,
                since[m] * dim,
                dim,
                weights,
                product,
                dim,
                dim,
                product + 3 * dim * dim,
                rows_of,
                since[m] * 3 * dim,
                3 * dim,
                asked,
            )
            linear(
                read,
                0,
                dim,
                weights,
                product + dim * dim,
                dim,
                2 * dim,
                product + 3 * dim * dim + dim,
                rows_of,
                dim,
                3 * dim,
                rows,
            )
        else:
            linear(read, 0, dim, weights, product, dim, 3 * dim, product + 3 * dim * dim, rows_of, 0, 3 * dim, rows)
        attend(rows_of, since[m], rows, heads, dim, length, keys, scores, zeros, mixed)
        linear(mixed, 0, dim, weights, out, dim, dim, out + dim * dim, read, 0, dim, asked)
        kept_from = (before + since[m]) * dim
        for k in range(0, asked * dim, 16):
            stored(x, after * dim + k, add(loaded(x, kept_from + k), loaded(read, k)))
        norm(x, after * dim, read, 0, weights, norm_feed, norm_feed + dim, dim, asked)
        linear(
            read, 0, dim, weights, feed_in, dim, 4 * dim, feed_in + 4 * dim * dim, feed, after * 4 * dim, 4 * dim, asked
        )
        before, after = before + rows, after + asked


@kept
def after_feed(weights: Singles, layer: int, rows: int, dim: int, x: Singles, feed: Singles, work: Singles) -> None:
    """The second half of a layer, of x and `feed` [rows, 4 dim]."""
    at = _layer(dim, layer) + 8 * dim * dim + 12 * dim
    linear(feed, 0, 4 * dim, weights, at, 4 * dim, dim, at + 4 * dim * dim, work, 0, dim, rows)
    for k in range(0, rows * dim, 16):
        stored(x, k, add(loaded(x, k), loaded(work, k)))


@kept
def leave(
    weights: Singles,
    last: int,
    filled: Ints,
    since: Ints,
    to: Ints,
    dim: int,
    x: Singles,
    work: Singles,
    states: Singles,
    step: Any,
) -> bool:
    """The states of rows x [sum of filled - since, dim], rounded: that of a window's column in row `to` + column of
    `states`; whether all are below 16 in magnitude."""
    good, row = True, 0
    for m in range(len(filled)):
        rows = filled[m] - since[m]
        norm(x, row * dim, work, 0, weights, last, last + dim, dim, rows)
        for k in range(rows):
            good &= round_row(work, k * dim, states, (to[m] + since[m] + k) * dim, dim, step)
        row += rows
    return good


def prepare() -> None:
    """Has it compiled, or loaded."""
    nothing, none = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
    enter(nothing, nothing, nothing, np.zeros(0, dtype=np.int32), none, none, 0, 0, nothing)
    until_feed(nothing, 0, none, none, 0, 1, 0, nothing, nothing, np.zeros(48, dtype=np.float32))
    after_feed(nothing, 0, 0, 0, nothing, nothing, nothing)
    leave(nothing, 0, none, none, none, 0, nothing, nothing, nothing, np.float32(1.0))
