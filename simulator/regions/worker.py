"""Simulates regions in one process, its own or another's: does jobs one after the other."""

import gc
import time
import traceback
from dataclasses import replace

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.fleet.population import DeviceRange
from fleetrec.simulator.preparation.memory_estimate import check_memory
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import TrainedModels, train_models
from fleetrec.simulator.regions.messages import RegionJob, RegionState
from fleetrec.simulator.regions.region import Region
from fleetrec.simulator.results.run_folder import disk_full_told
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import TrainingInputs
from fleetrec.simulator.scenario.regional import device_bounds, regional


class RegionWorker:
    """The regions of one run that this process simulates. What they share is loaded once."""

    def __init__(self, store: ArtifactStore | None = None, trained: TrainedModels | None = None):
        self._store, self._trained = store, trained
        self._shared: Prepared | None = None
        self._open: dict[int, Region] = {}

    def do(self, job: RegionJob) -> RegionState:
        """Do the tasks of a job; how the region stands then. Whatever goes wrong is told by it."""
        started = time.perf_counter()
        try:
            with disk_full_told(job.folder):
                return replace(self._take(job), took_s=time.perf_counter() - started)
        except InputError as error:
            name = job.spec.scenario.regions[job.region].name
            return RegionState(f"region {name!r}: " + " ".join(str(error).split()))
        except Exception as error:  # told to the one who leads, wherever that is
            return RegionState(" ".join(f"{type(error).__name__}: {error}".split()), traceback.format_exc())

    def _take(self, job: RegionJob) -> RegionState:
        region = self._open.get(job.region) or self._begin(job)
        state = RegionState()
        with sections.silent(job.spec.scenario):
            for task in job.tasks:
                state = region.do(task)
        if state.summary is not None:
            del self._open[job.region], region
            gc.collect()  # a world is full of cycles
        return state

    def _begin(self, job: RegionJob) -> Region:
        spec, progress = job.spec, NullProgress()
        self._store = self._store or ArtifactStore(spec.cache)
        scenario = regional(spec.scenario, job.region)
        low, high = device_bounds(spec.scenario.regions, scenario.fleet.devices)[job.region : job.region + 2]
        own = DeviceRange(spec.scenario.regions[job.region].name, low, high)
        if self._trained is None:
            self._trained = train_models(TrainingInputs.of(scenario), self._store, spec.device, progress)
        prepared = prepare(scenario, spec.device, progress, self._store, self._trained, spec.threads, own, self._shared)
        check_memory(prepared.population, spec.at_once if self._shared is None else 1)
        self._shared = self._shared or prepared
        region = self._open[job.region] = Region(scenario, prepared, job.folder, spec.device)
        return region
