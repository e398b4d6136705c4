"""The highest rate that servers hold: the stream that replays share, and how it is looked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.cloud.capacity.brackets import Bracket
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Cores
from fleetrec.simulator.cloud.capacity.servers_needed import Capacity
from fleetrec.simulator.cloud.capacity.streams import FEWEST, Stream
from fleetrec.simulator.core.randomness import Draws

WITHIN = 0.005


def numbered(count: int) -> Requests:
    """Requests whose prompts have 0, 1, 2, ... tokens."""
    return Requests.of(np.zeros(count), np.arange(count), np.ones(count, dtype=np.int64))


def test_a_lower_rate_is_the_beginning_of_a_higher_one_stretched_in_time() -> None:
    stream = Stream(numbered(7), Draws(1))
    many, of_many = stream.of(30_000, 20.0)
    few, of_few = stream.of(5_000, 4.0)
    assert of_few.tolist() == of_many[:5_000].tolist() == few.prompt_tokens.tolist()
    ratio = few.arrival_s / many.arrival_s[:5_000]
    assert ratio == pytest.approx(np.full(5_000, ratio[0]), rel=1e-12)
    assert ratio[0] == pytest.approx(5.0, rel=0.05)  # the sum of 5,000 gaps is known to 1.4%


def test_a_stream_does_not_hang_on_what_was_asked_of_it_before() -> None:
    grown, fresh = Stream(numbered(7), Draws(1)), Stream(numbered(7), Draws(1))
    for n in (10, 2_500, 9_000):
        grown.of(n, 1.0)
    (one, rows), (other, others) = grown.of(20_000, 3.0), fresh.of(20_000, 3.0)
    assert rows.tolist() == others.tolist()
    assert one.arrival_s.tolist() == other.arrival_s.tolist()


@pytest.mark.parametrize("count", [1, 7, 1_999, 3_001])
def test_each_round_of_a_stream_has_as_many_of_each_request_in_random_order(count: int) -> None:
    first = count * -(-FEWEST // count)
    _, rows = Stream(numbered(count), Draws(1)).of(4 * first, 1.0)
    for low, high in ((0, first), (first, 2 * first), (2 * first, 4 * first)):
        assert set(np.bincount(rows[low:high], minlength=count)) == {(high - low) // count}
    if count > 1:
        beside = float(np.corrcoef(rows[: first - 1], rows[1:first])[0, 1])
        assert abs(beside) < 0.09  # four standard errors: neither sorted nor by turns


def test_so_many_requests_fall_into_their_time_and_come_at_random() -> None:
    requests, _ = Stream(numbered(3), Draws(1)).of(40_000, 8.0)
    gaps = np.diff(requests.arrival_s)
    assert requests.arrival_s[-1] < 5_000.0
    assert gaps.mean() == pytest.approx(1 / 8, rel=0.001)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)  # exponential


@settings(max_examples=80, deadline=None)
@given(
    st.floats(0.01, 100.0),
    st.floats(0.2, 5.0),
    st.sampled_from([1.005, 1.03]),
    st.lists(st.floats(0.005, 200.0), max_size=30),
)
def test_each_rate_is_told_and_then_the_highest_that_is_held(
    highest: float, off: float, stride: float, asked: list[float]
) -> None:
    """By one that says of each rate whether it is at most the highest."""
    bracket, rates = Bracket(highest * off, stride, WITHIN), np.unique(asked)
    tried: list[float] = []

    def search(of: np.ndarray | None, bracket: Bracket) -> Bracket:
        while (rate := bracket.to_try(of)) is not None:
            assert bracket.low < rate < bracket.high  # never what is known
            tried.append(rate)
            bracket = bracket.after(rate, rate <= highest)
        return bracket

    bracket = search(rates, bracket)
    told = (rates <= bracket.low) == (rates <= highest)
    assert np.all(told | ((rates > bracket.low) & (bracket.high <= bracket.low * (1 + WITHIN))))
    bracket = search(None, bracket)
    assert bracket.low <= highest < bracket.high <= bracket.low * (1 + WITHIN)
    assert len(tried) <= 40


def test_a_guess_that_is_right_takes_two_replays() -> None:
    bracket, tried = Bracket(10.0, 1 + WITHIN, WITHIN), []
    while (rate := bracket.to_try(None)) is not None:
        tried.append(rate)
        bracket = bracket.after(rate, rate <= 10.01)
    assert tried == [10.0, 10.0 * (1 + WITHIN)]


def test_what_many_rates_need_is_what_each_needs() -> None:
    """Of cores in one queue, all asked at once and one after the other; a rate that lies within the half percent to
    which capacities are found may need one more."""
    requests, objective = numbered(10), ServiceObjective.parse("p95=1.5s")
    rates = np.geomspace(0.4, 9.0, 40)
    together = Capacity(requests, Cores(1.0, objective), Draws(1))
    found = together.needs(rates)
    holds = np.array([together.of(n) for n in range(1, int(found.max()) + 1)])
    busy = together.busier(rates)
    assert np.all(holds[found - 1] * (1 + WITHIN) >= busy)
    assert np.all(holds[np.maximum(found - 2, 0)][found > 1] <= busy[found > 1])
    assert np.all(np.diff(found) >= 0)
    alone = [int(Capacity(requests, Cores(1.0, objective), Draws(1)).needs(rates[[i]])[0]) for i in range(0, 40, 8)]
    assert np.abs(found[::8] - alone).max() <= 1
    assert together.needs(np.array([0.0])).tolist() == [0]
