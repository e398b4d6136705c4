"""How users choose, leave and come back, given what items are worth to them: for any number of users at once.

A choice is Luce's rule by way of Gumbel noise: among the items that a user sees, weighed by their places, and nothing,
the one with the highest utility plus noise. All noise is keyed by (user, opportunity, item) and all moods by (user,
session), so that two runs meet the same users in the same moods though their histories part. See
docs/how-to/users.md.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.threads import for_each
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import CHOICES, Floats, Ints, Laws, Moments, State, UserModel, on_grid

OUTCOMES = ("slate", "organic", "skip", "wait", "away")
"""what an opportunity comes to: an item of the screen, one found alone, nothing, a screen that was not ready, or a user
who did not come to the session"""
SLATE, ORGANIC, SKIP, WAIT, AWAY = range(5)
ENDS = ("", "session", "life")
"""what ends after it, before its time"""
STAYS, LEAVES, STOPS = range(3)
_NOTHING = -1
_NOISE = "users.choice"
_FEW = 32
"""users whose whole catalogues are looked through at once: more leave the processor's cache"""


class Mood(NamedTuple):
    """How users [M] are."""

    satisfaction: Floats
    worn: Ints
    """skips and waits in this session"""

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Mood":
        """Those at `index`."""
        return Mood(self.satisfaction[index], self.worn[index])


class Chosen(NamedTuple):
    """What users [M] did at one opportunity."""

    outcome: Ints
    item: Ints
    """-1: none"""
    place: Ints
    """on the screen, from 0; -1: not from there"""
    utility: Floats
    """of the item; of taking nothing where there is none"""
    value: Floats
    """of the screen: the utility to be expected of the best that it offers, or of nothing; NaN where nobody looked"""
    best_value: Floats
    """of the best screen that there could have been"""


class Next(NamedTuple):
    """What follows it."""

    mood: Mood
    ends: Ints
    row: Ints
    """of the next opportunity that they come to; the end of their rows where there is none"""
    missed: list[tuple[Ints, Ints]]
    """(which of these users, first row of a session) to which they did not come, in order of time"""


@dataclass(frozen=True)
class Choosing:
    """Users who choose by `laws` on screens of `looks` places."""

    model: UserModel
    laws: Laws
    looks: int
    draws: Draws
    times: Opportunities

    def alone(self, user: Ints, opportunity: Ints) -> NDArray[np.bool_]:
        """Which of the users [M] look for something by themselves."""
        if self.laws.organic in (0.0, 1.0):
            return np.full(len(user), self.laws.organic == 1.0)
        return self.draws.uniform("users.organic", user, opportunity) < self.laws.organic

    def find(self, state: State, at: Moments) -> Chosen:
        """What users [M] find alone: the best of the catalogue by utility and noise."""
        item, own = np.empty(len(state), dtype=np.int64), np.empty(len(state))
        code = CHOICES.code(len(state))

        def compute(some: slice) -> None:
            utility = self.model.catalogue(state[some], at.take(some))
            item[some] = self._loudest(code, utility, at.take(some))
            own[some] = utility[np.arange(len(utility)), item[some]]

        for_each(compute, [slice(start, start + _FEW) for start in range(0, len(state), _FEW)])
        none = np.full(len(item), np.nan)
        return Chosen(np.full(len(item), ORGANIC), item, np.full(len(item), -1), own, none, none)

    def look(self, state: State, at: Moments, screens: Ints, hidden: NDArray[np.bool_]) -> Chosen:
        """What users [M] choose of screens [M, looks]; `hidden` [M, n_items]: what no screen may show."""
        utility = self.model.of(state, at, screens)
        weighed = utility + self._examined
        noisy = np.where(screens >= 0, weighed + self._noise(at, screens), -np.inf)
        place = noisy.argmax(axis=1)
        every = np.arange(len(place))
        nothing = self.laws.skip + self._noise(at, np.full((len(place), 1), _NOTHING))[:, 0]
        takes = noisy[every, place] > nothing
        best = self.model.best(state, at, hidden, self.looks)
        return Chosen(
            np.where(takes, SLATE, SKIP),
            np.where(takes, screens[every, place], -1),
            np.where(takes, place, -1),
            np.where(takes, utility[every, place], self.laws.skip),
            self._value(weighed),
            self._value(best + self._examined),
        )

    def wait(self, count: int) -> Chosen:
        """What so many users come to before a screen that is not ready."""
        item, place = np.full((2, count), -1)
        value, best_value = np.full((2, count), np.nan)
        return Chosen(np.full(count, WAIT), item, place, np.full(count, self.laws.skip), value, best_value)

    def follow(self, user: Ints, row: Ints, chosen: Chosen, mood: Mood) -> Next:
        """How users [M] are after opportunity `row` of the stream [M], and when their next one is."""
        laws, times = self.laws, self.times
        kept = laws.memory * mood.satisfaction
        nothing = (chosen.outcome == SKIP) | (chosen.outcome == WAIT)
        pleased = np.where(nothing, laws.unmet, chosen.utility - laws.satisfied)
        satisfaction = on_grid(kept + (1.0 - laws.memory) * pleased)
        worn = mood.worn + nothing
        session, following, end = times.session[row], times.following[row], times.end[user]
        tired = worn >= self._patience(user, session)
        over = tired | (row + 1 == following)
        ends = np.where(tired & (row + 1 < following), LEAVES, STAYS)
        next_row = np.where(over, following, row + 1)
        worn = np.where(over, 0, worn)
        over &= following < end
        log_odds = laws.churns + laws.churns_by_satisfaction * satisfaction
        stops = over & self._happens("users.stop", user, session, log_odds)
        ends, next_row = np.where(stops, STOPS, ends), np.where(stops, end, next_row)
        missed = []
        coming = np.flatnonzero(over & ~stops)
        odds = laws.returns + laws.returns_by_satisfaction * satisfaction
        while len(coming):
            at = next_row[coming]
            stays_away = coming[~self._happens("users.return", user[coming], times.session[at], odds[coming])]
            if len(stays_away):
                missed.append((stays_away, next_row[stays_away]))
                next_row[stays_away] = times.following[next_row[stays_away]]
            coming = stays_away[next_row[stays_away] < end[stays_away]]
        return Next(Mood(satisfaction, worn), ends, next_row, missed)

    # ------------------------------------------------------------------------------------------ parts

    @property
    def _examined(self) -> Floats:
        return on_grid(-self.laws.examination * np.log(np.arange(1.0, self.looks + 1.0)))

    def _noise(self, at: Moments, items: Ints) -> Floats:
        return gumbel_noise(self.draws, at, items)

    def _loudest(self, code: ModuleType | None, utility: Floats, at: Moments) -> Ints:
        """The items [M] that are worth most, noise included, of the whole catalogue [M, n_items]."""
        every = np.arange(self.model.n_items)[None]
        if code is None:
            return np.asarray((utility + self._noise(at, every)).argmax(axis=1))
        item: Ints = code.loudest(utility, self.draws.mixed(_NOISE, at.user, at.opportunity))
        for close in np.flatnonzero(item < 0).tolist():
            some = slice(close, close + 1)
            item[some] = (utility[some] + self._noise(at.take(some), every)).argmax(axis=1)
        return item

    def _value(self, weighed: Floats) -> Floats:
        """Log of the sum of exponentials [M] of utilities [M, K] and of that of nothing."""
        top = np.maximum(weighed.max(axis=1, initial=-np.inf), self.laws.skip)
        total = np.exp(weighed - top[:, None]).sum(axis=1) + np.exp(self.laws.skip - top)
        return on_grid(top + np.log(total))

    def _patience(self, user: Ints, session: Ints) -> Ints:
        """Skips and waits that these users bear in these sessions."""
        uniform = self.draws.uniform("users.patience", user, session)
        return np.maximum(1, np.ceil(-self.laws.patience * np.log(uniform))).astype(np.int64)

    def _happens(self, purpose: str, user: Ints, session: Ints, log_odds: Floats) -> NDArray[np.bool_]:
        uniform = self.draws.uniform(purpose, user, session)
        return np.asarray(on_grid(np.log(uniform) - np.log1p(-uniform)) < log_odds)


def gumbel_noise(draws: Draws, at: Moments, items: Ints) -> Floats:
    """Gumbel noise [M, K] of items [M or 1, K]."""
    noise = draws.uniform(_NOISE, at.user[:, None], at.opportunity[:, None], items)
    for _ in range(2):
        np.negative(np.log(noise, out=noise), out=noise)
    return on_grid(noise)
