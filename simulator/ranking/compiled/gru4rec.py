"""GRU4Rec's states in machine code: `models/srm/gru4rec.py`, to the last bit.

Some windows go through their items side by side, so that what is learnt stays in the processor's cache.
"""

from typing import Any

import numpy as np

from fleetrec.simulator.core.compiling import Ints, compiled, kept
from fleetrec.simulator.ranking.compiled.lanes import add, div, each, exp, loaded, mul, stored, sub, tanh_of
from fleetrec.simulator.ranking.compiled.parts import Codes, Singles, linear, norm, round_row


@compiled
def _sigmoid(values: Singles, at: int) -> None:
    one = each(np.float32(1.0))
    stored(values, at, div(one, add(one, exp(sub(each(np.float32(0.0)), loaded(values, at))))))


@compiled
def _step(dim: int, rows: int, inputs: Singles, recurrent: Singles, hidden: Singles, new: Singles) -> None:
    """One step of a layer: `hidden` [rows, dim] by the gates `inputs` and `recurrent` [rows, 3 dim]: reset, update,
    new."""
    for row in range(rows):
        for k in range(0, dim, 16):
            reset = row * 3 * dim + k
            stored(recurrent, reset, add(loaded(recurrent, reset), loaded(inputs, reset)))
            _sigmoid(recurrent, reset)
            update = reset + dim
            stored(recurrent, update, add(loaded(recurrent, update), loaded(inputs, update)))
            _sigmoid(recurrent, update)
            gated = mul(loaded(recurrent, update + dim), loaded(recurrent, reset))
            stored(new, row * dim + k, add(loaded(inputs, update + dim), gated))
    tanh_of(new, rows * dim)
    for row in range(rows):
        for k in range(0, dim, 16):
            at, update = row * dim + k, row * 3 * dim + dim + k
            fresh = loaded(new, at)
            away = sub(loaded(hidden, at), fresh)
            stored(hidden, at, add(mul(away, loaded(recurrent, update)), fresh))


@kept
def encode(
    weights: Singles,
    table: Singles,
    codes: Codes,
    begins: Ints,
    filled: Ints,
    since: Ints,
    to: Ints,
    layers: int,
    dim: int,
    at_once: int,
    states: Singles,
    step: Any,
) -> bool:
    """The states of windows [M], whose items are codes[begins:begins + filled], from column `since` on: rows of
    `states` from `to` on; whether all are below 16 in magnitude. `at_once` windows go side by side."""
    of_layer = 6 * dim * dim + 6 * dim
    norm_in = of_layer * layers
    out = norm_in + 2 * dim
    norm_out = out + dim * dim + dim
    rows_of = np.zeros((3, at_once * dim), dtype=np.float32)
    x, new, top = rows_of[0], rows_of[1], rows_of[2]
    gates = np.zeros((2, at_once * 3 * dim), dtype=np.float32)
    inputs, recurrent = gates[0], gates[1]
    hidden = np.zeros((layers, at_once * dim), dtype=np.float32)
    good = True
    for first in range(0, len(begins), at_once):
        rows = min(at_once, len(begins) - first)
        longest = 0
        for row in range(rows):
            longest = max(longest, filled[first + row])
        hidden[:] = np.float32(0.0)
        for column in range(longest):
            asked = False
            for row in range(rows):
                m = first + row
                item = 0  # padding
                if column < filled[m]:
                    item = (int(codes[begins[m] + column]) + 1) * dim
                    asked |= column >= since[m]
                for k in range(0, dim, 16):
                    stored(x, row * dim + k, loaded(table, item + k))
            norm(x, 0, x, 0, weights, norm_in, norm_in + dim, dim, rows)
            below = x
            for layer in range(layers):
                at = of_layer * layer
                bias = at + 6 * dim * dim
                linear(below, 0, dim, weights, at, dim, 3 * dim, bias, inputs, 0, 3 * dim, rows)
                at += 3 * dim * dim
                linear(hidden[layer], 0, dim, weights, at, dim, 3 * dim, bias + 3 * dim, recurrent, 0, 3 * dim, rows)
                _step(dim, rows, inputs, recurrent, hidden[layer], new)
                below = hidden[layer]
            if asked:
                linear(below, 0, dim, weights, out, dim, dim, out + dim * dim, top, 0, dim, rows)
                norm(top, 0, top, 0, weights, norm_out, norm_out + dim, dim, rows)
                for row in range(rows):
                    m = first + row
                    if since[m] <= column < filled[m]:
                        good &= round_row(top, row * dim, states, (to[m] + column) * dim, dim, step)
    return good


def prepare() -> None:
    """Has it compiled, or loaded."""
    nothing, none = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
    encode(nothing, nothing, np.zeros(0, dtype=np.int32), none, none, none, none, 0, 0, 1, nothing, np.float32(1.0))
