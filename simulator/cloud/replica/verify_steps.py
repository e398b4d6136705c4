"""How many steps a request's tokens take where each step verifies drafted ones: drawn from its exact law, at once.

A step gives one token, and one more for each draft that is accepted together with all before it. The steps until a
request has all its tokens are a renewal process's count: its distribution follows by recursion over the tokens.
"""

from bisect import bisect_left
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws

_TABLE = 512  # tokens up to which the law of the steps is tabled; more are taken off first, many steps at a time
_MOST_STEPS = 4096  # that are taken off at a time


class VerifySteps:
    """The law for drafts of which position i is accepted with chance `acceptance[i]` where those before it are."""

    def __init__(self, acceptance: tuple[float, ...]):
        at_least = [1.0, *accumulate(acceptance, mul), 0.0]  # chance of more than i tokens
        self.most = len(acceptance) + 1
        self.mean: float = sum(at_least)
        """tokens of a step in expectation"""
        self._gain = -np.diff(at_least)  # chance of 1, 2, ... tokens
        self._steps = [np.ones(1)]  # by tokens: chance of 0, 1, ... steps
        self._tables: dict[int, list[float]] = {}
        self._gains: dict[int, tuple[NDArray[np.float64], list[float]]] = {}

    def draw(self, tokens: int, uniform: Callable[..., float], *keys: Any) -> int:
        """Steps until there are `tokens` tokens, by numbers between 0 and 1: `uniform(*keys)`, and before it, where
        there are many tokens, `uniform(*keys, i)` for i = 0, 1, ..."""
        taken = asked = 0
        while tokens > _TABLE:
            steps = min(1 << (tokens // self.most).bit_length() - 1, _MOST_STEPS)  # never too many
            tokens -= steps + bisect_left(self._of_steps(steps)[1], uniform(*keys, asked))
            taken += steps
            asked += 1
        table = self._tables.get(tokens) or self._table(tokens)
        return taken + bisect_left(table, uniform(*keys))

    def _table(self, tokens: int) -> list[float]:
        """Chance that `tokens` tokens take at most 0, 1, ... steps."""
        table = self._tables[tokens] = _cumulative(self._of_tokens(tokens))
        return table

    def draw_all(self, tokens: NDArray[np.int64], draws: Draws, purpose: str) -> NDArray[np.int64]:
        """Of each [N]: what `draw` finds for its number; none where there are no tokens."""
        steps = np.zeros(len(tokens), dtype=np.int64)
        uniform = draws.uniform(purpose, np.arange(len(tokens)))
        for count in np.unique(tokens[tokens > 0]).tolist():
            rows = np.flatnonzero(tokens == count)
            if count > _TABLE:
                steps[rows] = [self.draw(count, draws.uniform_one, purpose, row) for row in rows.tolist()]
            else:
                steps[rows] = np.searchsorted(self._tables.get(count) or self._table(count), uniform[rows])
        return steps

    def _of_tokens(self, tokens: int) -> NDArray[np.float64]:
        """Chance that `tokens` tokens take 0, 1, ... steps."""
        for n in range(len(self._steps), tokens + 1):
            chances = np.zeros(n + 1)
            for gain, chance in enumerate(self._gain, start=1):
                before = self._steps[max(n - gain, 0)]
                chances[1 : 1 + len(before)] += chance * before
            self._steps.append(chances)
        return self._steps[tokens]

    def _of_steps(self, steps: int) -> tuple[NDArray[np.float64], list[float]]:
        """Chance of 0, 1, ... tokens beyond one a step, in a power of two of steps; and their cumulative sums."""
        if steps not in self._gains:
            chances = self._gain
            if steps > 1:
                half = self._of_steps(steps // 2)[0]
                chances = np.convolve(half, half)
            self._gains[steps] = chances, _cumulative(chances)
        return self._gains[steps]


def _cumulative(chances: NDArray[np.float64]) -> list[float]:
    sums = np.cumsum(chances)
    found: list[float] = (sums / sums[-1]).tolist()
    return found


@lru_cache(maxsize=64)
def verify_steps(acceptance: tuple[float, ...]) -> VerifySteps:
    """The law, with what it has tabled so far."""
    return VerifySteps(acceptance)
