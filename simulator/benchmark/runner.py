"""Measures one case of the speed suite, in the process that imports this.

Records are written to a folder as the run goes, as in every run; the models and users are those of `bench`.
"""

import tempfile
from pathlib import Path

import torch

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.benchmark.cases import Case
from fleetrec.simulator.benchmark.engine_speed import BenchFleet, bench_scenario, naive_loop, step_by_step, timed
from fleetrec.simulator.benchmark.record import Figures
from fleetrec.simulator.engine import known_world
from fleetrec.simulator.parallel.processes import processor_s
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.ranking import one_pass, quick_states
from fleetrec.simulator.regions.executors import LocalShards
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate

_MOST_USERS = 100_000
"""more devices than these are clones, so that the log does not grow with the fleet"""
_FLOOR_UP_TO = 100_000
"""devices up to which the floor is measured: it takes as long as the run"""
_NAIVE = 500
_CLONES = 4
_SILENT = NullProgress()


def make_code() -> None:
    """Have all machine code of an engine's run made, where this machine has none, and loaded."""
    for demand in (known_world.DEMAND, one_pass.DEMAND, *quick_states.DEMANDS.values()):
        demand.make()


class Runner:
    """Measures the case that it is given."""

    def do(self, case: Case) -> Figures | str:
        """The figures; for a case that cannot be run, why."""
        with tempfile.TemporaryDirectory(prefix="fleetrec-bench-") as folder:
            try:
                return _in_regions(case, Path(folder)) if case.shards else _in_one_piece(case, Path(folder))
            except (InputError, MemoryError) as error:
                return str(error) or "memory does not hold it"


def _in_one_piece(case: Case, folder: Path) -> Figures:
    """What `bench` measures, of any case. Machine code is made where this machine has none, and loaded, before the
    clock is looked at, as libraries are."""
    make_code()
    users = min(case.devices, _MOST_USERS)
    what = case.srm, case.dim, case.ratio, case.list_length, users, case.engine, case.reacts
    scenario = bench_scenario(case.devices, *what)
    setup_s, fleet = timed(lambda: BenchFleet.of(scenario, ArtifactStore(folder / "cache"), _SILENT))
    with_floor, busy_s = case.devices <= _FLOOR_UP_TO and not case.reacts, processor_s()
    seconds, world = timed(lambda: fleet.run(_SILENT, folder=folder / "parts", keeps_all=with_floor))
    busy_s, peak = processor_s() - busy_s, peak_rss_bytes()
    floor_s = sum(fleet.floor_s(world, _SILENT)) if with_floor else None
    torch.set_num_threads(1)  # one interaction is too little to share out
    naive_per_s = step_by_step() if case.reacts else naive_loop(fleet, world, _NAIVE)[0]
    return Figures(
        interactions=world.recorder.interactions,
        requests=len(world.recorder.finish()["requests"]),
        setup_s=setup_s,
        seconds=seconds,
        cpu_s=busy_s,
        peak_rss_bytes=peak,
        naive_per_s=naive_per_s,
        floor_s=floor_s,
    )


def _in_regions(case: Case, folder: Path) -> Figures:
    """All of `simulate` in four regions, candidate lists from the cache: what a user waits for."""
    scenario = _regional(case)
    store = ArtifactStore(folder / "cache")
    setup_s, _ = timed(lambda: simulate(scenario, folder / "first", store=store))
    executor = LocalShards(case.shards) if case.shards > 1 else None
    busy_s = processor_s()
    seconds, result = timed(lambda: simulate(scenario, folder / "run", store=store, executor=executor))
    busy_s = processor_s() - busy_s
    beside = case.shards * int(result.timing["worker_peak_rss_bytes"]) if executor is not None else 0
    return Figures(
        interactions=result.summary["interactions"],
        requests=result.summary["requests"]["asked"],
        setup_s=setup_s,
        seconds=seconds,
        cpu_s=busy_s,
        peak_rss_bytes=peak_rss_bytes() + beside,
    )


def _regional(case: Case) -> sections.Scenario:
    """The fleet in four equal regions, four devices a user, lists of an item LM that was not trained."""
    users = max(case.devices // _CLONES, 1)
    whole = bench_scenario(case.devices, case.srm, case.dim, case.ratio, case.list_length, users)
    candidates = ItemLm(dim=32, layers=1, heads=2, max_length=20, epochs=0)
    return whole.model_copy(
        update={
            "duration": 86_400.0,
            "llm": whole.llm.model_copy(update={"candidates": candidates}),
            "cloud": whole.cloud.model_copy(update={"slo": sections.Slo(p95_latency=30.0)}),
            "regions": tuple(sections.Region(name=name, share=0.25) for name in ("east", "north", "south", "west")),
            "engine": sections.Engine(threads=1),
        }
    )
