"""How many seeds would show a difference at the level at which it would be said, sampling of users included."""

import math

import numpy as np
from scipy.special import gammaincinv, ndtr, stdtrit

POWER = 0.8
MOST_SEEDS = 1_000
_NODES = np.linspace(-7.0, 7.0, 141)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()


def power_at(effect: float, deviation: float, n: int, users: float = 0.0, level: float = 0.95) -> float:
    """Chance that a difference `effect` is shown by `Estimates.bound` at n seeds.

    deviation: its standard deviation over seeds; users: the variance that seeds have in common, since they meet the
    same users, which no seed takes away.
    """
    spread = 2 * gammaincinv((n - 1) / 2, ndtr(_NODES)) / (n - 1) * deviation**2 / n  # the variance as it may be seen
    t, normal = float(stdtrit(n - 1, 0.5 + level / 2)), float(stdtrit(1e9, 0.5 + level / 2))
    beyond = abs(effect) - np.sqrt(spread * t**2 + users * normal**2)
    return float((ndtr(beyond / math.sqrt(deviation**2 / n + users)) * _WEIGHTS).sum())


def seeds_needed(effect: float, deviation: float, users: float = 0.0, level: float = 0.95) -> int | None:
    """Fewest seeds, at least 2, at which a true difference `effect` is shown with 80% chance.

    None where more than 1,000 would be needed, or no number would do, since the users are too few.
    """
    if not (math.isfinite(effect) and math.isfinite(deviation) and math.isfinite(users)) or effect == 0:
        return None
    if deviation == 0 and users == 0:
        return 2
    low, high = 2, MOST_SEEDS
    if power_at(effect, deviation, high, users, level) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = power_at(effect, deviation, middle, users, level) >= POWER
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def seeds_to_show(effect: float, deviation: float, users: float, seeds: int, level: float, shown: bool) -> int | None:
    """How many more seeds would show a difference that looks like `effect`: 0 where it is shown already.

    None where one seed says nothing of the deviation, or where no number up to 1,000 would do.
    """
    if shown:
        return 0
    if seeds < 2:
        return None
    needed = seeds_needed(effect, deviation, users, level)
    return None if needed is None else max(needed - seeds, 1)
