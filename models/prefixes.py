"""User states after every interaction, in one causal pass per anchored segment; never dependent on who asks.

The last bits of a float sum depend on the shape of a batch and on the row in it, so segments are computed in tiles
(tiles.py). Segments that begin a log have tiles of their own: of the others only the second half is asked for. States
and item vectors are then rounded to multiples of 2^-16 with magnitude below 16, so that dot products of up to 128 terms
are exact in float64.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.threads import for_each
from fleetrec.models.sequences import even_length, window_start
from fleetrec.models.srm.base import PairModel, SmallModel, StateModel
from fleetrec.models.tiles import Tiles, tile_of

Encoder = Callable[[Tensor, int], Tensor]  # windows int64[tile, L], since -> states float[tile, L - since, d]

_STEP = 2.0**-16
_LIMIT = 16.0
_PAIR_STEP = 2.0**-20
_PAIR_WINDOWS = {"cpu": 128, "cuda": 2048}  # scored at once: hidden layers of more leave the processor's cache


def prefix_states(
    model: SmallModel,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    first: NDArray[np.int64],
    users: NDArray[np.int64] | None = None,
    tile: int | None = None,
) -> tuple[Tensor, NDArray[np.int64]]:
    """States float32 [R, d] after position p for every p in [first[u], length of u), and row offsets int64[U+1].

    Row of (u, p): row_offsets[u] + p - first[u]. With `users`, only theirs are computed (others have no rows). They lie
    where the model is, in tiles of `tile` windows (`tile_of`). Needs a model with user states (ValueError).
    Raises InputError where a state reaches magnitude 16, or memory ends.
    """
    if not isinstance(model, StateModel):
        raise ValueError(f"{model.kind} has no user state")
    model.eval()
    device = model.embedding.weight.device
    rows = tile_of(type(model), device) if tile is None else tile
    with enough_memory(f"user states of {model.kind}", "its dim or max_length, or the users that are simulated"):
        return tiled_states(model.states, device, model.dim, model.max_length, offsets, items, first, users, rows)


def tiled_states(
    encode: Encoder,
    device: torch.device,
    dim: int,
    max_length: int,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    first: NDArray[np.int64],
    users: NDArray[np.int64] | None,
    tile: int,
) -> tuple[Tensor, NDArray[np.int64]]:
    """`prefix_states` for any causal encoder of left-aligned windows [tile, max_length] on `device`."""
    lengths = np.diff(offsets)
    wanted = np.maximum(lengths - first, 0)
    if users is not None:
        asked = np.zeros(len(lengths), dtype=bool)
        asked[users] = True
        wanted = np.where(asked, wanted, 0)
    row_offsets = np.concatenate(([0], np.cumsum(wanted)))
    some = np.flatnonzero(wanted)
    codes = torch.from_numpy(items).to(device)
    states = segment_states(
        encode, device, dim, max_length, offsets[some], codes, first[some], lengths[some], some, Tiles(tile)
    )
    return states, row_offsets


def segment_states(
    encode: Encoder,
    device: torch.device,
    dim: int,
    max_length: int,
    begins: NDArray[np.int64],
    codes: Tensor,
    first: NDArray[np.int64],
    until: NDArray[np.int64],
    numbers: NDArray[np.int64],
    tiles: Tiles,
) -> Tensor:
    """States float32 [R, d] of histories [M] at their positions `first` to `until` - 1 (one at least), one history
    after the other. Their items are codes[begins], codes[begins + 1] and so on; `numbers` name their users, by which
    they have their rows of tiles."""
    length = even_length(max_length)
    half = length // 2
    starts = np.cumsum(until - first) - (until - first)
    states = torch.empty((int((until - first).sum()), dim), device=device)

    # Segments of a history: those of positions first .. until - 1; segment k begins at position k * half.
    k_first = window_start(first, length) // half
    counts = window_start(until - 1, length) // half - k_first + 1
    which, nth = ragged(counts)
    k = k_first[which] + nth
    begin = k * half
    take_from = np.maximum(np.where(k == 0, 0, begin + half), first[which])  # first position it answers for
    take_to = np.minimum(begin + length, until[which])
    later = k > 0
    number, row = tiles.places(numbers[which], k, later.astype(np.int64))
    by_tile = np.argsort(number, kind="stable")
    bounds = np.flatnonzero(np.diff(number[by_tile], prepend=-1, append=-1))
    column = torch.arange(length, device=device)
    segments = np.stack(  # of each: row of its tile, first event, columns that are filled, first one taken, first state
        [row, begins[which] + begin, take_to - begin, take_from - begin, starts[which] + begin - first[which]]
    )

    def compute(bound: tuple[int, int]) -> None:
        low, high = bound
        rows, *at_once = torch.from_numpy(segments[:, by_tile[low:high]]).to(device)
        at, filled, since, to = (start[:, None] for start in at_once)
        inside = column < filled
        windows = torch.zeros((tiles.height(high - low), length), dtype=torch.int64, device=device)
        windows[rows] = torch.where(inside, codes[torch.where(inside, at + column, 0)].long() + 1, 0)
        begun = half if later[by_tile[low]] else 0
        answer = encode(windows, begun)[rows]
        taken = (inside & (column >= since))[:, begun:]
        states[(to + column)[:, begun:][taken]] = rounded(answer[taken], "a user state")

    for_each(torch.no_grad()(compute), list(pairwise(bounds.tolist())))
    return states


def carried_states(
    model: StateModel,
    items: Tensor,
    hidden: Tensor,
    numbers: NDArray[np.int64],
    segments: NDArray[np.int64],
    tiles: Tiles,
) -> tuple[Tensor, Tensor]:
    """States float32 [M, d] after the next `items` [M, T] (item code) in segments [M] of users' histories, and what is
    carried on from them, of which `hidden` [M, carried, d] was carried so far. Rows of tiles go by the users' `numbers`
    [M] and their segments, as in `segment_states`, whose states these are."""
    tile, row = tiles.places(numbers, segments)
    states, after = torch.empty((len(row), model.dim), device=hidden.device), torch.empty_like(hidden)

    def compute(number: int) -> None:
        some = np.flatnonzero(tile == number)
        at, rows, height = torch.from_numpy(some), torch.from_numpy(row[some]), tiles.height(len(some))
        codes = torch.zeros((height, items.shape[1]), dtype=torch.int64, device=hidden.device)
        before = torch.zeros((height, *hidden.shape[1:]), device=hidden.device)
        codes[rows], before[rows] = items[at].long() + 1, hidden[at]
        answer, carried = model.carry(codes, before)
        states[at], after[at] = rounded(answer[rows], "a user state"), carried[rows]

    for_each(torch.no_grad()(compute), range(int(tile.max(initial=-1)) + 1))
    return states, after


def rounded(values: Tensor, what: str) -> Tensor:
    """Nearest multiples of 2^-16, float32: of float32 values exactly, since powers of two scale them and there are 2^21
    multiples below 16. Raises InputError at magnitude 16 or NaN."""
    exact = values if values.dtype == torch.float64 else values.float()
    result = torch.round(exact / _STEP) * _STEP
    if not (result.abs() < _LIMIT).all():
        raise InputError(
            f"{what} of the model is not below {_LIMIT:g} in magnitude, so its scores would not be exact; "
            "train it with a lower learning_rate or more weight_decay"
        )
    return result.float()


def rounded_item_vectors(model: SmallModel) -> Tensor:
    """Item vectors float32 [n_items, d], rounded like states, where the model is."""
    return rounded(model.item_vectors().detach(), "an item vector")


@torch.no_grad()
def pair_logits(
    model: SmallModel, windows: NDArray[np.int64], candidates: NDArray[np.int64], users: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scores float64 [B, N] of `candidates` [B, N] (item codes) after `windows` [B, L] (item code + 1, 0 padding) of
    `users` [B], by a model without user states (ValueError).

    Computed in float64, where sums in another order differ by about 1e-15, and rounded to multiples of 2^-20, so the
    same numbers come out whatever the batch. A negative candidate gives a score of no meaning.
    """
    if not isinstance(model, PairModel):
        raise ValueError(f"{model.kind} is not scored as a pair of window and candidate")
    model.eval()
    device = model.embedding.weight.device
    scores = np.empty(candidates.shape, dtype=np.float64)
    at_once = _PAIR_WINDOWS[device.type]
    for begin in range(0, len(windows), at_once):
        part = slice(begin, begin + at_once)
        at = torch.from_numpy(windows[part]).to(device)
        of = torch.from_numpy(np.maximum(candidates[part], 0)).to(device)
        whose = torch.from_numpy(users[part]).to(device)
        scores[part] = model.exact_logits(at, of, whose).cpu().numpy()
    return np.asarray(np.rint(scores / _PAIR_STEP) * _PAIR_STEP)
