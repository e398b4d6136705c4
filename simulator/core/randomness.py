"""Counter-based random numbers: a draw is a pure function of (seed, purpose, keys), never of what was drawn before.

So two runs that differ in a policy differ in nothing else, and a draw may be taken early, late or in bulk.
Mixing is SplitMix64's finaliser (Steele, Lea, Flood 2014), applied once per key. The scalar path (plain ints)
and the vector path (uint64 arrays) give the same bits.
"""

import hashlib
from array import array
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import scipy  # loads special where a normal is drawn: a log is read without
from numpy.typing import ArrayLike, NDArray

from fleetrec.models.runtime.pieces import pieces
from fleetrec.models.runtime.ragged import ragged

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1 = 0xBF58476D1CE4E5B9
_M2 = 0x94D049BB133111EB
_normal_quantile = NormalDist().inv_cdf


@lru_cache(maxsize=4096)
def _start(seed: int, purpose: str) -> int:
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def seed_of(seed: int, purpose: str) -> int:
    """What the mixing of a device's draw for this purpose begins with, its 64 bits in a signed number: compiled code
    goes on from it."""
    begun = _start(seed, purpose)
    return begun - (1 << 64) if begun >> 63 else begun


def _mix_array(state: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = np.asarray(state + (key + np.uint64(1)) * np.uint64(_GOLDEN))
        for shift, factor in ((30, _M1), (27, _M2)):  # in place: arrays may be large
            z ^= z >> np.uint64(shift)
            z *= np.uint64(factor)
        z ^= z >> np.uint64(31)
    return z


def _order(drawn: NDArray[np.float64]) -> NDArray[np.int64]:
    """The places of numbers in [0, 1) from the lowest to the highest, of equal ones the first first: in half the time
    of a sort, by their first 32 bits, and then those few that these do not tell apart."""
    top = (drawn * 2.0**32).astype(np.uint32)
    order = np.argsort(top.astype(np.uint16), kind="stable")  # by counting, as NumPy sorts short integers
    order = order[np.argsort((top >> np.uint32(16)).astype(np.uint16)[order], kind="stable")]
    ordered = drawn[order]
    while len(wrong := np.flatnonzero(ordered[1:] < ordered[:-1])):
        wrong = wrong[np.diff(wrong, prepend=-2) > 1]  # no two of them share a number
        order[wrong], order[wrong + 1] = order[wrong + 1], order[wrong]
        ordered[wrong], ordered[wrong + 1] = ordered[wrong + 1], ordered[wrong]
    return order


class Draws:
    """All draws of one seed. `purpose` names what a draw is for; integer keys say for whom and when."""

    first_device = 0
    """number in the fleet of the device that has number 0 here"""

    def __init__(self, seed: int):
        self.seed = seed

    def uniform(self, purpose: str, *keys: ArrayLike) -> NDArray[np.float64]:
        """Uniforms in the open interval (0, 1), one per broadcast element of the integer keys."""
        return ((self.mixed(purpose, *keys) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52

    def mixed(self, purpose: str, *keys: ArrayLike) -> NDArray[np.uint64]:
        """What `uniform` makes its numbers of: one more key may be mixed in."""
        arrays = [np.asarray(key).astype(np.int64).view(np.uint64) for key in keys]
        state = np.asarray(_start(self.seed, purpose), dtype=np.uint64)
        for key in arrays:  # the first ones are mixed at the size that they have by then, which is often small
            state = _mix_array(state, key)
        return state

    def uniform_one(self, purpose: str, *keys: int) -> float:
        """The same number as `uniform` with scalar keys, several times faster."""
        state = _start(self.seed, purpose)
        for key in keys:  # `_mix_array` for plain ints
            z = (state + (key + 1) * _GOLDEN) & _MASK
            z = ((z ^ (z >> 30)) * _M1) & _MASK
            z = ((z ^ (z >> 27)) * _M2) & _MASK
            state = z ^ (z >> 31)
        return ((state >> 12) + 0.5) * 2.0**-52

    def normal(self, purpose: str, *keys: ArrayLike) -> NDArray[np.float64]:
        """Standard normals, by inversion of `uniform`."""
        return np.asarray(scipy.special.ndtri(self.uniform(purpose, *keys)))

    def normal_one(self, purpose: str, *keys: int) -> float:
        """A standard normal for scalar keys; equal to `normal` to rounding."""
        return _normal_quantile(self.uniform_one(purpose, *keys))

    def exponential(self, purpose: str, *keys: ArrayLike) -> NDArray[np.float64]:
        """Exponentials of mean 1."""
        return -np.log(self.uniform(purpose, *keys))

    def integers(self, bound: int, purpose: str, *keys: ArrayLike) -> NDArray[np.int64]:
        """Integers uniform over 0 .. bound - 1."""
        return np.asarray(self.uniform(purpose, *keys) * bound).astype(np.int64)

    def permutation(self, n: int, purpose: str, *keys: int) -> NDArray[np.int64]:
        """A permutation of 0 .. n - 1."""
        return _order(self.uniform(purpose, *keys, np.arange(n)))

    def first_of(self, most: int, n: int, purpose: str, *keys: int) -> NDArray[np.int64]:
        """The first `most` of a permutation, of which no more is in memory."""
        rows, drawn = np.zeros(0, dtype=np.int64), np.zeros(0)
        for piece in pieces(n if most else 0):
            new = np.arange(piece.start, min(piece.stop, n))
            values = self.uniform(purpose, *keys, new)
            lower = slice(None) if len(rows) < most else values < drawn[-1]
            rows, drawn = np.append(rows, new[lower]), np.append(drawn, values[lower])
            order = np.argsort(drawn, kind="stable")[:most]
            rows, drawn = rows[order], drawn[order]
        return rows

    def generator(self, purpose: str, *keys: int) -> np.random.Generator:
        """A NumPy generator of its own for (purpose, keys), for draws that no formula above covers."""
        return np.random.Generator(np.random.Philox(key=_start(self.seed, f"{purpose}{keys}")))


class StepDraws:
    """Uniforms keyed by (device, step, attempt). Those of first attempts are drawn in one go where the steps that may
    come are foreseen: the same numbers, each at a fraction of the time."""

    def __init__(self, draws: Draws, purpose: str):
        self._draws, self._purpose = draws, purpose
        self._coming: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._foreseen = array("d")
        self._zero: list[int] = []  # of each device, where the draw of step 0 would be

    def foresee(self, first: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Devices [D] make first attempts at `counts` steps from `first` on, and at no others."""
        self._coming = first, counts

    def _draw(self, first: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        device, nth = ragged(counts)
        self._foreseen = array("d", self._draws.uniform(self._purpose, device, first[device] + nth, 0).tobytes())
        self._zero, self._coming = (np.cumsum(counts) - counts - first).tolist(), None

    def one(self, device: int, step: int, attempt: int) -> float:
        """The draw for these keys."""
        if self._coming is not None:  # nobody has asked yet: compiled code draws by itself
            self._draw(*self._coming)
        if attempt or not self._zero:
            return self._draws.uniform_one(self._purpose, device, step, attempt)
        return self._foreseen[self._zero[device] + step]


_OF_A_CLOUD = ("cloud.", "provisioning.")
"""what the purposes of draws begin with that are no device's"""


class RegionDraws(Draws):
    """The draws of a region that has the fleet's devices from `first` on: inside it they are numbered from 0, and each
    draws by its number in the fleet, so that it is the same wherever it is simulated. The region's cloud draws by the
    region's name."""

    def __init__(self, seed: int, name: str, first: int):
        super().__init__(seed)
        self._name, self.first_device = name, first

    def mixed(self, purpose: str, *keys: ArrayLike) -> NDArray[np.uint64]:
        """See Draws; of a device's draw the first key is its number in the region."""
        if purpose.startswith(_OF_A_CLOUD):
            return super().mixed(f"{self._name}: {purpose}", *keys)
        return super().mixed(purpose, np.asarray(keys[0]) + self.first_device, *keys[1:])

    def uniform_one(self, purpose: str, *keys: int) -> float:
        """See Draws."""
        if purpose.startswith(_OF_A_CLOUD):
            return super().uniform_one(f"{self._name}: {purpose}", *keys)
        return super().uniform_one(purpose, keys[0] + self.first_device, *keys[1:])
