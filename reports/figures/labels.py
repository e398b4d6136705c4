"""Where text goes so that it covers nothing: labels around points, and labels in a column beside an axis.

Greedy placement over candidate positions by distance and direction, in the manner of Christensen, Marks and Shieber
(1995), "An empirical study of algorithms for point-feature label placement". All coordinates are pixels, y upwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_DIRECTIONS = tuple(math.radians(angle) for angle in (35, -35, 145, -145, 90, -90, 0, 180, 65, -65, 115, -115))
_DISTANCES_PX = (12.0, 20.0, 32.0, 48.0, 68.0, 92.0, 120.0, 160.0, 210.0)
_LEADER_FROM_PX = 26.0


@dataclass(frozen=True)
class Box:
    """A rectangle with x0 <= x1 and y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def padded(self, by: float) -> "Box":
        return Box(self.x0 - by, self.y0 - by, self.x1 + by, self.y1 + by)

    def overlap(self, other: "Box") -> float:
        """Area in common, square pixels."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return width * height if width > 0 and height > 0 else 0.0

    def holds(self, other: "Box") -> bool:
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1


@dataclass(frozen=True)
class Placed:
    """A label's box, and whether it stands so far from its point that a line has to join them."""

    box: Box
    leader: bool


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    inside: Box,
    obstacles: Sequence[Box],
    faint: Sequence[Box] = (),
) -> list[Placed]:
    """A box for each label, inside `inside`, clear of obstacles, of points and of each other where room allows.

    points and sizes: one (x, y) and one (width, height) a label. `faint` things (grid-like lines) are covered where
    there is no other place. The most crowded points choose first; ties go by order, so the result is deterministic.
    """
    nearest = [
        min((math.dist(p, q) for j, q in enumerate(points) if j != i), default=0.0) for i, p in enumerate(points)
    ]
    placed: dict[int, Placed] = {}
    for i in sorted(range(len(points)), key=lambda i: (nearest[i], i)):
        taken = [*obstacles, *(done.box.padded(3) for done in placed.values())]
        best: tuple[float, Placed] | None = None
        for distance in _DISTANCES_PX:
            for turn, direction in enumerate(_DIRECTIONS):
                box = _beside(points[i], sizes[i], distance, direction)
                if not inside.holds(box):
                    continue
                cost = 100 * sum(box.overlap(other) for other in taken) + 3 * sum(box.overlap(other) for other in faint)
                cost += distance + turn + (_crossings(points[i], box, taken, points) * 400 if distance > 20 else 0)
                if best is None or cost < best[0]:
                    best = cost, Placed(box, distance > _LEADER_FROM_PX)
        placed[i] = best[1] if best else Placed(_clamped(_beside(points[i], sizes[i], 12.0, 0.0), inside), True)
    return [placed[i] for i in range(len(points))]


def _beside(point: tuple[float, float], size: tuple[float, float], distance: float, direction: float) -> Box:
    # The box touches, with its nearest edge or corner, the spot `distance` away from the point.
    x, y = point[0] + distance * math.cos(direction), point[1] + distance * math.sin(direction)
    x0 = x - size[0] * (0.5 - 0.5 * _sign(math.cos(direction)))
    y0 = y - size[1] * (0.5 - 0.5 * _sign(math.sin(direction)))
    return Box(x0, y0, x0 + size[0], y0 + size[1])


def _sign(value: float) -> float:
    return max(-1.0, min(1.0, 2.0 * value))


def _clamped(box: Box, inside: Box) -> Box:
    dx = min(0.0, inside.x1 - box.x1) + max(0.0, inside.x0 - box.x0)
    dy = min(0.0, inside.y1 - box.y1) + max(0.0, inside.y0 - box.y0)
    return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)


def anchor(point: tuple[float, float], box: Box) -> tuple[float, float]:
    """The spot of the box nearest to the point, where a leader line ends."""
    return min(max(point[0], box.x0), box.x1), min(max(point[1], box.y0), box.y1)


def _crossings(
    point: tuple[float, float], box: Box, taken: Sequence[Box], points: Sequence[tuple[float, float]]
) -> int:
    """How many other things the line from the point to its label would run over."""
    end = anchor(point, box)
    steps = [(point[0] + (end[0] - point[0]) * s, point[1] + (end[1] - point[1]) * s) for s in (0.25, 0.5, 0.75)]
    others = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points if (x, y) != point]
    around = [other for other in [*taken, *others] if not other.padded(1).holds(Box(*point, *point))]
    return sum(any(other.holds(Box(x, y, x, y)) for x, y in steps) for other in around)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions in [low, high] nearest (least squares) to those wanted, in their order, at least `gap` apart.

    Pools neighbours that collide into blocks around their mean, as isotonic regression does. Where the range is too
    short for all, the gap shrinks to what fits.
    """
    n = len(wanted)
    if n == 0:
        return []
    gap = min(gap, (high - low) / max(n - 1, 1))
    order = sorted(range(n), key=lambda i: (wanted[i], i))
    blocks: list[tuple[float, int]] = []  # (sum of wanted - gap * rank, members)
    for rank, i in enumerate(order):
        total, members = wanted[i] - gap * rank, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / members:
            before = blocks.pop()
            total, members = total + before[0], members + before[1]
        blocks.append((total, members))
    levels = [total / members for total, members in blocks for _ in range(members)]
    result = [0.0] * n
    for rank, (i, level) in enumerate(zip(order, levels, strict=True)):
        result[i] = min(max(level, low), high - gap * (n - 1)) + gap * rank
    return result
