"""Who simulates the regions of a run: this process, or several of this machine.

A region stays with one worker from barrier to barrier. A worker that is lost takes its worlds along: another one takes
its regions from the start again, with what they were told at the barriers, so nothing else changes.
"""

import sys
from collections import deque
from collections.abc import Sequence
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.parallel.processes import WorkerProcess
from fleetrec.simulator.preparation.training import Learnt
from fleetrec.simulator.regions.messages import Brief, RegionJob, Report, Step
from fleetrec.simulator.regions.worker import Host

MOST_LOST = 5
"""workers that a run may lose; then it ends, since the next ones would end like them"""


class Crew(Protocol):
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

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """Take every region [R] to the end of its `steps`, of which the last one is new; their reports."""
        ...


class ThisProcess:
    """All regions here, one after the other."""

    option, workers, workers_here = "--shards 1", 1, 1

    def __init__(self, store: ArtifactStore, learnt: Learnt):
        self._host = Host(store, learnt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be ended."""

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """See Crew."""
        return [
            self._host.do(RegionJob(brief, region, taken[-1:], folder))
            for region, (taken, folder) in enumerate(zip(steps, folders, strict=True))
        ]


class Shards:
    """Which worker has which regions, and what each of those has been told so far."""

    def __init__(self, workers: int, option: str):
        self.workers, self._option = workers, option
        self._worker_of: list[int] = []
        self._taken: list[int] = []  # steps that the region's worker has taken
        self._lost = 0

    def share_out(self, brief: Brief) -> None:
        """The largest regions first, each to the worker that has the least so far."""
        if self._worker_of:
            return
        shares = [region.share for region in brief.scenario.regions]
        load = [0.0] * self.workers
        self._worker_of, self._taken = [0] * len(shares), [0] * len(shares)
        for region in sorted(range(len(shares)), key=lambda number: (-shares[number], number)):
            worker = load.index(min(load))
            self._worker_of[region] = worker
            load[worker] += shares[region]

    def of(self, worker: int) -> list[int]:
        """The regions of a worker."""
        return [region for region, owner in enumerate(self._worker_of) if owner == worker]

    def job(self, brief: Brief, region: int, steps: Sequence[Step], folder: Path) -> RegionJob:
        """The steps that the region's worker has not taken."""
        return RegionJob(brief, region, steps[self._taken[region] :], folder)

    def done(self, region: int, steps: Sequence[Step]) -> None:
        """The region's worker has taken all of these."""
        self._taken[region] = len(steps)

    def lose(self, worker: int, brief: Brief, fate: str) -> None:
        """A worker has ended; InputError where too many have."""
        own = self.of(worker)
        names = ", ".join(brief.scenario.regions[region].name for region in own)
        self._lost += 1
        if self._lost > MOST_LOST:
            raise InputError(f"{self._option}: {self._lost} workers have ended ({fate}), so the run does too")
        print(f"warning: a worker has ended ({fate}); another one takes {names} from the start again", file=sys.stderr)
        for region in own:
            self._taken[region] = 0


class LocalShards:
    """Regions on processes of this machine."""

    def __init__(self, shards: int):
        self.workers = self.workers_here = shards
        self.option = f"--shards {shards}"
        self._shards = Shards(shards, self.option)
        self.crew: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        self.crew = [self._hired() for _ in range(self.workers)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.crew:
            worker.end()
        self.crew = []

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """See Crew."""
        shards = self._shards
        shards.share_out(brief)
        waiting = [deque(shards.of(worker)) for worker in range(self.workers)]
        reports: dict[int, Report] = {}

        def give(worker: int) -> None:
            if waiting[worker]:
                region = waiting[worker][0]
                self.crew[worker].give(shards.job(brief, region, steps[region], folders[region]))

        for worker in range(self.workers):
            give(worker)
        while any(waiting):
            pipes = {self.crew[worker].pipe: worker for worker in range(self.workers) if waiting[worker]}
            for pipe in connection.wait(list(pipes)):
                assert isinstance(pipe, connection.Connection)
                worker = pipes[pipe]
                report: Report | None = self.crew[worker].take()
                if report is None:
                    shards.lose(worker, brief, self.crew[worker].fate("--shards"))
                    self.crew[worker] = self._hired()
                else:
                    region = waiting[worker].popleft()
                    reports[region] = report
                    shards.done(region, steps[region])
                give(worker)
        return [reports[region] for region in range(len(steps))]

    @staticmethod
    def _hired() -> WorkerProcess:
        return WorkerProcess("fleetrec.simulator.regions.worker", "Host")
