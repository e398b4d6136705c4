"""The node's timeline for figures: exact integrals in bins, however often the bins were merged."""

import numpy as np
import pytest

from fleetrec.simulator.cloud.node.timeline import Timeline


def test_a_row_is_kept_only_where_something_changes():
    timeline = Timeline(bins=1000)
    timeline.change(0.25, queue=0, busy=1, in_service=1, up=3)
    timeline.change(0.5, queue=0, busy=0, in_service=0, up=3)
    rows = timeline.rows(0.75)
    assert rows["t_s"].tolist() == [0.0, 0.25, 0.5]
    assert rows["busy"].tolist() == [0.0, 1.0, 0.0]


def test_bins_hold_the_longest_queue_and_the_mean_load():
    timeline = Timeline(bins=4)
    timeline.change(1.0, queue=7, busy=2, in_service=5, up=3)
    timeline.change(1.5, queue=1, busy=1, in_service=1, up=3)
    rows = timeline.rows(8.0)  # bins of 2 s, or of 4 s where 8.0 itself needs a place
    assert rows["queue"][0] == 7
    width = rows["t_s"][1] - rows["t_s"][0]
    assert rows["busy"][0] == pytest.approx((0.5 * 2 + (width - 1.5) * 1) / width)


def test_integrals_survive_merging_and_rows_stay_few():
    generator = np.random.default_rng(1)
    timeline, now, first, level, busy_area, longest = Timeline(bins=64), 0.0, 0.0, 0, 0.0, 0
    for gap in generator.exponential(3.0, 3000):
        busy_area += gap * level
        now += gap
        first = first or now
        level = int(generator.integers(0, 5))
        longest = max(longest, level * 2)
        timeline.change(now, queue=level * 2, busy=level, in_service=level * 3, up=3)
    rows = timeline.rows(now)
    lengths = np.diff(np.append(rows["t_s"], now))
    assert len(rows["t_s"]) <= 64
    assert float(rows["busy"] @ lengths) == pytest.approx(busy_area)
    assert float(rows["in_service"] @ lengths) == pytest.approx(3 * busy_area)
    assert float(rows["up"] @ lengths) == pytest.approx(3 * (now - first))
    assert rows["queue"].max() == longest
