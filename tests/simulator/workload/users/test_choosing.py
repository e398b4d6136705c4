"""Users choose by weight, leave when they are tired, and come back when they were pleased."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.workload.users.choosing import LEAVES, SKIP, SLATE, STAYS, STOPS, WAIT, Choosing, Mood
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import Floats, Ints, Laws, Moments, Past, State, largest

MANY = 60_000


class Fixed:
    """Items that are worth the same to everybody, always."""

    def __init__(self, *worth: float):
        self.worth, self.n_items, self.laws = np.array(worth), len(worth), Laws()

    def initial(self, past: Past) -> State:
        """Nothing is kept."""
        return np.zeros((len(past.users), 1))

    def advance(self, state: State, some: Ints, at: Moments, items: Ints) -> None:
        """Nothing changes."""

    def of(self, state: State, at: Moments, items: Ints) -> Floats:
        """See UserModel."""
        return np.where(items >= 0, self.worth[items], -np.inf)

    def catalogue(self, state: State, at: Moments) -> Floats:
        """See UserModel."""
        return np.tile(self.worth, (len(state), 1))

    def best(self, state: State, at: Moments, hidden: NDArray[np.bool_], count: int) -> Floats:
        """See UserModel."""
        return largest(np.where(hidden, -np.inf, self.worth), count)


def choosing(model: Fixed, laws: Laws, looks: int = 4, gaps: tuple[float, ...] = ()) -> Choosing:
    """Users with one opportunity each, or one user with gaps between its opportunities."""
    t_s = np.cumsum((0.0, *gaps)) if gaps else np.zeros(MANY)
    first, end = (np.array([0]), np.array([len(t_s)])) if gaps else (np.arange(MANY), np.arange(MANY) + 1)
    return Choosing(model, laws, looks, Draws(3), Opportunities.of(t_s, first, end, 1800.0))


def everybody(nth: int = 0) -> Moments:
    """A moment of many users."""
    return Moments(np.arange(MANY), np.full(MANY, nth), np.zeros(MANY, np.int64), np.zeros(MANY))


def looked(users: Choosing, screen: list[int], nth: int = 0) -> tuple[Ints, Floats, Floats]:
    """Counts of the items taken, and the mean values of this screen and of the best one."""
    model = users.model
    screens = np.tile(np.array(screen), (MANY, 1))
    hidden = np.zeros((MANY, model.n_items), dtype=bool)
    chosen = users.look(np.zeros((MANY, 1)), everybody(nth), screens, hidden)
    return np.bincount(chosen.item + 1, minlength=model.n_items + 1), chosen.value, chosen.best_value


def test_where_position_is_all_that_counts_a_choice_follows_the_examination_law() -> None:
    users = choosing(Fixed(0, 0, 0, 0), replace(Laws(), skip=-np.inf, examination=0.8))
    counts = sum(looked(users, [2, 0, 3, 1], nth)[0] for nth in range(20))
    law = np.arange(1.0, 5.0) ** -0.8
    assert counts[1:][[2, 0, 3, 1]] / counts.sum() == pytest.approx(law / law.sum(), rel=0.01)  # 4 standard errors


def test_an_item_is_taken_by_the_odds_of_its_utility_against_those_of_nothing() -> None:
    counts, _, _ = looked(choosing(Fixed(1.0, -9.0), replace(Laws(), skip=0.0), 1), [0])
    assert abs(counts[1] / MANY - 1 / (1 + np.exp(-1.0))) < 0.01


def test_the_slate_in_the_order_of_utilities_has_no_regret_and_every_other_one_has_some() -> None:
    users = choosing(Fixed(1.0, 3.0, 2.0, 0.5, -1.0), Laws())
    _, value, best = looked(users, [1, 2, 0, 3])
    assert (value == best).all()
    for screen in ([2, 1, 0, 3], [1, 2, 0, 4], [1, 2, 0, -1]):
        _, value, best = looked(users, screen)
        assert (value < best).all()


def test_what_is_not_on_the_screen_is_never_taken() -> None:
    counts, _, _ = looked(choosing(Fixed(0.0, 9.0, 9.0), replace(Laws(), skip=-np.inf), 2), [0, -1])
    assert counts.tolist() == [0, MANY, 0, 0]


def test_what_users_find_alone_goes_by_its_utility() -> None:
    users = choosing(Fixed(0.0, 1.0), Laws())
    found = users.find(np.zeros((MANY, 1)), everybody())
    assert abs((found.item == 1).mean() - 1 / (1 + np.exp(-1.0))) < 0.01


def test_skips_and_waits_wear_patience_out_and_the_rest_of_the_session_falls_away() -> None:
    laws = replace(Laws(), patience=1e-9, returns=50.0, churns=-50.0)
    users = choosing(Fixed(0.0), laws, gaps=(10.0, 10.0, 4000.0, 10.0))
    rested = Mood(np.zeros(1), np.zeros(1, np.int64))
    waits = users.follow(np.array([0]), np.array([0]), users.wait(1), rested)
    assert (waits.ends[0], waits.row[0], waits.mood.worn[0]) == (LEAVES, 3, 0)
    takes = users.wait(1)._replace(outcome=np.array([SLATE]), utility=np.array([9.0]))
    stays = users.follow(np.array([0]), np.array([0]), takes, rested)
    assert (stays.ends[0], stays.row[0]) == (STAYS, 1)
    assert stays.mood.satisfaction[0] > 0 > waits.mood.satisfaction[0]
    assert users.wait(1).outcome[0] == WAIT != SKIP


def test_to_find_nothing_pleases_nobody_whatever_it_is_worth_beside_what_they_chose() -> None:
    """Users of a log: nothing is worth what the best of screens are, and so more than most of what they chose."""
    users = choosing(Fixed(0.0), replace(Laws(), skip=7.0, satisfied=3.0), gaps=(10.0,))
    rested = Mood(np.zeros(1), np.zeros(1, np.int64))
    for outcome in (SKIP, WAIT):
        found = users.wait(1)._replace(outcome=np.array([outcome]))
        after = users.follow(np.array([0]), np.array([0]), found, rested).mood.satisfaction[0]
        assert after == pytest.approx(0.2 * -2.0, abs=1e-6)


def test_who_is_never_pleased_stops_or_stays_away_for_ever() -> None:
    sad = Mood(np.full(1, -1.0), np.zeros(1, np.int64))
    gaps = (4000.0,) * 4
    users = choosing(Fixed(0.0), replace(Laws(), churns=50.0), gaps=gaps)
    assert users.follow(np.array([0]), np.array([0]), users.wait(1), sad).ends[0] == STOPS
    users = choosing(Fixed(0.0), replace(Laws(), churns=-50.0, returns=-50.0), gaps=gaps)
    gone = users.follow(np.array([0]), np.array([0]), users.wait(1), sad)
    assert gone.row[0] == 5
    assert [rows.tolist() for _, rows in gone.missed] == [[1], [2], [3], [4]]


def test_what_becomes_of_a_user_hangs_on_no_company() -> None:
    users = choosing(Fixed(0.0, 1.0, 2.0), Laws(), 2)
    screens, hidden = np.tile([0, 2], (MANY, 1)), np.zeros((MANY, 3), dtype=bool)
    at, state = everybody(), np.zeros((MANY, 1))
    together = users.look(state, at, screens, hidden)
    for one in (0, 7, 1234):
        alone = users.look(state[:1], at.take(slice(one, one + 1)), screens[:1], hidden[:1])
        assert [column[0] for column in alone] == [column[one] for column in together]
