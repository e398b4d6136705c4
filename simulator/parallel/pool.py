"""Workers that do jobs for another process: give, wait, take, replace the one that is lost."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

Handle = TypeVar("Handle")
Job = TypeVar("Job")
Alike = tuple[Hashable, Hashable]


@dataclass(frozen=True)
class Lost:
    """A worker has ended in the middle of its job; another one takes its place with the next job."""

    exit_reason: str


@dataclass(frozen=True)
class Unread:
    """A worker could not read its job, since what it hangs on is not there any more, or is another; it goes on."""

    reason: str


class Pool(ABC, Generic[Handle]):
    """Workers numbered 0 to `workers` - 1 while a `with` block lasts, each of which does one job at a time.

    A worker is started when it gets its first job, unless `start_all` has done so.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self.handles: dict[int, Handle] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self.handles.values():
            self._end(handle)
        self.handles = {}

    def start_all(self) -> None:
        """Start all workers now: each loads what it needs while the first jobs are prepared."""
        self.handles = {worker: self._start() for worker in range(self.workers)}

    def results(self, next_job: Callable[[int], Job | None]) -> Iterator[tuple[int, Job, Any | Lost | Unread]]:
        """Give idle workers the jobs that `next_job` names for them (None: none for now) until none works any more:
        (worker, job, what came of it) as each ends."""
        busy: dict[int, Job] = {}
        while True:
            for worker in range(self.workers):
                job = None if worker in busy else next_job(worker)
                if job is not None:
                    if worker not in self.handles:
                        self.handles[worker] = self._start()
                    self._give(self.handles[worker], job)
                    busy[worker] = job
            if not busy:
                return
            worker = self._wait(list(busy))
            result = self._take(self.handles[worker])
            if isinstance(result, Lost):
                del self.handles[worker]
            yield worker, busy.pop(worker), result

    def each(self, jobs: Sequence[Any], alike: Sequence[Alike] = ()) -> Iterator[tuple[int, Any | Lost | Unread]]:
        """Do the jobs, begun in their order by whoever is idle: (number of a job, what came of it) as each ends.

        What is `alike`, two values a job, is done by one worker, which knows much of the next job from the one before
        it, as long as there is other work for the others; and so, less strictly, is what is alike in the first value.
        """
        waiting: dict[Alike, deque[int]] = {}
        for number, group in enumerate(alike or [(number, number) for number in range(len(jobs))]):
            waiting.setdefault(group, deque()).append(number)
        group_of: dict[int, Alike] = {}  # each worker's
        numbers: dict[int, int] = {}  # of each worker's job

        def next_group(worker: int) -> Alike:
            own, taken = group_of.get(worker), set(group_of.values())
            others = {group[0] for other, group in group_of.items() if other != worker}
            known = None if own is None else own[0]
            return min(waiting, key=lambda group: (group in taken, group[0] != known, group[0] in others))

        def next_job(worker: int) -> Any | None:
            if not waiting:
                return None
            group = group_of.get(worker)
            if group is None or group not in waiting:
                group = group_of[worker] = next_group(worker)
            numbers[worker] = waiting[group].popleft()
            if not waiting[group]:
                del waiting[group]
            return jobs[numbers[worker]]

        for worker, _, result in self.results(next_job):
            yield numbers[worker], result

    @abstractmethod
    def _start(self) -> Handle:
        """A new worker."""

    @abstractmethod
    def _give(self, handle: Handle, job: Any) -> None:
        """Begin a job; of a worker that has ended, `_take` tells."""

    @abstractmethod
    def _wait(self, busy: list[int]) -> int:
        """The number of a worker that has ended its job, or has ended itself."""

    @abstractmethod
    def _take(self, handle: Handle) -> Any | Lost | Unread:
        """What came of its job."""

    @abstractmethod
    def _end(self, handle: Handle) -> None:
        """End a worker, in the middle of a job if need be."""
