"""A worker: does jobs one after the other, and keeps what the next one can use again."""

import time
import traceback

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.sweeps.jobs import Job, Outcome, RunJob, TrainingJob
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import Past, TrainedModels, train_llm, train_models
from fleetrec.simulator.scenario.inputs import ListInputs, PreparationInputs, TrainingInputs, hash_of
from fleetrec.simulator.simulation import run_prepared

_DEVICE = "cpu"


class Worker:
    """Runs are single-threaded; training has the threads of its scenario, since its sums depend on them."""

    def __init__(self, store: ArtifactStore | None = None):
        self._store = store or ArtifactStore()
        self._trained: tuple[str, TrainedModels] | None = None
        self._prepared: tuple[str, Prepared] | None = None

    def do(self, job: Job) -> Outcome:
        """Do a job; whatever goes wrong is told by its outcome."""
        try:
            if isinstance(job, TrainingJob):
                self._store.used.clear()
                self._learn(job)
                return Outcome(artifacts=tuple(self._store.used))
            self._run(job)
        except InputError as error:
            return Outcome(" ".join(str(error).split()), disk_full=is_disk_full(error))
        except Exception as error:  # a run that fails must not end the others
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return Outcome(reason, traceback.format_exc(), is_disk_full(error))
        return Outcome()

    def _learn(self, job: TrainingJob) -> None:
        inputs = TrainingInputs.of(job.scenario)
        known = self._trained is not None and self._trained[0] == hash_of(inputs)
        past: Past = self._trained_for(inputs) if known or job.model != "llm" else Past.of(inputs.log, self._store)
        if job.model != "srm":
            train_llm(ListInputs.of(job.scenario), past, _DEVICE, NullProgress())

    def _run(self, job: RunJob) -> None:
        started = time.perf_counter()
        prepared = self._prepared_for(job)
        prepare_s = time.perf_counter() - started
        run_prepared(job.scenario, prepared, job.folder, _DEVICE, NullProgress(), prepare_s)

    def _trained_for(self, inputs: TrainingInputs) -> TrainedModels:
        key = hash_of(inputs)
        if self._trained is None or self._trained[0] != key:
            self._forget_prepared()
            self._trained = None  # the old one's memory is free before the new one is made
            self._trained = key, train_models(inputs, self._store, _DEVICE, NullProgress())
        return self._trained[1]

    def _prepared_for(self, job: RunJob) -> Prepared:
        inputs = PreparationInputs.of(job.scenario)
        key = hash_of(inputs)
        if self._prepared is None or self._prepared[0] != key:
            trained = self._trained_for(inputs.training)
            self._forget_prepared()
            prepared = prepare(job.scenario, _DEVICE, NullProgress(), self._store, trained, threads=1)
            self._prepared = key, prepared
        return self._prepared[1]

    def _forget_prepared(self) -> None:
        if self._prepared is not None:
            self._prepared[1].memo.forget_newest()
        self._prepared = None
