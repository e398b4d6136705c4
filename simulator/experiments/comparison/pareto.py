"""Fronts over two or three objectives: which points nothing beats, how much they cover, where the front bends.

Less is better in every coordinate of a point; a metric of which more is better has its sign changed.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Direction = Literal["maximize", "minimize"]


def nondominated(points: Floats) -> NDArray[np.bool_]:
    """Which of points [..., V, K] no other one beats: as good in every coordinate and better in one.

    Equal points do not beat each other. A point with a NaN is not on the front and beats nothing.
    """
    on_front = np.asarray(~np.isnan(points).any(axis=-1))
    for j in range(points.shape[-2]):
        rival = points[..., j : j + 1, :]
        with np.errstate(invalid="ignore"):
            on_front = on_front & ~((rival <= points).all(axis=-1) & (rival < points).any(axis=-1))
    return on_front


def hypervolume(points: Floats, reference: Floats) -> Floats:
    """Volume between points [..., V, K] (K 2 or 3) and the reference [K], exactly; shape [...].

    What is not better than the reference in every coordinate covers nothing. For K 3 the space is cut into slabs at
    the third coordinates: what a slab holds is the area of the points under it.
    """
    known = (points < reference).all(axis=-1, keepdims=True)
    inside = np.where(known, points, reference)
    if points.shape[-1] == 2:
        return _area(inside, reference)
    if points.shape[-1] != 3:
        raise ValueError("the hypervolume is that of two or three objectives")
    order = np.argsort(inside[..., 2], axis=-1, kind="stable")
    inside = np.take_along_axis(inside, order[..., None], axis=-2)
    top = np.broadcast_to(reference[2], (*inside.shape[:-2], 1))
    heights = np.diff(np.concatenate([inside[..., 2], top], axis=-1), axis=-1)  # [..., V]
    volume = np.zeros(points.shape[:-2])
    for i in range(points.shape[-2]):
        volume = volume + heights[..., i] * _area(inside[..., : i + 1, :2], reference[:2])
    return volume


def _area(points: Floats, reference: Floats) -> Floats:
    """Area of the union of the rectangles between points [..., V, 2] and the reference [2]; none is beyond it."""
    order = np.argsort(points[..., 0], axis=-1, kind="stable")
    x = np.take_along_axis(points[..., 0], order, axis=-1)
    y = np.minimum.accumulate(np.take_along_axis(points[..., 1], order, axis=-1), axis=-1)
    width = np.diff(np.concatenate([x, np.broadcast_to(reference[0], (*x.shape[:-1], 1))], axis=-1), axis=-1)
    return np.asarray((width * (reference[1] - y)).sum(axis=-1))


def knee(points: Floats) -> int | None:
    """Index of the point of a front, points [V, 2], furthest below the line between its ends (both axes scaled to 1).

    None where the front has no such point: fewer than three points, or none below the line.
    """
    front = np.flatnonzero(nondominated(points))
    if len(front) < 3:
        return None
    low, high = points[front].min(axis=0), points[front].max(axis=0)
    if (low == high).any():
        return None
    scaled = (points[front] - low) / (high - low)
    below = 1.0 - scaled.sum(axis=1)  # the ends lie at (0, 1) and (1, 0)
    best = int(np.argmax(below))
    return int(front[best]) if below[best] > 1e-9 else None
