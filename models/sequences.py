"""Users' item sequences as models see them: what may be learnt from, and anchored windows.

A window is re-based every max_length // 2 steps (design, section 2), so one causal pass over a segment gives the
state after each of its interactions. Event (u, p) of the flat arrays is at offsets[u] + p.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.models.runtime.artifacts import content_hash

Attributes = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TrainingSet:
    """What models may learn from: positions [0, fit_end[u]) of each user; [fit_end[u], valid_end[u]) are validation
    targets. Nothing at or beyond valid_end is ever read, and `content_hash` depends on nothing beyond it either."""

    offsets: NDArray[np.int64]  # [U+1]
    items: NDArray[np.int32]  # [E], codes 0..n_items-1
    n_items: int
    fit_end: NDArray[np.int64]  # [U]
    valid_end: NDArray[np.int64]  # [U]
    attributes: Attributes | None  # per item
    content_hash: str

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1

    @property
    def user_of_event(self) -> NDArray[np.int64]:
        """[E]: whose event each one is."""
        return np.repeat(np.arange(self.n_users), np.diff(self.offsets))

    @cached_property
    def repeat_share(self) -> float:
        """Share of the learning part's events that are of an item which their user had before."""
        trained = self.events_before(self.fit_end)
        pairs = np.sort(self.user_of_event[trained] * self.n_items + self.items[trained])
        return np.count_nonzero(pairs[1:] == pairs[:-1]) / max(1, len(pairs))

    def events_before(self, end: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[E]: whether an event's position is below its user's `end` [U]."""
        user = self.user_of_event
        return np.arange(len(user)) - self.offsets[user] < end[user]


@dataclass(frozen=True)
class LearningData:
    """What a model of the user's own learns from: the log before the stream, without what it is validated on."""

    n_users: int
    n_items: int
    users: NDArray[np.int64]
    """[E], from 0; a user's events follow each other in order of time"""
    items: NDArray[np.int64]
    """[E], from 0"""
    attributes: Attributes | None
    """words for each item, where the log has them"""
    titles: tuple[str, ...] | None = None
    """of each item, where the log has them; an LLM alone is told them"""
    item_ids: NDArray[Any] | None = None
    """what the log calls each item; an LLM alone is told"""


def learning_data(
    data: TrainingSet, titles: tuple[str, ...] | None = None, item_ids: NDArray[Any] | None = None
) -> LearningData:
    """The learning part of `data`, and nothing beyond it."""
    trained = data.events_before(data.fit_end)
    users, items = data.user_of_event[trained], data.items[trained].astype(np.int64)
    return LearningData(data.n_users, data.n_items, users, items, data.attributes, titles, item_ids)


def training_set(
    offsets: ArrayLike,
    items: ArrayLike,
    n_items: int,
    fit_end: ArrayLike,
    valid_end: ArrayLike,
    attributes: Attributes | None = None,
) -> TrainingSet:
    """A TrainingSet with its content hash. Raises ValueError where 0 <= fit_end <= valid_end <= length does not hold
    or an item lies outside 0..n_items-1."""
    starts = np.asarray(offsets, dtype=np.int64)
    flat = np.asarray(items, dtype=np.int32)
    fit, valid = np.asarray(fit_end, dtype=np.int64), np.asarray(valid_end, dtype=np.int64)
    lengths = np.diff(starts)
    if not (len(fit) == len(valid) == len(lengths) and starts[-1] == len(flat)):
        raise ValueError("offsets, items, fit_end and valid_end do not belong together")
    if (fit < 0).any() or (fit > valid).any() or (valid > lengths).any():
        raise ValueError("0 <= fit_end <= valid_end <= length must hold for every user")
    if len(flat) and not (flat.min() >= 0 and flat.max() < n_items):
        raise ValueError("items must lie in 0..n_items-1")
    if attributes is not None and len(attributes) != n_items:
        raise ValueError("attributes must have one entry per item")
    unhashed = TrainingSet(starts, flat, n_items, fit, valid, attributes, "")
    readable = flat[unhashed.events_before(valid)]
    digest = content_hash(readable, n_items, fit, valid, attributes)
    return TrainingSet(starts, flat, n_items, fit, valid, attributes, digest)


def even_length(max_length: int) -> int:
    """The window length in use: odd ones are rounded down; at least 2."""
    return max(2, max_length - max_length % 2)


def window_start(position: ArrayLike, max_length: int) -> NDArray[np.int64]:
    """First position of the anchored window that ends at `position` (0-based, any shape).

    0 while the whole history fits; afterwards a multiple of max_length // 2 such that the window holds
    max_length // 2 + 1 to max_length items.
    """
    length = even_length(max_length)
    half = length // 2
    at = np.asarray(position, dtype=np.int64)
    return np.where(at < length, 0, ((at - length) // half + 1) * half)


def windows_at(
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    users: NDArray[np.int64],
    positions: NDArray[np.int64],
    max_length: int,
) -> NDArray[np.int64]:
    """Anchored windows [M, max_length] of item code + 1, left-aligned, 0 as padding, that end at `positions` [M] of
    `users` [M]. Position -1 (nothing seen yet) gives an empty window."""
    length = even_length(max_length)
    start = window_start(np.maximum(positions, 0), length)
    column = np.arange(length)
    inside = column[None, :] <= (positions - start)[:, None]
    flat = np.where(inside, (offsets[users] + start)[:, None] + column[None, :], 0)
    if len(items) == 0:
        return np.zeros((len(users), length), dtype=np.int64)
    return np.where(inside, items[flat].astype(np.int64) + 1, 0)


def n_transitions(data: TrainingSet) -> int:
    """How many (history, next item) pairs the learning part holds."""
    return int(np.maximum(data.fit_end - 1, 0).sum())
