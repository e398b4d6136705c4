"""The variants of a sweep: every named variant with every combination of the axes, the zipped and the sampled points.

A variant is named by its group and by the values that it has on the axes, so a name says what was changed.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.folders import Variant
from fleetrec.simulator.experiments.sweeps.reading import Axes, Samples, Settings, Span, Sweep
from fleetrec.simulator.scenario.building import number_of
from fleetrec.simulator.scenario.reading import Node, Place, Scalar

MOST = 100_000
"""variants that a file may describe before a budget draws from them"""
ONLY = "base"
"""name of the one variant of a file that varies nothing"""


@dataclass(frozen=True)
class Point:
    """A variant with its settings as they stand in the file."""

    variant: Variant
    settings: Settings


def expand(sweep: Sweep) -> list[Point]:
    """Every variant of the file, in its order. InputError where two of them have one name, or there are too many."""
    groups = [(group.name, group.settings, group.axes) for group in sweep.groups] or [("", {}, {})]
    zipped, sampled = _zipped(sweep.zipped), _sampled(sweep.samples)
    total = len(zipped) * len(sampled) * _size(sweep.axes) * sum(_size(axes) for _, _, axes in groups)
    if total > MOST:
        raise InputError(f"{sweep.path}: describes {total:,} variants, more than {MOST:,}; shorten an axis or sample")
    found: list[tuple[list[str], Settings, Settings]] = []  # names, what the group sets, what the axes set
    for name, settings, axes in groups:
        for number, (own, grid, pair, drawn) in enumerate(
            itertools.product(_grid(axes), _grid(sweep.axes), zipped, sampled)
        ):
            point = [f"p{number % len(sampled) + 1}"] if sweep.samples else []  # draws may come out alike
            found.append(([*([name] if name else []), *point], settings, {**own, **grid, **pair, **drawn}))
    labels = _labels([key for _, _, on_axes in found for key in on_axes])
    points: dict[str, Point] = {}
    folders: set[str] = set()
    for called_so_far, settings, on_axes in found:
        clash = next((key for key in on_axes if key in settings), None)
        if clash is not None:
            name = called_so_far[0]
            raise InputError(f"{on_axes[clash].place}: {clash} is set by the variant {name!r} too; drop one of the two")
        called = " ".join([*called_so_far, *(f"{labels[key]}={text(value)}" for key, value in on_axes.items())]) or ONLY
        if called in points:
            where = next(iter(on_axes.values())).place if on_axes else sweep.place("variants")
            raise InputError(f"{where}: two variants are named {called!r}; drop one of the two equal values")
        every = {**settings, **on_axes}
        variant = Variant(called, _folder(called, folders), _settings(every))
        points[called] = Point(variant, every)
    return list(points.values())


def _settings(every: Settings) -> dict[str, Any]:
    """Settings as a manifest holds them: a section that is given with its kind is that kind and the rest of its keys,
    so that it stands beside variants that name the kind alone."""
    settings: dict[str, Any] = {}
    for key, node in every.items():
        value = plain(node)
        if isinstance(value, dict) and "kind" in value:
            settings[key] = value["kind"]
            settings |= {f"{key}.{name}": held for name, held in value.items() if name != "kind"}
        else:
            settings[key] = value
    return settings


def draw(points: Sequence[Point], most: int, kept: str | None) -> list[Point]:
    """At most so many of the points in their order: `kept`, and others drawn at random, the same ones every time."""
    if len(points) <= most:
        return list(points)
    rank = np.random.default_rng(0).permutation(len(points))
    first = [i for i, point in enumerate(points) if point.variant.name == kept]
    others = [int(i) for i in np.argsort(rank) if int(i) not in first]
    return [points[i] for i in sorted([*first, *others][:most])]


def _size(axes: Axes) -> int:
    return math.prod(len(values) for values in axes.values())


def _grid(axes: Axes) -> list[Settings]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _zipped(axes: Axes) -> list[Settings]:
    return [dict(zip(axes, values, strict=True)) for values in zip(*axes.values(), strict=True)] if axes else [{}]


def _sampled(samples: Samples | None) -> list[Settings]:
    if samples is None:
        return [{}]
    plan, rng = samples.plan, np.random.default_rng(samples.plan.seed)
    columns: dict[str, list[Node]] = {}
    for key, over in samples.over.items():
        spread = rng.random(plan.n)
        if plan.method == "latin_hypercube":
            spread = (rng.permutation(plan.n) + spread) / plan.n
        columns[key] = _on_span(over, spread) if isinstance(over, Span) else _of_choices(over, spread)
    return _zipped(columns)


def _on_span(span: Span, spread: NDArray[np.float64]) -> list[Node]:
    """Values [n] at places `spread` [n] in [0, 1) of a span, to six digits; integers have equal chances."""
    low, high = (span.low, span.high + 1) if span.integer else (span.low, span.high)
    values = low * (high / low) ** spread if span.log else low + spread * (high - low)
    if span.integer:
        texts = [str(int(value)) for value in np.minimum(np.floor(values), span.high)]
    else:
        texts = [f"{value:.6g}" for value in values]
    return [Node(Scalar(f"{number}{span.unit}"), span.place) for number in texts]


def _of_choices(values: list[Node], spread: NDArray[np.float64]) -> list[Node]:
    return [values[int(place * len(values))] for place in spread]


def _labels(keys: Sequence[str]) -> dict[str, str]:
    """The shortest endings of dotted keys that tell them apart."""
    labels: dict[str, str] = {}
    distinct = list(dict.fromkeys(keys))
    for key in distinct:
        parts = key.split(".")
        endings = [".".join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]
        labels[key] = next(
            end for end in endings if end == key or not any(k != key and f".{k}".endswith(f".{end}") for k in distinct)
        )
    return labels


def _folder(name: str, taken: set[str]) -> str:
    """A short name for a folder, also where capitals do not count."""
    short = re.sub(r"[^A-Za-z0-9_.=-]+", "-", name).strip("-.")[:80] or "variant"
    folder, number = short, 1
    while folder.lower() in taken:
        number += 1
        folder = f"{short}-{number}"
    taken.add(folder.lower())
    return folder


def plain(node: Node) -> Any:
    """A setting as JSON would hold it."""
    content = node.content
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list):
        return [plain(value) for value in content]
    if content.is_null:
        return None
    if content.plain and content.text in ("true", "false"):
        return content.text == "true"
    number = number_of(content.text) if content.plain else None
    return content.text if number is None or not math.isfinite(number) else number


def text(node: Node) -> str:
    """A setting in a few letters: `0.2`, `random(ratio=0.2)`."""
    content = node.content
    if isinstance(content, list):
        return f"[{','.join(text(value) for value in content)}]"
    if isinstance(content, Scalar):
        return "null" if content.is_null else " ".join(content.text.split())
    kind = content.get("kind")
    rest = ",".join(f"{name}={text(value)}" for name, value in content.items() if value is not kind)
    return f"{text(kind) if kind else ''}({rest})" if rest else text(kind or Node(Scalar("{}"), Place("")))
