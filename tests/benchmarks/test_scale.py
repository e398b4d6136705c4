"""The schedule of a run in regions, beside cases worked by hand."""

import pytest

from benchmarks.scale import scheduled_s


def test_regions_are_dealt_largest_first_to_who_has_least() -> None:
    assert scheduled_s([3, 3, 2, 2, 2], 1, 1.0, 1.0, 8) == pytest.approx(13)
    assert scheduled_s([3, 3, 2, 2, 2], 2, 1.0, 1.0, 8) == pytest.approx(8)  # 3 + 2 + 2 and 3 + 2
    assert scheduled_s([3, 3, 2, 2, 2], 5, 1.0, 1.0, 8) == pytest.approx(4)


def test_workers_that_share_a_memory_slow_each_other_while_both_are_busy() -> None:
    # Both at two thirds of their speed until the shorter ends at 6, when the longer has 4 of 8 behind it.
    assert scheduled_s([8, 4], 2, 0.0, 1.5, 2) == pytest.approx(6 + 4)
    assert scheduled_s([8, 4], 2, 0.0, 1.5, 1) == pytest.approx(8)  # memories of their own
    assert scheduled_s([4, 4, 4], 3, 0.0, 1.5, 3) == pytest.approx(8)
