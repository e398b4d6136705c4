"""Regions on Ray actors: a local Ray that is started for the run, or a cluster's.

Nothing is assumed of a shared disk: trained models go to the actors, a region's files come back with its last report.
Files that a scenario names must be at the same path everywhere.
"""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from fleetrec.models.runtime.artifacts import ArtifactStore, files_below, place_files
from fleetrec.simulator.parallel.ray import check_ray, connect
from fleetrec.simulator.regions.executors import Shards
from fleetrec.simulator.regions.messages import Brief, RegionJob, Report, Step


class RayShards:
    """Regions on `shards` actors, one CPU each (None: as many as there are regions and CPUs).

    `address`: of a running cluster; none: Ray is started here. `store`: whose artifacts the actors are given, as far as
    they have been opened or made by then. Raises InputError where Ray is missing or does not answer.
    """

    def __init__(self, shards: int | None, address: str | None, store: ArtifactStore, regions: int):
        check_ray(address)
        self.option = "--engine ray" if shards is None else f"--engine ray --shards {shards}"
        self.workers = shards or max(1, min(regions, os.cpu_count() or 1))
        self.workers_here = 1  # where the others are is up to Ray
        self._address, self._store = address, store
        self._shards = Shards(self.workers, self.option)
        self._ray: Any = None
        self.actors: list[Any] = []
        self._sent = 0  # artifacts of the store that have been put where actors find them
        self._artifacts: list[Any] = []

    def __enter__(self) -> Self:
        self._ray = connect(self._address, self.workers)
        self.actors = [self._hired() for _ in range(self.workers)]
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.actors:
            self._ray.kill(actor)
        self.actors = []
        self._ray.shutdown()

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """See Crew."""
        self._put_artifacts()
        shards = self._shards
        shards.share_out(brief)
        waiting = [deque(shards.of(worker)) for worker in range(self.workers)]
        reports: dict[int, Report] = {}
        busy: dict[Any, int] = {}

        def give(worker: int) -> None:
            if waiting[worker]:
                region = waiting[worker][0]
                job = shards.job(brief, region, steps[region], folders[region])
                busy[self.actors[worker].do.remote(job, self._artifacts)] = worker

        for worker in range(self.workers):
            give(worker)
        while busy:
            (done, *_), _ = self._ray.wait(list(busy), num_returns=1)
            worker = busy.pop(done)
            try:
                report: Report = self._ray.get(done)
            except self._ray.exceptions.RayError as error:
                shards.lose(worker, brief, " ".join(str(error).split())[:100])
                self.actors[worker] = self._hired()
            else:
                region = waiting[worker].popleft()
                place_files(folders[region], report.files)
                reports[region] = replace(report, files={})
                shards.done(region, steps[region])
            give(worker)
        return [reports[region] for region in range(len(steps))]

    def _put_artifacts(self) -> None:
        """What the store has come to hold since the last time."""
        used = list(self._store.used)
        for place in used[self._sent :]:
            self._artifacts.append(self._ray.put(files_below(self._store.root / place, self._store.root)))
        self._sent = len(used)

    def _hired(self) -> Any:
        return self._ray.remote(num_cpus=1, max_restarts=0)(RegionActor).remote()


class RegionActor:
    """A host on some machine of the cluster."""

    def __init__(self) -> None:
        self._host = import_module("fleetrec.simulator.regions.worker").Host()
        self._own = tempfile.TemporaryDirectory()
        self._placed = 0

    def do(self, job: RegionJob, artifacts: list[Any]) -> Report:
        """Take a job in a folder of its own; a region's files come with its last report."""
        ray, store = import_module("ray"), ArtifactStore()
        for held in artifacts[self._placed :]:
            store.place(ray.get(held))
        self._placed = len(artifacts)
        folder = Path(self._own.name) / f"{job.region:03d}"
        report: Report = self._host.do(replace(job, folder=folder, brief=replace(job.brief, cache=None)))
        if report.summary is None:
            return report
        files = files_below(folder, folder)
        shutil.rmtree(folder)
        return replace(report, files=files)
