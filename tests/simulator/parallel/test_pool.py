"""A pool of workers: each job is done once, by whom it was given to, and a worker that is lost is replaced."""

from collections import deque

import pytest

from fleetrec.simulator.parallel.pool import Lost, Unread
from fleetrec.simulator.parallel.processes import ProcessPool
from tests.simulator.parallel.workers import Turns, Unreadable


def pool_of(workers: int, copied: bool = False) -> ProcessPool:
    return ProcessPool(workers, "tests.simulator.parallel.workers", "Doubler", "--jobs", copied)


@pytest.mark.parametrize("copied", [False, True])
def test_every_job_is_done_once_and_a_lost_worker_takes_its_own_job_alone_along(copied: bool) -> None:
    with pool_of(2, copied) as pool:
        found = dict(pool.each([1, 2, -3, 4, 5]))
    lost = found.pop(2)
    assert {number: result[0] for number, result in found.items()} == {0: 2, 1: 4, 3: 8, 4: 10}
    assert lost == Lost("killed, perhaps for want of memory; try fewer --jobs")


def test_a_job_goes_to_the_worker_that_it_is_meant_for_and_after_a_loss_to_the_next_in_its_place() -> None:
    own = [deque([1, -1, 3]), deque([10])]
    with pool_of(2) as pool:
        results = [
            (worker, job, result)
            for worker, job, result in pool.results(lambda worker: own[worker].popleft() if own[worker] else None)
        ]
    assert sorted((worker, job) for worker, job, _ in results) == [(0, -1), (0, 1), (0, 3), (1, 10)]
    before, after = (result[1] for _, job, result in results if job in (1, 3))
    assert before != after  # another process


def test_a_job_that_a_worker_cannot_read_is_told_in_its_own_line_and_the_worker_goes_on() -> None:
    with pool_of(1) as pool:
        found = dict(pool.each([1, Unreadable(), 2]))
    assert found[1] == Unread("what it hangs on is gone; put it back")
    assert found[0] == (2, found[2][1])


def test_a_pool_does_jobs_as_often_as_it_is_asked() -> None:
    with pool_of(1) as pool:
        first, second = list(pool.each([1])), list(pool.each([2]))
    assert first[0][1][0] == 2
    assert second[0][1] == (4, first[0][1][1])  # by the same process


def test_jobs_that_are_alike_are_done_by_one_worker_while_there_is_other_work() -> None:
    with Turns(2) as pool:
        found = [result for _, result in sorted(pool.each("aabbb", [(job, job) for job in "aabbb"]))]
    assert found == [0, 0, 1, 1, 0]  # at the end, nobody is idle while jobs wait
    with Turns(2) as pool:
        assert [result for _, result in sorted(pool.each("aabbb"))] == [0, 1, 0, 1, 0]


def test_workers_begin_with_what_nobody_else_has_prepared() -> None:
    jobs = [("p", 1), ("p", 2), ("q", 1), ("q", 2), ("r", 1), ("r", 2)]
    with Turns(2) as pool:
        found = [result for _, result in sorted(pool.each(jobs, jobs))]
    assert found == [0, 0, 1, 1, 0, 1]  # r is shared, so that nobody is idle
