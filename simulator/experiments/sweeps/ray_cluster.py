"""Jobs on Ray: a local one that is started for the sweep, or a cluster's. An optional extra.

Nothing is assumed of a shared disk: what a job leaves comes back with its outcome, and trained models go to each
worker whose cache lacks them. Files that a scenario names must be at the same path everywhere.
"""

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from fleetrec.models.runtime.artifacts import ArtifactStore, files_below, place_files
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.simulator.experiments.sweeps.jobs import Job, Outcome, RunJob, TrainingJob
from fleetrec.simulator.parallel.pool import Lost, Unread
from fleetrec.simulator.parallel.ray import RayPool
from fleetrec.simulator.records.run_manifest import MANIFEST, SUMMARY

_WORKER = "fleetrec.simulator.experiments.sweeps.worker"  # looked up by those who work, since it imports PyTorch


class RayCluster(RayPool):
    """Jobs on Ray actors, one CPU each, while the `with` block lasts.

    `address` (host:port, ray://host:port or auto): a running cluster; none: Ray is started here with `workers` CPUs.
    `workers` None: as many as the cluster has CPUs. Raises InputError where Ray is missing or does not answer.
    """

    def __init__(self, workers: int | None, address: str | None):
        super().__init__(workers, address, RayWorker)
        self._artifacts: dict[str, bytes] = {}

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        self.shared = (self.put(self._artifacts),)
        for number, found in self.each(jobs, [job.key for job in jobs]):
            if isinstance(found, Unread):
                found = Outcome(found.reason)
            elif isinstance(found, Lost):
                found = Outcome(f"the Ray worker ended: {found.exit_reason}")
            yield number, self._keep(jobs[number], found)

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
    """A worker on some machine of the cluster."""

    def __init__(self) -> None:
        self._worker = import_module(_WORKER).Worker()

    def do(self, packed: bytes, artifacts: dict[str, bytes]) -> Outcome:
        """Do a job in a folder of its own; its files come with the outcome."""
        job: Job = pickle.loads(packed)
        store = ArtifactStore()
        store.place(artifacts)
        with tempfile.TemporaryDirectory() as own:
            outcome: Outcome = self._worker.do(job if isinstance(job, TrainingJob) else replace(job, folder=Path(own)))
            if outcome.error is not None:
                return outcome
            if isinstance(job, RunJob):
                return replace(outcome, files=files_below(Path(own), Path(own)))
            return replace(
                outcome,
                files={k: v for a in outcome.artifacts for k, v in files_below(store.root / a, store.root).items()},
            )
