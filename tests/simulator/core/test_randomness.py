"""Counter-based draws: pure functions of their keys, and random enough."""

import numpy as np
import pytest
from scipy import stats

from fleetrec.simulator.core.randomness import Draws, RegionDraws, StepDraws


def test_scalar_and_vector_draws_are_the_same_bits() -> None:
    draws = Draws(11)
    device, step = np.arange(-3, 200), np.arange(203) * 7
    vector = draws.uniform("purpose", device, step)
    scalar = [draws.uniform_one("purpose", int(d), int(s)) for d, s in zip(device, step, strict=True)]
    assert vector.tolist() == scalar


@pytest.mark.parametrize("draws", [Draws(3), RegionDraws(3, "north", 500)])
def test_draws_that_are_foreseen_are_those_that_are_drawn_alone(draws: Draws) -> None:
    first, counts = np.array([4, -1, 7]), np.array([3, 0, 2])
    foreseen = StepDraws(draws, "link.up")
    foreseen.foresee(first, counts)
    for device, step in ((0, 4), (0, 5), (0, 6), (2, 7), (2, 8)):
        assert foreseen.one(device, step, 0) == draws.uniform_one("link.up", device, step, 0)
    assert foreseen.one(1, 30, 2) == draws.uniform_one("link.up", 1, 30, 2)


def test_a_draw_does_not_depend_on_what_was_drawn_before() -> None:
    draws = Draws(11)
    first = draws.uniform_one("a", 1, 2)
    draws.uniform("a", np.arange(1000), 2)
    assert draws.uniform_one("a", 1, 2) == first


def test_seed_purpose_and_each_key_matter() -> None:
    base = Draws(1).uniform_one("a", 1, 2)
    others = [
        Draws(2).uniform_one("a", 1, 2),
        Draws(1).uniform_one("b", 1, 2),
        Draws(1).uniform_one("a", 2, 2),
        Draws(1).uniform_one("a", 1, 3),
        Draws(1).uniform_one("a", 2, 1),
    ]
    assert len({base, *others}) == 6


def test_uniforms_are_uniform_and_neighbours_are_independent() -> None:
    draws = Draws(3).uniform("u", np.arange(200_000), 5)
    assert stats.kstest(draws, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.01
    across_steps = np.array([Draws(3).uniform("u", np.arange(2000), step) for step in range(50)])
    assert abs(np.corrcoef(across_steps[:-1].ravel(), across_steps[1:].ravel())[0, 1]) < 0.02


def test_normals_and_exponentials_have_their_moments() -> None:
    normals = Draws(5).normal("n", np.arange(100_000))
    assert normals.mean() == pytest.approx(0, abs=0.015)
    assert normals.std() == pytest.approx(1, abs=0.015)
    assert Draws(5).normal_one("n", 17) == pytest.approx(normals[17], abs=1e-12)
    assert Draws(5).exponential("e", np.arange(100_000)).mean() == pytest.approx(1, abs=0.02)


def test_a_permutation_holds_everything_once() -> None:
    assert sorted(Draws(1).permutation(100, "p", 3)) == list(range(100))


@pytest.mark.parametrize("n", [0, 1, 2, 1000, 60_000])
def test_a_permutation_is_the_order_of_its_draws(n: int) -> None:
    """Of these 60,000 draws, two have the first 32 bits alike."""
    draws = Draws(8)
    drawn = draws.uniform("p", 3, np.arange(n))
    np.testing.assert_array_equal(draws.permutation(n, "p", 3), np.argsort(drawn, kind="stable"))


@pytest.mark.parametrize(
    ("most", "n"), [(0, 5), (3, 0), (7, 5), (5, 5), (40, 1000), (1000, 600_000), (300_000, 600_000)]
)
def test_the_first_of_a_permutation_need_no_more_of_it(most: int, n: int) -> None:
    draws = Draws(1)
    np.testing.assert_array_equal(draws.first_of(most, n, "p", 3), draws.permutation(n, "p", 3)[:most])


def test_generators_of_different_purposes_differ_and_repeat() -> None:
    assert Draws(1).generator("a", 1).random() == Draws(1).generator("a", 1).random()
    assert Draws(1).generator("a", 1).random() != Draws(1).generator("a", 2).random()
