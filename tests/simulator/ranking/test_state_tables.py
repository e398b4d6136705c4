"""Products of states and item vectors are exact, in whatever pieces they are computed."""

import numpy as np
import pytest

from fleetrec.simulator.ranking.state_tables import CpuTables


@pytest.mark.parametrize(("dim", "n_items"), [(8, 700), (128, 61)])
def test_products_with_lists_and_with_the_whole_catalogue_are_exact(dim: int, n_items: int) -> None:
    draws = np.random.default_rng(2)
    states, vectors = (draws.integers(-(2**19), 2**19, size=(size, dim)) for size in (150, n_items))
    exact = states @ vectors.T  # of whole numbers below 2^63
    tables = CpuTables(*((whole / 2**16).astype(np.float32) for whole in (states, vectors)))
    rows, items = np.arange(150)[::-1], draws.integers(n_items, size=(50, 9))
    assert np.array_equal(tables.of_catalogue(rows) * 2.0**32, exact[rows])
    by_list = tables.of_lists(rows, items) * 2.0**32
    assert by_list.shape == (50, 3, 9)
    assert np.array_equal(by_list.reshape(150, 9), exact[rows[:, None], np.repeat(items, 3, axis=0)])
