"""What users want and find in compiled code is what truth.py and choosing.py say, to the last bit: tests drive both."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleetrec.simulator.core.machine_code import SWITCH
from fleetrec.simulator.core.randomness import Draws, RegionDraws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.users import choosing, truth
from fleetrec.simulator.workload.users.choosing import Choosing
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.truth import SyntheticTruth
from fleetrec.simulator.workload.users.utility import CHOICES, Floats, Laws, Moments, Past

USERS, EACH, ITEMS = 12, 6, 150


@pytest.fixture(scope="module")
def code() -> ModuleType:
    """The machine code."""
    found = CHOICES.code(10**9)
    assert found is not None
    return found


def both(work: Callable[[], NDArray[np.generic]]) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """What `work` gives in compiled code, and what it gives without."""
    with pytest.MonkeyPatch.context() as patch:
        compiled = work()
        patch.setenv(SWITCH, "off")
        return compiled, work()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.5, 0.9]), st.floats(0, 1), st.floats(0, 1), st.integers(1, 20))
def test_items_are_worth_the_same(
    code: ModuleType, seed: int, freshness: float, had: float, hidden: float, count: int
) -> None:
    """Users who have had much or little, screens of which much or little may not be shown, places without an item; few
    favourites, so that the whole catalogue must be looked through for some and for others not."""
    draw, first = np.random.default_rng(seed), np.arange(USERS) * EACH
    times = Opportunities.of(np.tile(np.arange(EACH) * 700.0, USERS), first, first + EACH, 1000.0)
    nobody = Past(np.arange(USERS), np.zeros(USERS + 1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    section = SyntheticWorld(users=USERS, items=ITEMS, freshness=freshness, seed=seed % 7)

    def met() -> SyntheticTruth:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(truth, "_FAVOURITES", 25)
            return SyntheticTruth(section, times, Draws(seed), nobody)

    users = met()
    moment = draw.integers(EACH, size=USERS)
    rows = first + moment
    at = Moments(np.arange(USERS), moment, times.session[rows], times.t_s[rows])
    state, screens = draw.random((USERS, ITEMS)) < had, draw.integers(-1, ITEMS, size=(USERS, 9))
    not_shown = draw.random((USERS, ITEMS)) < hidden
    np.testing.assert_array_equal(*both(lambda: users.of(state, at, screens)))
    np.testing.assert_array_equal(*both(lambda: users.catalogue(state, at)))
    np.testing.assert_array_equal(*both(lambda: met().best(state, at, not_shown, count)))
    assert {len(one.signatures) for one in (code.of, code.best, code.catalogue, code.meet)} == {1}


class Written:
    """Utilities as they were written."""

    laws = Laws()

    def __init__(self, worth: Floats):
        self.worth, self.n_items = worth, worth.shape[1]

    def catalogue(self, state: NDArray[np.int64], at: Moments) -> Floats:
        """Of the users whose numbers are the states."""
        return self.worth[state[:, 0]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(0, 30), st.sampled_from([Draws(3), RegionDraws(3, "east", 500)]))
def test_what_is_found_alone_is_the_same(code: ModuleType, seed: int, spread: float, draws: Draws) -> None:
    draw = np.random.default_rng(seed)
    users = Choosing(Written(draw.normal(size=(40, 70)) * spread), Laws(), 4, draws, _NO_TIMES)  # type: ignore[arg-type]
    every = np.arange(40)
    at = Moments(every, draw.integers(9, size=40), every, np.zeros(40))
    np.testing.assert_array_equal(*both(lambda: users.find(every[:, None], at).item))


def test_of_sums_that_are_close_the_first_of_the_highest_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of both is the highest, the last bits of a logarithm could say: they are looked at as without."""
    noise = choosing.gumbel_noise(Draws(3), _SOMEBODY, np.arange(5)[None])
    for more in (0.0, 2.0**-20, -(2.0**-20)):
        worth = 9.0 - noise
        worth[0, 3] += more
        worth[0, 1] -= 1.0
        users = Choosing(Written(worth), Laws(), 4, Draws(3), _NO_TIMES)  # type: ignore[arg-type]
        found, expected = both(lambda: users.find(np.zeros((1, 1), dtype=np.int64), _SOMEBODY).item)  # noqa: B023
        assert found.tolist() == expected.tolist() == [3 if more > 0 else 0]


_SOMEBODY = Moments(np.array([7]), np.array([2]), np.array([0]), np.zeros(1))
_NO_TIMES = Opportunities(*np.zeros((5, 0), dtype=np.int64))
