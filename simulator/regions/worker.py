"""Who simulates regions in one process, its own or another's: takes jobs one after the other."""

import gc
import time
import traceback
from dataclasses import replace

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.fleet.population import Members
from fleetrec.simulator.preparation.memory_estimate import check_memory
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.preparation.training import Learnt, learn
from fleetrec.simulator.regions.messages import RegionJob, Report
from fleetrec.simulator.regions.region import Region
from fleetrec.simulator.results.run_folder import disk_full_told
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.regional import device_bounds, regional


class Host:
    """The regions of one run that this process simulates. What they share is loaded once."""

    def __init__(self, store: ArtifactStore | None = None, learnt: Learnt | None = None):
        self._store, self._learnt = store, learnt
        self._kin: Prepared | None = None
        self._open: dict[int, Region] = {}

    def do(self, job: RegionJob) -> Report:
        """Take the steps of a job; the report of the last one. Whatever goes wrong is told by it."""
        started = time.perf_counter()
        try:
            with disk_full_told(job.folder), sections.watched(job.brief.scenario):
                return replace(self._take(job), took_s=time.perf_counter() - started)
        except InputError as error:
            name = job.brief.scenario.regions[job.region].name
            return Report(f"region {name!r}: " + " ".join(str(error).split()))
        except Exception as error:  # told to the one who leads, wherever that is
            return Report(" ".join(f"{type(error).__name__}: {error}".split()), traceback.format_exc())

    def _take(self, job: RegionJob) -> Report:
        region = self._open.get(job.region) or self._begin(job)
        report = Report()
        for step in job.steps:
            report = region.take(step)
        if report.summary is not None:
            del self._open[job.region], region
            gc.collect()  # a world is full of cycles
        return report

    def _begin(self, job: RegionJob) -> Region:
        brief, progress = job.brief, NullProgress()
        self._store = self._store or ArtifactStore(brief.cache)
        scenario = regional(brief.scenario, job.region)
        low, high = device_bounds(brief.scenario)[job.region : job.region + 2]
        members = Members(brief.scenario.regions[job.region].name, low, high)
        if self._learnt is None:
            self._learnt = learn(scenario, self._store, brief.device, progress)
        prepared = prepare(
            scenario, brief.device, progress, self._store, self._learnt, brief.threads, members, self._kin
        )
        check_memory(prepared.population, brief.at_once if self._kin is None else 1)
        self._kin = self._kin or prepared
        region = self._open[job.region] = Region(scenario, prepared, job.folder, brief.device)
        return region
