"""Regions on Ray actors: a local Ray that is started for the run, or a cluster's.

Nothing is assumed of a shared disk: trained models go to the actors, a region's files come back with its last state.
Files that a scenario names must be at the same path everywhere.
"""

import pickle
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from fleetrec.models.runtime.artifacts import ArtifactStore, files_below, place_files
from fleetrec.models.runtime.cores import available_cores
from fleetrec.simulator.parallel.ray import RayPool
from fleetrec.simulator.regions.executors import Shards
from fleetrec.simulator.regions.messages import RegionJob, RegionState, RunSpec, Task


class RayShards(RayPool):
    """Regions on `shards` actors, one CPU each (None: as many as there are regions and CPUs).

    `address`: of a running cluster; none: Ray is started here. `store`: whose artifacts the actors are given, as far as
    they have been opened or made by then. Raises InputError where Ray is missing or does not answer.
    """

    def __init__(self, shards: int | None, address: str | None, store: ArtifactStore, regions: int):
        super().__init__(shards or max(1, min(regions, available_cores())), address, RegionActor)
        self.option = "--engine ray" if shards is None else f"--engine ray --shards {shards}"
        self.workers_here = 1  # where the others are is up to Ray
        self._store = store
        self._shards = Shards(self, self.option)
        self._sent = 0  # artifacts of the store that have been put where actors find them
        self._artifacts: list[Any] = []
        self.shared = (self._artifacts,)

    def __enter__(self) -> Self:
        super().__enter__()
        self.start_all()
        return self

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        """See Executor."""

        def received(region: int, state: RegionState) -> RegionState:
            place_files(folders[region], state.files)
            return replace(state, files={})

        self._put_artifacts()
        return self._shards.run_until_barrier(spec, tasks, folders, received)

    def _put_artifacts(self) -> None:
        """What the store has come to hold since the last time."""
        used = list(self._store.used)
        self._artifacts += [self.put(files_below(self._store.root / a, self._store.root)) for a in used[self._sent :]]
        self._sent = len(used)


class RegionActor:
    """A worker on some machine of the cluster."""

    def __init__(self) -> None:
        self._worker = import_module("fleetrec.simulator.regions.worker").RegionWorker()
        self._own = tempfile.TemporaryDirectory()
        self._placed = 0

    def do(self, packed: bytes, artifacts: list[Any]) -> RegionState:
        """Take a job in a folder of its own; a region's files come with its last state."""
        job: RegionJob = pickle.loads(packed)
        ray, store = import_module("ray"), ArtifactStore()
        for held in artifacts[self._placed :]:
            store.place(ray.get(held))
        self._placed = len(artifacts)
        folder = Path(self._own.name) / f"{job.region:03d}"
        state: RegionState = self._worker.do(replace(job, folder=folder, spec=replace(job.spec, cache=None)))
        if state.summary is None:
            return state
        files = files_below(folder, folder)
        shutil.rmtree(folder)
        return replace(state, files=files)
