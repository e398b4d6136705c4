"""A worker: does jobs one after the other, and keeps what the next one can use again."""

import time
import traceback

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.disk import is_disk_full
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.sweeps.jobs import Job, LearnJob, Outcome, RunJob
from fleetrec.simulator.preparation.cache_keys import learning_key, preparation_key, uses_llm
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import Learnt, learn, train_llm
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import run_prepared

_DEVICE = "cpu"


class Worker:
    """Runs are single-threaded; training has the threads of its scenario, since its sums depend on them."""

    def __init__(self, store: ArtifactStore | None = None):
        self._store = store or ArtifactStore()
        self._learnt: tuple[str, Learnt] | None = None
        self._prepared: tuple[str, Prepared] | None = None

    def do(self, job: Job) -> Outcome:
        """Do a job; whatever goes wrong is told by its outcome."""
        try:
            if isinstance(job, LearnJob):
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

    def _learn(self, job: LearnJob) -> None:
        learnt = self._learnt_for(job.scenario)
        if uses_llm(job.scenario):
            train_llm(job.scenario, learnt, _DEVICE, NullProgress())

    def _run(self, job: RunJob) -> None:
        started = time.perf_counter()
        prepared = self._prepared_for(job.scenario)
        prepare_s = time.perf_counter() - started
        run_prepared(job.scenario, prepared, job.folder, _DEVICE, NullProgress(), prepare_s)

    def _learnt_for(self, scenario: sections.Scenario) -> Learnt:
        key = learning_key(scenario)
        if self._learnt is None or self._learnt[0] != key:
            self._learnt = self._prepared = None  # the old one's memory is free before the new one is made
            self._learnt = key, learn(scenario, self._store, _DEVICE, NullProgress())
        return self._learnt[1]

    def _prepared_for(self, scenario: sections.Scenario) -> Prepared:
        key = preparation_key(scenario)
        if self._prepared is None or self._prepared[0] != key:
            learnt, self._prepared = self._learnt_for(scenario), None
            prepared = prepare(scenario, _DEVICE, NullProgress(), self._store, learnt, threads=1)
            self._prepared = key, prepared
        return self._prepared[1]
