"""How many seeds would resolve a difference: the power of the paired t test over seeds."""

import math

from scipy.special import nctdtr, stdtrit

from simulator.experiments.statistics.estimates import ENOUGH_SEEDS

POWER = 0.8
MOST_SEEDS = 1_000


def power_of_t(effect: float, deviation: float, n: int, level: float = 0.95) -> float:
    """Chance that the t interval of n normal differences, of mean `effect` and that deviation, is all on its side."""
    t = float(stdtrit(n - 1, 0.5 + level / 2))
    centre = abs(effect) / deviation * math.sqrt(n)
    if centre > 30:
        return 1.0
    return float(1 - nctdtr(n - 1, centre, t))


def seeds_needed(effect: float, deviation: float) -> int | None:
    """Fewest seeds, at least 2, at which a true difference `effect` is resolved with 80% chance.

    deviation: standard deviation of the difference over seeds. None where more than 1,000 are needed.
    """
    if not (math.isfinite(effect) and math.isfinite(deviation)) or effect == 0:
        return None
    if deviation == 0:
        return 2
    low, high = 2, MOST_SEEDS
    if power_of_t(effect, deviation, high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of_t(effect, deviation, middle) >= POWER else (middle + 1, high)
    return low


def seeds_to_resolve(effect: float, deviation: float, seeds: int, resolved: bool) -> int | None:
    """How many more seeds would resolve a difference that looks like `effect`: 0 where it is resolved already.

    None where one seed says nothing of the deviation, or where more than 1,000 would be needed.
    """
    if resolved:
        return 0
    if seeds < 2:
        return None
    needed = seeds_needed(effect, deviation)
    return None if needed is None else max(needed - seeds, ENOUGH_SEEDS - seeds, 1)
