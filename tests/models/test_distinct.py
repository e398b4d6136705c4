"""Counting finds what sorting finds."""

import numpy as np
import pytest

from fleetrec.models.runtime.unique import different, different_pairs


@pytest.mark.parametrize("values", [[5, 3, 5, 9], [-2, 7, -2], [4], [], [10**12, 3, 10**12], [0, 5_000, 1]])
def test_different_values_are_those_that_sorting_finds(values: list[int]) -> None:
    found, places = different(np.array(values, dtype=np.int64))
    assert found.tolist() == sorted(set(values))
    assert found[places].tolist() == values


def test_different_pairs_are_those_that_sorting_finds() -> None:
    first, second = np.array([3, 0, 3, 2, 0]), np.array([1, 7, 1, 0, 0])
    found, places = different_pairs(first, second)
    assert list(zip(*found.tolist(), strict=True)) == [(0, 0), (0, 7), (2, 0), (3, 1)]
    assert found[:, places].tolist() == [first.tolist(), second.tolist()]
    assert different_pairs(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))[0].shape == (2, 0)
