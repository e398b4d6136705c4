"""Long arrays a piece at a time: to the last bit what NumPy gives for the whole."""

import numpy as np
import pytest

from fleetrec.models.metrics import Gains, accuracy_per_query, clustered_mean, clustered_ratio
from fleetrec.models.runtime import pieces as of_pieces
from fleetrec.models.runtime.pieces import at_shares, counts_by, sums_by
from fleetrec.models.runtime.unique import different

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pieces, "_PIECE", 100)


def test_sums_and_counts_by_group_are_those_of_one_pass() -> None:
    groups, values = RNG.integers(0, 7, 1234).astype(np.int16), RNG.normal(size=1234)
    assert sums_by(groups, lambda piece: values[piece], 8).tolist() == np.bincount(groups, values, 8).tolist()
    assert counts_by(groups, 8).tolist() == np.bincount(groups, minlength=8).tolist()
    assert sums_by(groups[:0], lambda piece: values[piece], 2).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 997])
def test_quantiles_of_ordered_values_are_numpys(n: int, kind: type[np.floating]) -> None:
    values = np.sort(RNG.gamma(0.5, size=n).astype(kind))
    shares = np.concatenate([np.linspace(0, 1, 101), RNG.random(50)])
    assert at_shares(values, shares).tolist() == np.quantile(values.astype(np.float64), shares).tolist()


@pytest.mark.parametrize("spread", [50, 10**9])
def test_different_values_and_their_places_are_numpys(spread: int) -> None:
    values = RNG.integers(-spread, spread, 1234)
    found, places = different(values)
    assert found.tolist() == np.unique(values).tolist()
    assert (found[places] == values).all()


def test_an_interval_of_a_mean_is_that_of_a_ratio_to_ones() -> None:
    values, users = RNG.normal(size=1234), RNG.integers(0, 40, 1234)
    assert clustered_mean(values, users) == clustered_ratio(values, np.ones(1234), users)


@pytest.mark.parametrize("metric", ["hr@5", "ndcg@10", "mrr@20"])
def test_a_table_of_gains_has_those_of_each_query(metric: str) -> None:
    ranks = RNG.integers(-1, 60, 1234).astype(np.int32)
    assert Gains(metric)(ranks).tolist() == accuracy_per_query(ranks, (int(metric.split("@")[1]),))[metric].tolist()
