"""Requests that came to a node are kept narrowly and given back as they came."""

import math
from dataclasses import fields

import numpy as np

from fleetrec.simulator.cloud.capacity.arrived import Arrived
from fleetrec.simulator.cloud.capacity.replay import Requests

PLAIN = math.nan, 0.0, -1, 0


def same(ours: Requests, theirs: Requests) -> None:
    for column in fields(Requests):
        got, expected = (getattr(requests, column.name) for requests in (ours, theirs))
        assert got.dtype == expected.dtype, column.name
        np.testing.assert_array_equal(got, expected, column.name)


def test_what_few_requests_have_is_given_back_with_them() -> None:
    arrived = Arrived()
    arrived.add(0.0, 0.5, (5, 3, 1, 7), *PLAIN)
    arrived.add(1.0, 2.5, (6, 1, 4, 2), math.nan, 1.0, 4, 5)
    arrived.add(2.0, 3.0, (7, 2, 1, 0), 0.25, 0.0, -1, 0)
    arrived.add_plain(np.array([[3.0, 3.5, 8, 9, 2, 1], [3.25, 4.0, 1, 2, 3, 4]]))
    wanted = np.array([4, 1, 2, 1, 0])
    theirs = Requests.of(
        np.array([4.0, 2.5, 3.0, 2.5, 0.5]),
        np.array([1, 6, 7, 6, 5]),
        np.array([2, 1, 2, 1, 3]),
        np.array([3, 4, 1, 4, 1]),
        service_s=np.array([math.nan, math.nan, 0.25, math.nan, math.nan]),
        device=np.array([4, 2, 0, 2, 7]),
        priority=np.array([0.0, 1.0, 0.0, 1.0, 0.0]),
        prefix_start=np.array([-1, 4, -1, 4, -1]),
        prefix_tokens=np.array([0, 5, 0, 5, 0]),
    )
    same(arrived.take(wanted), theirs)
    assert len(arrived) == 5
    assert arrived.issued_s.tolist() == [0.0, 1.0, 2.0, 3.0, 3.25]
    assert arrived.device.tolist() == [7, 2, 0, 1, 4]


def test_plain_requests_are_the_same_one_by_one_and_at_once() -> None:
    rows = np.random.default_rng(1).integers(0, 1000, (50, 6)).astype(np.float64)
    one_by_one, at_once = Arrived(), Arrived()
    for issued_s, arrival_s, *counts in rows.tolist():
        prompt, output, sequences, device = map(int, counts)
        one_by_one.add(issued_s, arrival_s, (prompt, output, sequences, device), *PLAIN)
    at_once.add_plain(rows[:20])
    at_once.add_plain(rows[20:])
    for ours, theirs in zip(one_by_one.columns, at_once.columns, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    same(one_by_one.take(np.arange(50)), at_once.take(np.arange(50)))
    assert sum(column.nbytes for column in at_once.columns) == 50 * 32


def test_there_may_be_none() -> None:
    assert not len(Arrived().take(np.zeros(0, dtype=np.int64)))
