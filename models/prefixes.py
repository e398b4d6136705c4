"""User states after every interaction, in one causal pass per anchored segment; never dependent on who asks.

The last bits of a float sum depend on the shape of a batch and on the row in it, so segments are computed in tiles
(tiles.py). Segments that begin a log have tiles of their own: of the others only the second half is asked for. States
and item vectors are then rounded to multiples of 2^-16 with magnitude below 16, so that dot products of up to 128 terms
are exact in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

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

STEP = 2.0**-16
"""of which states and item vectors are multiples"""
_LIMIT = 16.0
_PAIR_STEP = 2.0**-20
_PAIR_WINDOWS = {"cpu": 128, "cuda": 2048}  # scored at once: hidden layers of more leave the processor's cache


@dataclass(frozen=True)
class Windows:
    """Windows [S] of histories: what stands in their columns, and whose states are asked for."""

    begins: NDArray[np.int64]
    """the event that the first column holds"""
    filled: NDArray[np.int64]
    """columns that hold an event"""
    since: NDArray[np.int64]
    """the first column whose state is asked for; so are those of all filled ones after it"""
    to: NDArray[np.int64]
    """the row of the state of the first column, were it asked for"""

    def take(self, index: NDArray[np.int64] | slice) -> "Windows":
        """The windows at `index`."""
        return Windows(self.begins[index], self.filled[index], self.since[index], self.to[index])


class QuickStates(Protocol):
    """Another way to the states of a model on the CPU, with the bits that its tiles give."""

    @property
    def at_once(self) -> int:
        """Windows of one call, at most."""

    def __call__(self, codes: NDArray[np.int32], windows: Windows, states: NDArray[np.float32]) -> bool:
        """Writes states, as `rounded`, of windows of the events `codes`; whether all are below 16 in magnitude."""


Quick = Callable[[StateModel, int], QuickStates | None]
"""model, number of states -> the quick way to them, where there is one and it pays"""


def prefix_states(
    model: SmallModel,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    first: NDArray[np.int64],
    users: NDArray[np.int64] | None = None,
    tile: int | None = None,
    quick: Quick | None = None,
) -> tuple[Tensor, NDArray[np.int64]]:
    """States float32 [R, d] after position p for every p in [first[u], length of u), and row offsets int64[U+1].

    Row of (u, p): row_offsets[u] + p - first[u]. With `users`, only theirs are computed (others have no rows). They lie
    where the model is, in tiles of `tile` windows (`tile_of`) unless `quick` knows a quicker way. Needs a model with
    user states (ValueError). Raises InputError where a state reaches magnitude 16, or memory ends.
    """
    if not isinstance(model, StateModel):
        raise ValueError(f"{model.kind} has no user state")
    model.eval()
    device = model.embedding.weight.device
    rows = tile_of(type(model), device) if tile is None else tile
    some, row_offsets = _asked(offsets, first, users)
    with enough_memory(f"user states of {model.kind}", "its dim or max_length, or the users that are simulated"):
        way = quick(model, int(row_offsets[-1])) if quick is not None and device.type == "cpu" else None
        if way is None:
            return tiled_states(model.states, device, model.dim, model.max_length, offsets, items, first, users, rows)
        until = np.diff(offsets)[some]
        _, _, windows = _windows(offsets[some], first[some], until, even_length(model.max_length))
        return _quick_states(way, model.dim, items, windows, int(row_offsets[-1])), row_offsets


def _asked(
    offsets: NDArray[np.int64], first: NDArray[np.int64], users: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The users of whom states are asked for at all, and the row offsets int64[U+1] of everybody's."""
    lengths = np.diff(offsets)
    wanted = np.maximum(lengths - first, 0)
    if users is not None:
        asked = np.zeros(len(lengths), dtype=bool)
        asked[users] = True
        wanted = np.where(asked, wanted, 0)
    return np.flatnonzero(wanted), np.concatenate(([0], np.cumsum(wanted)))


def _quick_states(way: QuickStates, dim: int, items: NDArray[np.int32], windows: Windows, rows: int) -> Tensor:
    states = torch.empty((rows, dim))
    flat, codes = states.view(-1).numpy(), np.require(items, np.int32, ["C", "W"])
    windows = windows.take(np.argsort(windows.filled, kind="stable"))  # those that are alike go side by side
    bounds = [*range(0, len(windows.begins), way.at_once), len(windows.begins)]

    def compute(part: slice) -> None:
        if not way(codes, windows.take(part), flat):
            raise _too_large("a user state")

    for_each(torch.no_grad()(compute), [slice(*pair) for pair in pairwise(bounds)])
    return states


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
    some, row_offsets = _asked(offsets, first, users)
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
    states = torch.empty((int((until - first).sum()), dim), device=device)
    which, k, windows = _windows(begins, first, until, length)
    later = k > 0
    number, row = tiles.places(numbers[which], k, later.astype(np.int64))
    by_tile = np.argsort(number, kind="stable")
    bounds = np.flatnonzero(np.diff(number[by_tile], prepend=-1, append=-1))
    column = torch.arange(length, device=device)
    segments = np.stack([row, windows.begins, windows.filled, windows.since, windows.to])

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


def _windows(
    begins: NDArray[np.int64], first: NDArray[np.int64], until: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], Windows]:
    """The windows of histories [M] from event `begins` on that answer for positions `first` to `until` - 1; the history
    and the segment of each: segment k begins at position k * length / 2."""
    half = length // 2
    starts = np.cumsum(until - first) - (until - first)
    k_first = window_start(first, length) // half
    counts = window_start(until - 1, length) // half - k_first + 1
    which, nth = ragged(counts)
    k = k_first[which] + nth
    begin = k * half
    take_from = np.maximum(np.where(k == 0, 0, begin + half), first[which])  # first position it answers for
    filled = np.minimum(begin + length, until[which]) - begin
    return which, k, Windows(begins[which] + begin, filled, take_from - begin, starts[which] + begin - first[which])


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
    result = torch.round(exact / STEP) * STEP
    if not (result.abs() < _LIMIT).all():
        raise _too_large(what)
    return result.float()


def _too_large(what: str) -> InputError:
    return InputError(
        f"{what} of the model is not below {_LIMIT:g} in magnitude, so its scores would not be exact; "
        "train it with a lower learning_rate or more weight_decay"
    )


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
