"""What items are worth to the users of the built-in world, and what users find alone, in compiled code.

The same numbers as truth.py and choosing.py, to the last bit: every sum is in their order. Tests drive both.
"""

import math

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined, kept

Bools = NDArray[np.bool_]
Codes = NDArray[np.int32]
States = NDArray[np.uint64]

_GRID = 2.0**-20
_GOLDEN, _M1, _M2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_MARGIN = 2.0**-16
"""logarithms of two libraries and the grid move a sum by far less"""


@inlined
def _on_grid(worth: float) -> float:
    return float(np.rint(worth * (1.0 / _GRID)) * _GRID)


# ---------------------------------------------------------------------------------------------- what items are worth


@compiled
def _mind(
    had: Bools, chains: Ints, threads: Ints, bonus: Floats, m: int, slots: Codes, items: Ints, more: Floats
) -> int:
    """The `items` of the threads on a user's mind, each once, and how much `more` they are worth for that: the larger
    bonus of an item of both. How many; `slots` [n_items] names their places, -1 elsewhere."""
    count = 0
    for slot in range(threads.shape[1]):
        new = 0
        for place in range(chains.shape[1]):
            item = chains[threads[m, slot], place]
            if item < 0:
                continue
            extra = 0.0
            if not had[m, item]:
                extra = bonus[new]
                new += 1
            if slots[item] < 0:
                slots[item], items[count], more[count] = count, item, extra
                count += 1
            else:
                more[slots[item]] = max(more[slots[item]], extra)
    return count


@kept
def of(
    had: Bools,
    person: Ints,
    liking: Floats,
    cell: Ints,
    popular: Floats,
    chains: Ints,
    threads: Ints,
    bonus: Floats,
    base: float,
    cost: float,
    items: Ints,
) -> Floats:
    """`SyntheticTruth.of`: utilities [M, K] of `items` [M, K] to users [M] who have `had` [M, n_items] things and are
    in the midst of two `threads` [M, 2] of `chains` [H, C]. `liking` is by `person` [M] and by the `cell` [n_items]
    of an item; what was had is worth `cost` less."""
    worth = np.empty(items.shape)
    slots = np.full(len(cell), -1, dtype=np.int32)
    minded, more = np.empty(2 * chains.shape[1], dtype=np.int64), np.empty(2 * chains.shape[1])
    for m in range(len(person)):
        count = _mind(had, chains, threads, bonus, m, slots, minded, more)
        for k in range(items.shape[1]):
            item = items[m, k]
            if item < 0:
                worth[m, k] = -math.inf
                continue
            extra = more[slots[item]] if slots[item] >= 0 else 0.0
            worth[m, k] = _on_grid(base + liking[person[m], cell[item]] + popular[item] - cost * had[m, item] + extra)
        for place in range(count):
            slots[minded[place]] = -1
    return worth


@kept
def catalogue(
    had: Bools,
    person: Ints,
    liking: Floats,
    cell: Ints,
    popular: Floats,
    chains: Ints,
    threads: Ints,
    bonus: Floats,
    base: float,
    cost: float,
) -> Floats:
    """`SyntheticTruth.catalogue`: utilities [M, n_items] of all items."""
    worth = np.empty(had.shape)
    slots = np.full(len(cell), -1, dtype=np.int32)
    minded, more = np.empty(2 * chains.shape[1], dtype=np.int64), np.empty(2 * chains.shape[1])
    for m in range(len(person)):
        who = person[m]
        for item in range(len(cell)):
            worth[m, item] = base + liking[who, cell[item]] + popular[item] - cost * had[m, item]
        for place in range(_mind(had, chains, threads, bonus, m, slots, minded, more)):
            worth[m, minded[place]] += more[place]
            slots[minded[place]] = -1
        for item in range(len(cell)):
            worth[m, item] = _on_grid(worth[m, item])
    return worth


@kept
def meet(
    people: Ints, liking: Floats, cell: Ints, popular: Floats, base: float, favourites: Codes, liked: Floats
) -> None:
    """`SyntheticTruth._meet`: fills the rows of `people` [P] in their `favourites` and how much these are `liked`."""
    most = favourites.shape[1]
    for who in people:
        taken = 0
        for item in range(len(cell)):
            worth = base + liking[who, cell[item]] + popular[item]
            if taken == most and worth <= liked[who, most - 1]:
                continue
            place = min(taken, most - 1)
            while place > 0 and liked[who, place - 1] < worth:
                liked[who, place], favourites[who, place] = liked[who, place - 1], favourites[who, place - 1]
                place -= 1
            liked[who, place], favourites[who, place] = worth, item
            taken = min(taken + 1, most)


@compiled
def _keep(best: Floats, m: int, worth: float) -> None:
    """`worth` among the best, which fall, if it is of them."""
    place = best.shape[1] - 1
    if worth <= best[m, place]:
        return
    while place > 0 and best[m, place - 1] < worth:
        best[m, place] = best[m, place - 1]
        place -= 1
    best[m, place] = worth


@kept
def best(
    had: Bools,
    person: Ints,
    liking: Floats,
    cell: Ints,
    popular: Floats,
    chains: Ints,
    threads: Ints,
    bonus: Floats,
    base: float,
    cost: float,
    hidden: Bools,
    favourites: Codes,
    liked: Floats,
    count: int,
) -> Floats:
    """`SyntheticTruth.best`: utilities [M, count] of the best items that are not `hidden` [M, n_items]. `favourites` of
    persons are `liked` so much by taste alone, falling."""
    found = np.full((len(person), count), -math.inf)
    slots = np.full(len(cell), -1, dtype=np.int32)
    minded, more = np.empty(2 * chains.shape[1], dtype=np.int64), np.empty(2 * chains.shape[1])
    last = favourites.shape[1] - 1
    for m in range(len(person)):
        who = person[m]
        held = _mind(had, chains, threads, bonus, m, slots, minded, more)
        for place in range(held):
            item = minded[place]
            if not hidden[m, item]:
                taste = base + liking[who, cell[item]] + popular[item]
                _keep(found, m, _on_grid(taste - cost * had[m, item] + more[place]))
        for place in range(last + 1):
            if _on_grid(liked[who, place]) <= found[m, count - 1]:
                break  # nor is any that follows worth more
            item = favourites[who, place]
            if not hidden[m, item] and slots[item] < 0:
                _keep(found, m, _on_grid(liked[who, place] - cost * had[m, item]))
        if last + 1 < len(cell) and found[m, count - 1] < _on_grid(liked[who, last]):
            found[m] = -math.inf
            for item in range(len(cell)):
                if not hidden[m, item]:
                    extra = more[slots[item]] if slots[item] >= 0 else 0.0
                    taste = base + liking[who, cell[item]] + popular[item]
                    _keep(found, m, _on_grid(taste - cost * had[m, item] + extra))
        for place in range(held):
            slots[minded[place]] = -1
    return found


# ---------------------------------------------------------------------------------------------- what is found alone


@inlined
def _noisy(utility: Floats, uniform: Floats, m: int, item: int) -> float:
    return float(utility[m, item] - math.log(-math.log(uniform[item])))


@inlined
def _least(top: float, bound: float) -> float:
    """The uniform below which no noise lifts an item worth `top`, the most, as far as near `bound`."""
    return math.exp(-math.exp(top + 2 * _MARGIN - bound))


@kept
def loudest(utility: Floats, mixed: States) -> Ints:
    """The item [M] of the highest sum of `utility` [M, n_items] and Gumbel noise, keyed by `mixed` [M] and the item
    (`Draws.mixed`); -1 where two sums are so close that the last bits of a logarithm may decide."""
    users, n_items = utility.shape
    found, uniform = np.full(users, -1), np.empty(n_items)
    for m in range(users):
        state = mixed[m]
        for item in range(n_items):
            z = state + np.uint64(item + 1) * np.uint64(_GOLDEN)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(_M1)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(_M2)
            z = z ^ (z >> np.uint64(31))
            uniform[item] = (np.float64(z >> np.uint64(12)) + 0.5) * 2.0**-52
        dear, loud, top, highest = 0, 0, -math.inf, 0.0
        for item in range(n_items):
            if utility[m, item] > top:
                dear, top = item, utility[m, item]
            if uniform[item] > highest:
                loud, highest = item, uniform[item]
        if not -math.inf < top < math.inf:
            continue
        bound = max(_noisy(utility, uniform, m, dear), _noisy(utility, uniform, m, loud))
        first, second, least = -math.inf, -math.inf, _least(top, bound)
        for item in range(n_items):
            if uniform[item] >= least:
                noisy = _noisy(utility, uniform, m, item)
                if noisy > first:
                    first, second, found[m] = noisy, first, item
                    least = _least(top, max(first, bound))
                elif noisy > second:
                    second = noisy
        if first - second <= _MARGIN:
            found[m] = -1
    return found


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 1))
    items, flags = np.zeros((0, 2), dtype=np.int64), np.zeros((0, 1), dtype=np.bool_)
    users = flags, none, nothing, none, nothing[:, 0].copy(), items, items, nothing[:, 0].copy(), 0.0, 0.0
    of(*users, items)
    catalogue(*users)
    meet(none, *users[2:5], 0.0, np.zeros((0, 1), dtype=np.int32), nothing)
    best(*users, flags, np.zeros((0, 1), dtype=np.int32), nothing, 1)
    loudest(nothing, np.zeros(0, dtype=np.uint64))
