"""The built-in world's truth: taste, intent and what was had, the same one by one and over the catalogue."""

import numpy as np
import pytest

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.truth import SyntheticTruth
from fleetrec.simulator.workload.users.utility import Ints, Moments, Past, largest

USERS, EACH = 20, 12


def world(freshness: float = 0.9) -> tuple[SyntheticTruth, Past, Moments]:
    """Users with three items behind them, at one moment each of their lives."""
    section = SyntheticWorld(users=USERS, items=150, freshness=freshness)
    first = np.arange(USERS) * EACH
    times = Opportunities.of(np.tile(np.arange(EACH) * 700.0, USERS), first, first + EACH, 1000.0)
    offsets = np.arange(USERS + 1) * 3
    past = Past(np.arange(USERS), offsets, np.arange(USERS * 3) % 150, np.zeros(USERS * 3))
    truth = SyntheticTruth(section, times, Draws(5), past)
    moment = np.arange(USERS) % EACH
    rows = first + moment
    return truth, past, Moments(np.arange(USERS), moment, times.session[rows], times.t_s[rows])


def every(items: int) -> Ints:
    """The whole catalogue for everybody."""
    return np.tile(np.arange(items), (USERS, 1))


def test_items_are_worth_the_same_one_by_one_and_over_the_catalogue() -> None:
    truth, past, at = world()
    state = truth.initial(past)
    assert np.array_equal(truth.of(state, at, every(150)), truth.catalogue(state, at))
    assert (truth.of(state, at, np.full((USERS, 2), -1)) == -np.inf).all()


def test_an_item_is_worth_five_less_once_it_was_had_and_what_follows_in_its_thread_more() -> None:
    truth, past, at = world()
    before = truth.initial(past)
    worth = truth.catalogue(before, at)
    best = worth.argmax(axis=1)
    row = np.arange(USERS)
    state = before.copy()
    truth.advance(state, row, at, best)
    after = truth.catalogue(state, at)
    assert (after[row, best] <= worth[row, best] - 5 + 1e-6).all()
    changed = after.copy()
    changed[row, best] = worth[row, best]
    assert (changed >= worth).all()
    assert (changed > worth).any()


def test_without_freshness_nothing_is_on_a_users_mind() -> None:
    truth, past, at = world(0.0)
    state = truth.initial(past)
    later = Moments(at.user, (at.opportunity + 5) % EACH, at.session, at.t_s)
    assert np.array_equal(truth.catalogue(state, at), truth.catalogue(state, later))


def test_intents_are_those_of_the_session_whatever_was_chosen() -> None:
    truth, past, at = world()
    state = truth.initial(past)
    later = Moments(at.user, (at.opportunity + 5) % EACH, at.session, at.t_s)
    assert not np.array_equal(truth.catalogue(state, at), truth.catalogue(state, later))


@pytest.mark.parametrize("some", [slice(0, 1), slice(4, 9)])
def test_a_users_utilities_hang_on_no_company(some: slice) -> None:
    truth, past, at = world()
    state = truth.initial(past)
    assert np.array_equal(truth.catalogue(state[some], at.take(some)), truth.catalogue(state, at)[some])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97], ids=["none", "some", "nearly all"])
def test_the_best_of_what_may_be_shown_is_that_of_the_whole_catalogue(share: float) -> None:
    truth, past, at = world()
    draw = np.random.default_rng(3)
    state = truth.initial(past) | (draw.random((USERS, 150)) < share / 2)
    hidden = draw.random((USERS, 150)) < share
    expected = largest(np.where(hidden, -np.inf, truth.catalogue(state, at)), 10)
    assert np.array_equal(truth.best(state, at, hidden, 10), expected)
