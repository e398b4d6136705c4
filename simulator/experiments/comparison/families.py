"""Families of variants: those that differ only in how often they ask the cloud, and what they reach at equal ratios."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.folders import Variant
from fleetrec.simulator.experiments.statistics import Estimates, holm

Floats = NDArray[np.float64]
Span = tuple[float, float]

_KNOBS = "policy.request."
_COMMON_RATIOS = 5


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings under dotted names, whole sections (`policy.request: {kind: random}`) taken apart."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flat_settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def families(variants: Sequence[Variant]) -> dict[str, list[int]]:
    """Places of the variants of each family, by its label: their settings without the request policy's numbers."""
    found: dict[str, list[int]] = {}
    for i, variant in enumerate(variants):
        words = []
        for key, value in flat_settings(variant.settings).items():
            if key.startswith(_KNOBS) and isinstance(value, int | float) and not isinstance(value, bool):
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            words.append(text if key == f"{_KNOBS}kind" else f"{key}={text}")
        found.setdefault(", ".join(words) or ("base scenario" if variant.settings else variant.name), []).append(i)
    return found


@dataclass(frozen=True)
class EqualRatio:
    """Rows of what each family reaches at common request ratios, and what could not be compared."""

    rows: list[dict[str, Any]]
    notes: list[Note]


def at_equal_ratio(variants: Sequence[Variant], baseline: int, ratios: Floats, measure: Measure) -> EqualRatio:
    """Interpolate each family's metric, linear in the realised request ratio, at ratios that families share.

    ratios [V, S]: requests an interaction of each run. Interpolation is seed by seed and for each user, so pairing is
    kept; a family is compared at ratios that it has runs on both sides of at every seed. The reference is the
    baseline's family. p is adjusted by Holm over all rows.
    """
    groups = families(variants)
    spans = {label: _span(ratios[members]) for label, members in groups.items()}
    able: dict[str, Span] = {label: span for label, span in spans.items() if span is not None}
    said = "equal ratio: '{family}' has no variants on two sides of a ratio, so it is not compared"
    notes = [note("equal_ratio_one_side", said, family=label) for label in groups if label not in able]
    own = next(label for label, members in groups.items() if baseline in members)
    if len(able) < 2:
        said = "equal ratio: fewer than two families span ratios; sweep the request ratio"
        return EqualRatio([], [*notes, note("equal_ratio_none", said)])
    reference = own if own in able else next(iter(able))
    if reference != own:
        said = "equal ratio: the baseline's family spans no ratios; '{family}' is the reference instead"
        notes.append(note("equal_ratio_reference", said, family=reference))
    rows: list[dict[str, Any]] = []
    for ratio in _common_ratios(ratios[groups[reference]].mean(axis=1), able, reference):
        there = [label for label, span in able.items() if span[0] <= ratio <= span[1]]
        sums = {label: _interpolated(measure.sums, ratios, groups[label], ratio) for label in there}
        for label in there:
            difference = None if label == reference else measure.of(sums[label] - sums[reference])
            rows.append(_row(label, ratio, measure.of(sums[label]), difference))
    adjusted = holm(np.array([np.nan if row["p"] is None else row["p"] for row in rows], dtype=np.float64))
    for row, p in zip(rows, adjusted, strict=True):
        row["p_adjusted"] = None if np.isnan(p) else float(p)
    compared = {row["family"] for row in rows}
    said = "equal ratio: '{family}' ({low:.2f} to {high:.2f}) shares no ratio with '{reference}'"
    notes += [
        note("equal_ratio_apart", said, family=label, low=span[0], high=span[1], reference=reference)
        for label, span in able.items()
        if label not in compared
    ]
    return EqualRatio(rows, notes)


def _span(ratios: Floats) -> Span | None:
    """The ratios that a family [F, S] has runs on both sides of at every seed; None where there are none."""
    low, high = float(ratios.min(axis=0).max()), float(ratios.max(axis=0).min())
    return (low, high) if low < high else None


def _common_ratios(own: Floats, able: Mapping[str, Span], reference: str) -> list[float]:
    """The reference's own mean ratios that another family reaches; where there is none, five between the ends."""
    low, high = able[reference]
    others = [span for label, span in able.items() if label != reference]
    shared = [r for r in np.unique(np.clip(own, low, high)).tolist() if any(s[0] <= r <= s[1] for s in others)]
    if shared:
        return shared
    overlaps = [(max(low, span[0]), min(high, span[1])) for span in others]
    overlaps = [span for span in overlaps if span[0] < span[1]]
    return np.linspace(*max(overlaps, key=lambda s: s[1] - s[0]), _COMMON_RATIOS).tolist() if overlaps else []


def _interpolated(sums: Floats, ratios: Floats, members: Sequence[int], ratio: float) -> Floats:
    """A mixture [S, U] of the members' sums: at each seed of the two whose ratios are next to `ratio`."""
    mixed = np.zeros(sums.shape[1:])
    for s in range(sums.shape[1]):
        order = sorted(members, key=lambda v: float(ratios[v, s]))
        at = [float(ratios[v, s]) for v in order]
        above = min(max(int(np.searchsorted(at, ratio)), 1), len(order) - 1)
        share = (ratio - at[above - 1]) / max(at[above] - at[above - 1], 1e-12)
        share = min(max(share, 0.0), 1.0)
        mixed[s] = (1 - share) * sums[order[above - 1], s] + share * sums[order[above], s]
    return mixed


def _row(label: str, ratio: float, mean: Estimates, difference: Estimates | None) -> dict[str, Any]:
    row = {"family": label, "ratio": ratio, "mean": float(mean.mean), "low": float(mean.low), "high": float(mean.high)}
    found = (difference.mean, difference.low, difference.high, difference.p) if difference is not None else [None] * 4
    names = ("difference", "difference_low", "difference_high", "p")
    return row | {name: None if x is None else float(x) for name, x in zip(names, found, strict=True)}
