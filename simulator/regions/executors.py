"""Who simulates the regions of a run: this process, or several of this machine.

A region stays with one worker from barrier to barrier. A worker that is lost takes its worlds along: another one takes
its regions from the start again, with what they were told at the barriers, so nothing else changes.
"""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.parallel.pool import Lost, Pool, Unread
from fleetrec.simulator.parallel.processes import ProcessPool
from fleetrec.simulator.preparation.training import TrainedModels
from fleetrec.simulator.regions.messages import RegionJob, RegionState, RunSpec, Task
from fleetrec.simulator.regions.worker import RegionWorker

MOST_LOST = 5
"""workers that a run may lose; then it ends, since the next ones would end like them"""


class Executor(Protocol):
    """Takes the regions of a run from barrier to barrier while its `with` block lasts."""

    option: str
    """how a user asks for it"""
    workers: int
    workers_here: int
    """those that surely share a machine's memory"""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        """Take every region [R] to the end of its `tasks`, of which the last one is new; how they stand then."""
        ...


class ThisProcess:
    """All regions here, one after the other."""

    option, workers, workers_here = "--shards 1", 1, 1

    def __init__(self, store: ArtifactStore, trained: TrainedModels):
        self._worker = RegionWorker(store, trained)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be ended."""

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        """See Executor."""
        return [
            self._worker.do(RegionJob(spec, region, own[-1:], folder))
            for region, (own, folder) in enumerate(zip(tasks, folders, strict=True))
        ]


class Shards:
    """Which worker of a pool has which regions, and how far each of those has come."""

    def __init__(self, pool: Pool[Any], option: str):
        self._pool, self._option = pool, option
        self._worker_of: list[int] = []
        self._done: list[int] = []  # tasks that the region's worker has done
        self._lost = 0

    def run_until_barrier(
        self,
        spec: RunSpec,
        tasks: Sequence[Sequence[Task]],
        folders: Sequence[Path],
        received: Callable[[int, RegionState], RegionState] = lambda _, state: state,
    ) -> list[RegionState]:
        """See Executor; `received` takes in the state of a region that has come there."""
        self._share_out(spec)
        waiting = [deque(self._of(worker)) for worker in range(self._pool.workers)]
        states: dict[int, RegionState] = {}

        def next_job(worker: int) -> RegionJob | None:
            if not waiting[worker]:
                return None
            region = waiting[worker][0]
            return RegionJob(spec, region, tasks[region][self._done[region] :], folders[region])

        for worker, job, found in self._pool.results(next_job):
            if isinstance(found, Unread):
                raise InputError(found.reason)
            if isinstance(found, Lost):
                self._lose(worker, spec, found.exit_reason)
            else:
                waiting[worker].popleft()
                states[job.region] = received(job.region, found)
                self._done[job.region] = len(tasks[job.region])
        return [states[region] for region in range(len(tasks))]

    def _share_out(self, spec: RunSpec) -> None:
        """The largest regions first, each to the worker that has the least so far."""
        if self._worker_of:
            return
        shares = [region.share for region in spec.scenario.regions]
        load = [0.0] * self._pool.workers
        self._worker_of, self._done = [0] * len(shares), [0] * len(shares)
        for region in sorted(range(len(shares)), key=lambda number: (-shares[number], number)):
            worker = load.index(min(load))
            self._worker_of[region] = worker
            load[worker] += shares[region]

    def _of(self, worker: int) -> list[int]:
        return [region for region, owner in enumerate(self._worker_of) if owner == worker]

    def _lose(self, worker: int, spec: RunSpec, why: str) -> None:
        """A worker has ended; InputError where too many have."""
        own = self._of(worker)
        names = ", ".join(spec.scenario.regions[region].name for region in own)
        self._lost += 1
        if self._lost > MOST_LOST:
            raise InputError(f"{self._option}: {self._lost} workers have ended ({why}), so the run does too")
        print(f"warning: a worker has ended ({why}); another one takes {names} from the start again", file=sys.stderr)
        for region in own:
            self._done[region] = 0


class LocalShards(ProcessPool):
    """Regions on processes of this machine."""

    def __init__(self, shards: int):
        super().__init__(shards, "fleetrec.simulator.regions.worker", "RegionWorker", "--shards")
        self.workers_here, self.option = shards, f"--shards {shards}"
        self._shards = Shards(self, self.option)

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        """See Executor."""
        return self._shards.run_until_barrier(spec, tasks, folders)
