"""Which swept key matters: the share of a metric's variance over variants that each key explains by itself."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.experiments.comparison.families import flat_settings
from fleetrec.simulator.experiments.folders import Variant

Floats = NDArray[np.float64]

LEAST_TOLD = 0.01
"""share of the variance from which on a key is named"""


def shares_of_variance(variants: Sequence[Variant], values: Floats) -> tuple[dict[str, float], str]:
    """Share by key of the variance of values [V] over variants, largest first, and the method in words.

    On a full balanced grid: main effects (variance between a key's levels over all of it); what the shares leave of 1
    are interactions of keys. Elsewhere (samples, named variants): a first-order estimate on ranks, the correlation
    ratio with numbers in about sqrt(V) bins of equal count, less what chance alone would give it.
    """
    settings = _with_kinds([flat_settings(variant.settings) for variant in variants])
    keys = list(dict.fromkeys(key for held in settings for key in held))
    levels = {key: [_level(held.get(key)) for held in settings] for key in keys}
    levels = {key: held for key, held in levels.items() if len(set(held)) > 1}
    known = np.isfinite(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or not levels:
        return {}, "nothing varies"
    if known.all() and _balanced(levels):
        shares = {key: _between(np.unique(held, return_inverse=True)[1], values) for key, held in levels.items()}
        method = "main effects over the balanced grid"
    else:
        ranks = np.asarray(pd.Series(values[known]).rank(), dtype=np.float64)
        shares = {}
        for key in levels:
            cells = _bins([held.get(key) for held in settings], known)
            share, n = _between(cells, ranks), len(ranks)
            groups = int(cells.max()) + 1
            chance = (groups - 1) / (n - 1)
            shares[key] = max((share - chance) / (1 - chance), 0.0) if groups < n else math.nan
        shares = {key: share for key, share in shares.items() if not math.isnan(share)}
        method = "first-order estimate on ranks; shares of keys that go together overlap"
    return dict(sorted(shares.items(), key=lambda item: -item[1])), method


def _with_kinds(settings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same, where a section that some name by its kind alone (`policy.request: never`) is one key for all."""
    kinds = {key for held in settings for key in held if key.endswith(".kind")}
    return [{f"{key}.kind" if f"{key}.kind" in kinds else key: held[key] for key in held} for held in settings]


def _level(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _balanced(levels: dict[str, list[str]]) -> bool:
    """Whether the variants are each combination of the keys' levels, equally often."""
    combinations = list(zip(*levels.values(), strict=True))
    size = math.prod(len(set(held)) for held in levels.values())
    counts = {combination: combinations.count(combination) for combination in set(combinations)}
    return len(counts) == size and len(set(counts.values())) == 1


def _between(cells: NDArray[np.int64], values: Floats) -> float:
    counts = np.bincount(cells)
    means = np.bincount(cells, weights=values) / counts
    centred = values - values.mean()
    return float((counts * (means - values.mean()) ** 2).sum() / (centred**2).sum())


def _bins(held: Sequence[Any], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Levels as codes; many different numbers in about sqrt(V) bins of equal count."""
    kept = [value for value, there in zip(held, known, strict=True) if there]
    numbers = [value for value in kept if isinstance(value, int | float) and not isinstance(value, bool)]
    most = max(int(math.sqrt(len(kept))), 2)
    if len(numbers) < len(kept) or len(set(numbers)) <= most:
        return np.unique([_level(value) for value in kept], return_inverse=True)[1].astype(np.int64)
    places = np.floor((pd.Series(numbers).rank().to_numpy() - 0.5) / len(numbers) * most).astype(np.int64)
    return np.unique(places, return_inverse=True)[1].astype(np.int64)
