"""Jobs on Ray: a local one that is started for the sweep, or a cluster's. An optional extra.

Nothing is assumed of a shared disk: what a job leaves comes back with its outcome, and trained models go to each
worker whose cache lacks them. Files that a scenario names must be at the same path everywhere.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from fleetrec.models.runtime.artifacts import ArtifactStore, files_below, place_files
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.simulator.experiments.sweeps.jobs import Job, LearnJob, Outcome, RunJob
from fleetrec.simulator.parallel.ray import check_ray, connect
from fleetrec.simulator.records.run_manifest import MANIFEST, SUMMARY

_WORKSHOP = "fleetrec.simulator.experiments.sweeps.worker"  # looked up by those who work, since it imports PyTorch


class RayCluster:
    """Jobs on Ray actors, one CPU each, while the `with` block lasts.

    `address` (host:port, ray://host:port or auto): a running cluster; none: Ray is started here with `workers` CPUs.
    `workers` None: as many as the cluster has CPUs. Raises InputError where Ray is missing or does not answer.
    """

    def __init__(self, workers: int | None, address: str | None):
        check_ray(address)
        self.workers = workers or (os.cpu_count() or 1 if address is None else 0)
        self._address = address
        self._ray: Any = None
        self._actors: list[Any] = []
        self._artifacts: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._ray = connect(self._address, self.workers)
        self.workers = self.workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        self._ray.shutdown()

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        ray, waiting = self._ray, list(enumerate(jobs))[::-1]
        shared = ray.put(self._artifacts)
        idle = list(self._actors)
        busy: dict[Any, tuple[Any, int]] = {}
        while waiting or busy:
            while waiting and len(busy) < self.workers:
                actor = idle.pop() if idle else self._hire()
                number, job = waiting.pop()
                busy[actor.do.remote(job, shared)] = actor, number
            (done, *_), _ = ray.wait(list(busy), num_returns=1)
            actor, number = busy.pop(done)
            try:
                outcome = ray.get(done)
                idle.append(actor)
            except ray.exceptions.RayError as error:
                self._actors.remove(actor)
                outcome = Outcome(f"the Ray worker ended: {' '.join(str(error).split())[:300]}")
            yield number, self._keep(jobs[number], outcome)

    def _hire(self) -> Any:
        actor = self._ray.remote(num_cpus=1, max_restarts=0)(RayWorker).remote()
        self._actors.append(actor)
        return actor

    def _keep(self, job: Job, outcome: Outcome) -> Outcome:
        """Put what came back where it belongs on this machine."""
        try:
            if isinstance(job, RunJob):
                last = (SUMMARY, MANIFEST)  # which say that all is there
                order = sorted(outcome.files, key=lambda name: last.index(name) if name in last else -1)
                place_files(job.folder, {name: outcome.files[name] for name in order})
            else:
                self._artifacts |= outcome.files
                ArtifactStore().place(outcome.files)
        except OSError as error:
            return Outcome(f"{type(error).__name__}: {error}", disk_full=is_disk_full(error))
        return replace(outcome, files={})


class RayWorker:
    """A workshop on some machine of the cluster."""

    def __init__(self) -> None:
        self._workshop = import_module(_WORKSHOP).Workshop()

    def do(self, job: Job, artifacts: dict[str, bytes]) -> Outcome:
        """Do a job in a folder of its own; its files come with the outcome."""
        store = ArtifactStore()
        store.place(artifacts)
        with tempfile.TemporaryDirectory() as own:
            outcome: Outcome = self._workshop.do(job if isinstance(job, LearnJob) else replace(job, folder=Path(own)))
            if outcome.error is not None:
                return outcome
            if isinstance(job, RunJob):
                return replace(outcome, files=files_below(Path(own), Path(own)))
            return replace(
                outcome,
                files={k: v for a in outcome.artifacts for k, v in files_below(store.root / a, store.root).items()},
            )
