"""The monthly bills of a finished run, in memory or on disk; of one in regions those of its regions together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.months import MONTH_S
from fleetrec.simulator.core.randomness import Draws, RegionDraws
from fleetrec.simulator.core.resampling import interval
from fleetrec.simulator.experiments.breakeven.monthly import WAYS, Monthly, MonthlyBills, Terms, Way
from fleetrec.simulator.records.run_manifest import check_one_run
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.regional import clouds_of, device_bounds
from fleetrec.simulator.scenario.text_files import read_object

_COLUMNS = {
    "requests": {"request", "device", "t_arrived_s", "prompt_tokens", "gpu_seconds", "joules", "usd_network"},
    "devices": {"user", "bytes_up", "bytes_down"},
    "interactions": {"device"},
}
"""of the tables that bills are made from"""


def monthly(run: RunResult, fleet: int) -> dict[Way, Monthly]:
    """Dollars a month of each way that the run's scenario has, for a fleet of this size."""
    return bills_of(run).at(fleet)


class RegionalBills:
    """The bills of a run in regions: each serves its own devices on its own cloud; trainings are the fleet's."""

    def __init__(self, own: Sequence[MonthlyBills], regions: Sequence[sections.Region], training_usd: float):
        """`training_usd` is what trainings cost a device in a month."""
        self._own, self._regions, self._training_usd = own, regions, training_usd

    @property
    def represents(self) -> int:
        """Devices of the fleet that the simulated one stands for."""
        return sum(bills.represents for bills in self._own)

    @property
    def ways(self) -> list[Way]:
        """Those that all regions have."""
        return [way for way in WAYS if all(way in bills.ways for bills in self._own)]

    def at(self, fleet: int, ways: Sequence[Way] | None = None) -> dict[Way, Monthly]:
        """The bills of a fleet of this size, of which each region has its share."""
        sizes = np.diff(device_bounds(self._regions, fleet)).tolist()
        found = [bills.at(size, ways or self.ways) for bills, size in zip(self._own, sizes, strict=True)]
        asked = [bills.asked_per_month(size) for bills, size in zip(self._own, sizes, strict=True)]
        interactions, requests = np.array(asked).sum(axis=0).tolist()
        summed = {}
        for way in ways or self.ways:
            bills = [one[way] for one in found]
            training_usd, replicas = self._training_usd * fleet, [bill.replicas for bill in bills]
            usd = sum(bill.usd for bill in bills) + training_usd
            draws = np.sum([bill.draws for bill in bills], axis=0) + training_usd
            refused = sum(bill.refused * one.requests for bill, one in zip(bills, asked, strict=True))
            summed[way] = Monthly(
                way,
                fleet,
                usd,
                *interval(draws),
                1000 * usd / max(interactions, 1.0),
                None if None in replicas else sum(n for n in replicas if n is not None),
                sum(bill.gpu_joules for bill in bills),
                sum(bill.gco2 for bill in bills),
                refused / requests if requests else 0.0,
                draws,
            )
        return summed


Bills = MonthlyBills | RegionalBills


def bills_of(run: RunResult) -> Bills:
    """Those of a finished run, from its tables and summary. InputError where its cloud cannot be billed so."""
    scenario, summary = run.scenario, run.summary
    if scenario.policy.slate.by_cloud_srm:
        raise InputError("policy.slate: an SRM in the cloud has no GPUs; take a slate of the LLM's lists")
    horizon_s, training_usd = summary["simulated_seconds"], summary["cost"]["usd_training"]
    requests, devices, of = run.requests, run.devices, run.interactions["device"].to_numpy()
    pushed, surge = scenario.policy.request.push_period_s() is not None, scenario.fleet.surge

    def terms(cloud: sections.Cloud, represents: int) -> Terms:
        return Terms(scenario.llm, cloud, scenario.tariffs, surge, pushed, horizon_s, represents)

    if not scenario.regions:
        counts, draws = np.bincount(of, minlength=len(devices)), Draws(scenario.seed)
        whole = terms(scenario.cloud, summary["represented"]["devices"])
        return MonthlyBills(whole, requests, devices, counts, training_usd, draws)
    bounds, own = device_bounds(scenario.regions, len(devices)), []
    clouds = zip(scenario.regions, clouds_of(scenario), bounds, bounds[1:], strict=False)
    for region, cloud, low, high in clouds:
        here = requests[requests["region"] == region.name]
        here = here.assign(device=here["device"] - low)
        counts = np.bincount(of[(of >= low) & (of < high)] - low, minlength=high - low)
        part = terms(cloud, summary["by_region"][region.name]["represented"]["devices"])
        draws = RegionDraws(scenario.seed, region.name, low)
        own.append(MonthlyBills(part, here, devices.iloc[low:high], counts, 0.0, draws))
    return RegionalBills(own, scenario.regions, training_usd / len(devices) * MONTH_S / horizon_s)


def read_bills(folder: Path) -> Bills:
    """Those of a finished run's folder. InputError where its files are not of one run, or of one that was made before
    they told what bills are made from."""
    files = {name: f"{name}.parquet" for name in _COLUMNS}
    check_one_run(folder, tuple(files.values()))
    summary = read_object(folder / "summary.json", "summary", "the folder of a finished run")
    tables = {name: pd.read_parquet(folder / file) for name, file in files.items()}
    for name, wanted in _COLUMNS.items():
        if lacking := wanted - set(tables[name]):
            raise InputError(f"{folder / files[name]}: has no {min(lacking)}; run it again")
    return bills_of(RunResult(summary, tables, Scenario.load(folder / "scenario.yaml")))
