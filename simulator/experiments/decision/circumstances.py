"""What of an experiment's variants is to be chosen, and what merely happens to be so: choices and circumstances."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetrec.simulator.experiments.folders import Variant

_AXES = {
    "llm.quality": "LLM quality",
    "tariffs": "prices",
    "cloud.api.price": "prices of the API",
    "cloud.api.latency": "latency of the API",
    "fleet.represents": "fleet size",
    "fleet.classes": "latency of the links",
    "workload": "workload",
    "fleet": "fleet",
    "duration": "duration",
}
"""names of axes by what the keys of circumstances begin with, the longest that fits"""


def axis_of(key: str) -> str | None:
    """The axis of a circumstance's key; None for a key that can be chosen: a policy, a cloud, a model."""
    fits = [start for start in _AXES if f"{key}.".startswith(f"{start}.")]
    return _AXES[max(fits, key=len)] if fits else None


@dataclass(frozen=True)
class Split:
    """Settings that were chosen, and circumstances, as they are compared: JSON by key."""

    chosen: Mapping[str, str]
    circumstances: Mapping[str, str]

    @classmethod
    def of(cls, variant: Variant) -> "Split":
        held = {key: json.dumps(value, sort_keys=True) for key, value in variant.settings.items()}
        apart = {key: value for key, value in held.items() if axis_of(key) is not None}
        return cls({key: value for key, value in held.items() if key not in apart}, apart)


@dataclass(frozen=True)
class Elsewhere:
    """A variant that differs from the choice in the circumstances of one axis alone."""

    axis: str
    variant: Variant
    settings: Mapping[str, Any]
    """those in which it differs; None: as in the base scenario"""
    beside: Variant | None
    """the rival that makes no request, there; none: there is no such variant"""


def choices(variants: Sequence[Variant], baseline: str) -> list[Variant]:
    """The variants under the circumstances of the baseline."""
    own = next(Split.of(variant) for variant in variants if variant.name == baseline).circumstances
    return [variant for variant in variants if Split.of(variant).circumstances == own]


def elsewhere(variants: Sequence[Variant], chosen: Variant, rival: Variant | None) -> list[Elsewhere]:
    """The chosen variant under other circumstances, one axis at a time, with the `rival` beside it, where there is
    one: circumstances that the rival was not tried in are left out."""
    own, found = Split.of(chosen), []
    beside = {}
    if rival is not None:
        like = [(Split.of(variant), variant) for variant in variants]
        beside = {_key(split): variant for split, variant in like if split.chosen == Split.of(rival).chosen}
    for variant in variants:
        other = Split.of(variant)
        keys = {*own.circumstances, *other.circumstances}
        differ = sorted(key for key in keys if own.circumstances.get(key) != other.circumstances.get(key))
        axes = {str(axis_of(key)) for key in differ}
        there = beside.get(_key(other))
        if other.chosen == own.chosen and len(axes) == 1 and (rival is None or there is not None):
            held = {key: variant.settings.get(key) for key in differ}
            found.append(Elsewhere(axes.pop(), variant, held, there))
    return found


def _key(split: Split) -> str:
    return json.dumps(split.circumstances, sort_keys=True)
