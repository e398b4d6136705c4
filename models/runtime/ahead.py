"""A second thread that works out what will be asked, or is likely to be asked next."""

import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from fleetrec.models.runtime.cores import available_cores

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")


def _has_cores() -> bool:
    threads = os.environ.get("OMP_NUM_THREADS") or str(available_cores())  # workers are told to use one
    return threads != "1"


def begun(work: Callable[[], Answer], beside: bool) -> Callable[[], Answer]:
    """What gives the answer of `work`, which is begun now on a thread of its own where this process is not one of
    several workers; without `beside`, and there, when it is asked for."""
    if not (beside and _has_cores()):
        return work
    pool = ThreadPoolExecutor(1)
    answer = pool.submit(work)
    pool.shutdown(wait=False)
    return answer.result


class Ahead(Generic[Question, Answer]):
    """Answers to one question after the other: what is likely to be asked next is worked out meanwhile on a second
    thread, where this process is not one of several workers and the work leaves the interpreter to others."""

    def __init__(self, work: Callable[[Question], Answer], beside: bool):
        """`work` depends on the question alone; without `beside` nothing is worked out that has not been asked."""
        self._work = work
        self._pool = ThreadPoolExecutor(2) if beside and _has_cores() else None
        self._begun: dict[Question, Future[Answer]] = {}

    def ask(self, question: Question, *likely: Question) -> Answer:
        """The answer; `likely` is what may be asked next, the first first."""
        if self._pool is None:
            return self._work(question)
        before, self._begun = self._begun, {}
        for one in (question, *likely):
            self._begun[one] = before.pop(one) if one in before else self._pool.submit(self._work, one)
        self._begun |= {one: work for one, work in before.items() if not work.cancel()}  # may be asked yet
        return self._begun[question].result()
