"""Candidate lists with the SRM's logits: the two orders, how much they disagree, and where an item stands.

Everything here works on the last axis (the candidates, in the LLM's order) and keeps all others, so one call takes any
number of lists. Equal logits go by LLM rank."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


Bools = NDArray[np.bool_]


_LOGIT_GRID = 2.0**32


_LOGIT_LIMIT = 2.0**19
_FAR_BELOW = -700.0  # a logit whose weight is nothing


def llm_ranks(valid: Bools) -> Floats:
    """0-based rank of each candidate among the valid ones of its list, in the LLM's order; shape of `valid`."""
    if valid.all():
        return np.broadcast_to(np.arange(float(valid.shape[-1])), valid.shape)
    return np.cumsum(valid, axis=-1, dtype=np.float64) - 1.0


@dataclass(frozen=True)
class ScoredLists:
    """Candidate lists with the SRM's logits, all arrays [..., N]."""

    logits: Floats
    valid: Bools
    llm_rank: Floats
    """0-based; a candidate that the LLM did not name has rank N"""

    @classmethod
    def of(cls, logits: Floats, valid: Bools) -> "ScoredLists":
        """Lists whose valid candidates all stand in the LLM's order."""
        return cls(logits, valid, llm_ranks(valid))

    def take(self, index: NDArray[np.int64]) -> "ScoredLists":
        """The lists at `index` of the first axis."""
        return ScoredLists(self.logits[index], self.valid[index], self.llm_rank[index])

    @cached_property
    def whole(self) -> bool:
        """Whether every candidate of every list is valid, as nearly always: then nothing need be masked."""
        return bool(self.valid.all())

    @cached_property
    def srm_order(self) -> NDArray[np.int64]:
        """The candidates by falling logit, ties by LLM rank; invalid ones come last."""
        return srm_order(self.logits, self.valid)

    @cached_property
    def srm_rank(self) -> NDArray[np.int64]:
        """0-based rank in that order."""
        return places_of(self.srm_order)

    @cached_property
    def count(self) -> NDArray[np.int64]:
        """Valid candidates [...]."""
        return np.asarray(self.valid.sum(axis=-1))

    @cached_property
    def rank_gap(self) -> Floats:
        """Mean |rank_SRM - rank_LLM| over the valid candidates [...]: the first term of the inconsistency."""
        gaps = self.srm_rank - self.llm_rank
        np.abs(gaps, out=gaps)
        if not self.whole:
            gaps[~self.valid] = 0.0
        return np.asarray(gaps.sum(axis=-1) / np.maximum(self.count, 1))

    @cached_property
    def invalid_penalty(self) -> Floats:
        """(4 + 0.3 Z)^2 where Z counts invalid or missing candidates [...]: the second term."""
        return np.asarray((4.0 + 0.3 * (self.valid.shape[-1] - self.count)) ** 2)

    @cached_property
    def probabilities(self) -> Floats:
        """The SRM's softmax over the valid candidates; 0 for invalid ones."""
        masked = np.where(self.valid, self.logits, -np.inf)
        top = np.max(masked, axis=-1, keepdims=True, initial=-1e300)
        weights = np.exp(masked - top)
        return np.asarray(weights / np.maximum(weights.sum(axis=-1, keepdims=True), 1e-300))


def srm_order(logits: Floats, valid: Bools) -> NDArray[np.int64]:
    """The candidates' places [..., N] by falling logit, ties by place in the list; invalid ones come last.

    Logits are compared on a grid of 2^-32 up to a magnitude of 2^19, which holds exact SRM logits as they are. So logit
    and place fit into one integer, and sorting those is many times faster than a stable sort of floats.
    """
    n = logits.shape[-1]
    bits = max(n - 1, 1).bit_length()
    scaled = np.clip(logits, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    scaled *= -_LOGIT_GRID
    on_grid = np.rint(scaled, out=scaled).astype(np.int64)
    if not valid.all():
        on_grid[~valid] = int(_LOGIT_LIMIT * _LOGIT_GRID)
    on_grid <<= bits
    on_grid |= np.arange(n)
    on_grid.sort(axis=-1)
    on_grid &= (1 << bits) - 1
    return on_grid


def places_of(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each number stands in `order` [..., N]."""
    n = order.shape[-1]
    flat = order.reshape(-1, n)
    ranks = np.empty(flat.size, dtype=np.int64)
    ranks[(flat + n * np.arange(len(flat))[:, None]).ravel()] = np.tile(np.arange(n), len(flat))
    return ranks.reshape(order.shape)


class ComparedLists(Protocol):
    """Lists of which both orders have been compared."""

    @property
    def rank_gap(self) -> Floats: ...
    @property
    def invalid_penalty(self) -> Floats: ...
    @property
    def count(self) -> NDArray[np.int64]: ...


def inconsistency(lists: ComparedLists, terms: Literal["both", "rank", "invalid"] = "both") -> Floats:
    """How much the two orders of a list disagree, shape [...]: the sum of both terms, or one of them.

    Infinite for a list with no valid candidate.
    """
    if terms == "both":
        score = lists.rank_gap + lists.invalid_penalty
    else:
        score = lists.rank_gap if terms == "rank" else lists.invalid_penalty
    return np.where(lists.count > 0, score, np.inf)


def rank_of(target: NDArray[np.int64], fused: Floats, shown: Bools) -> NDArray[np.int64]:
    """0-based place of candidate number `target` [...] among the `shown` candidates [..., N]; -1 where it is not shown.

    Ties go to the candidate that comes first in the list (the better LLM rank), never to the target by itself.
    """
    place = np.maximum(target, 0)[..., None]
    own = np.take_along_axis(fused, place, axis=-1)
    index = np.arange(fused.shape[-1])
    better = fused == own
    better &= index < place
    better |= fused > own
    better &= shown
    present = (target >= 0) & np.take_along_axis(shown, place, axis=-1)[..., 0]
    return np.where(present, better.sum(axis=-1), -1)


def best_shown(items: NDArray[np.int64], scores: Floats, shown: Bools, count: int, depth: int) -> NDArray[np.int64]:
    """Of items [M or 1, N], the `count` best [M, depth] of those `shown` [M, N]; equal scores go by place, as
    `rank_of` has them. -1 past the last one."""
    order = np.argsort(np.where(shown, -scores, np.inf), axis=1, kind="stable")[:, :count]
    best = np.where(np.take_along_axis(shown, order, axis=1), np.take_along_axis(items, order, axis=1), -1)
    return np.pad(best, ((0, 0), (0, depth - best.shape[1])), constant_values=-1)


def confidence(lists: ScoredLists) -> tuple[Floats, Floats, Floats]:
    """Entropy of the SRM's softmax, 1 less the margin of its best, and the best logit, each [M].

    Entropy is log(sum of e^x) less the mean x under the softmax, as a share of the largest that so many allow.
    """
    best_two = lists.logits[np.arange(len(lists.logits))[:, None], lists.srm_order[:, :2]]
    below = lists.logits - best_two[:, :1]
    if not lists.whole:
        below[~lists.valid] = _FAR_BELOW
    weights = np.exp(below)
    total = weights.sum(axis=1)
    spread = np.log(total) - np.einsum("mn,mn->m", weights, below) / total
    second = np.where(lists.count > 1, np.exp(best_two[:, -1] - best_two[:, 0]), 0.0)
    return spread / np.log(np.maximum(lists.count, 2)), 1.0 - (1.0 - second) / total, best_two[:, 0]


def with_floor(logits: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Logits [..., N] in which a candidate that has no vector scores 1 below the lowest valid one that has (0: none).

    So it comes last in the SRM's order of the list, and every way to turn logits into scores stays finite.
    """
    known = np.isfinite(logits)
    if known.all():
        return logits
    lowest = np.where(valid & known, logits, np.inf).min(axis=-1, keepdims=True, initial=np.inf)
    return np.where(known, logits, np.where(np.isfinite(lowest), lowest - 1.0, 0.0))
