"""`breakeven`: dollars a month against the size of the fleet, of each way to serve each request policy's requests.

Each policy is simulated on own GPUs, and with the API's latency where the scenario has an API. The runs tell what users
get and what is asked; `monthly.py` tells what it costs.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Literal

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.core.notes import ENGAGEMENT, Note, data_of, note
from fleetrec.simulator.experiments.breakeven.bills import bills_of
from fleetrec.simulator.experiments.breakeven.crossings import crossing
from fleetrec.simulator.experiments.breakeven.monthly import WAYS, Monthly, Way
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.preparation.prepare import check_asked, prepare
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.sentences import money
from fleetrec.simulator.results.summary import finite, headline_metric
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.regional import clouds_of
from fleetrec.simulator.scenario.units import COUNT
from fleetrec.simulator.simulation import run_prepared

PER_DECADE = 8
"""fleets that are looked at between one and ten times as many"""
NAMES: dict[Way, str] = {
    "gpus": "own GPUs",
    "autoscaled": "own GPUs, autoscaled",
    "spot": "own GPUs on spot capacity",
    "api": "hosted API",
    "overflow": "own GPUs, and the API for peaks",
    "none": "none: the SRM alone",
}

_SIMPLEST: tuple[Way, ...] = ("api", "gpus", "spot", "autoscaled", "overflow")
_ALIKE = 1.005
_REFUSED = 0.001
"""the share of the requests from which on it is said that limits refuse some"""
_NOTHING_ASKED = "no device asks the cloud, so there is nothing to serve, in any way"

OfFleets = list[dict[Way, Monthly]]


def breakeven(
    scenarios: Mapping[str, sections.Scenario], fleets: Sequence[int], device: str, progress: Progress
) -> dict[str, Any]:
    """What `breakeven.json` holds, of one scenario under several policies, by their names; `fleets` rise."""
    first = next(iter(scenarios.values()))
    for fleet in fleets:
        check_fleet(first.fleet, first.regions, fleet)
    hosted = all(cloud.api is not None for cloud in clouds_of(first))
    by_api = [served_by("api", scenario) for scenario in scenarios.values() if hosted]
    for scenario in by_api:
        check_inputs(scenario)
    prepared = prepare(served_by("gpus", first), device, progress)
    for scenario in by_api:
        if not scenario.regions:  # each of which looks at what its own devices ask for
            check_asked(scenario, prepared.trained, prepared.population)
    policies, of_users = [], []
    with progress.task("bills of fleets", len(scenarios) * len(fleets)) as task:
        for name, scenario in scenarios.items():
            runs = [run_prepared(served_by("gpus", scenario), prepared, None, device, progress)]
            if hosted:
                runs.append(run_prepared(served_by("api", scenario), prepared, None, device, progress))
            of_users = [one for one in runs[0].summary["notes"] if one["key"] == ENGAGEMENT]
            own, api = bills_of(runs[0]), bills_of(runs[-1])
            bills: OfFleets = []
            for fleet in fleets:
                of_fleet = own.at(fleet, [way for way in own.ways if way != "api"])
                bills.append({**of_fleet, **(api.at(fleet, ["api"]) if len(runs) > 1 else {})})
                task.advance()
            with told_in(first.tariffs.currency):
                policies.append(_policy(name, runs, fleets, bills))
    said = "no hosted API: give cloud.api, or --api with a preset (docs/how-to/hosted_api.md)"
    notes = [*([] if hosted else [note("no_api", said)]), *_refusals(policies, fleets)]
    found = {
        "scenario": first.name,
        "seed": first.seed,
        "fleets": list(fleets),
        "ways": {way: NAMES[way] for way in WAYS if way in policies[0]["ways"]},
        "objective": " or ".join(dict.fromkeys(str(ServiceObjective.of(cloud.slo)) for cloud in clouds_of(first))),
        "api": "; ".join({cloud.api.source: 0 for cloud in clouds_of(first) if cloud.api is not None}) or None,
        "currency": first.tariffs.currency.model_dump(),
        "policies": policies,
        "notes": [*data_of(*notes), *of_users],
    }
    told: dict[str, Any] = finite(found)
    return told


def served_by(kind: Literal["gpus", "api", "overflow"], scenario: sections.Scenario) -> sections.Scenario:
    """The scenario served by its own GPUs alone, by its hosted API alone, or by both."""
    regions = tuple(
        region.model_copy(update={"cloud": region.cloud.model_copy(update={"kind": kind})})
        for region in scenario.regions
    )
    return scenario.model_copy(update={"cloud": scenario.cloud.model_copy(update={"kind": kind}), "regions": regions})


def _refusals(policies: Sequence[Mapping[str, Any]], fleets: Sequence[int]) -> list[Note]:
    """That the bills of an API are under limits that are wide enough, where the scenario's own are not."""
    found = []
    for policy in policies:
        refused = [(row["fleet"], row["refused_share"]) for row in policy["ways"].get("api", ())]
        binding = [pair for pair in refused if pair[1] >= _REFUSED]
        if binding:
            said = (
                "cloud.api.limits: the bills of the API are those under limits that are wide enough; the scenario's own"
                " would refuse {share:.1%} of what '{policy}' asks of it at {fleet:,} devices, and some from "
                "{first:,} on"
            )
            values = {"policy": policy["policy"], "fleet": binding[-1][0], "share": binding[-1][1]}
            found.append(note("api_limits_refuse", said, **values, first=binding[0][0]))
    return found


def fleets_of(text: str) -> list[int]:
    """The fleets of `1e4..1e8`, `PER_DECADE` in each decade and both ends, or the one of `200k`."""
    low, dots, high = text.partition("..")
    ends = [_fleet(end, text) for end in ((low, high) if dots else (low,))]
    if ends[0] > ends[-1]:
        raise InputError(f"--fleet {text}: the range is upside down; write {ends[-1]:g}..{ends[0]:g}")
    if ends[0] == ends[-1]:
        return ends[:1]
    steps = max(math.ceil(math.log10(ends[1] / ends[0]) * PER_DECADE - 1e-9), 1)
    between = np.geomspace(ends[0], ends[1], steps + 1)[1:-1]
    return sorted({ends[0], *(round(float(fleet)) for fleet in between), ends[1]})


def _fleet(text: str, whole: str) -> int:
    try:
        fleet = COUNT.read(text)
    except ValueError:
        fleet = math.nan
    if not (fleet >= 1 and fleet == int(fleet)):
        raise InputError(f"--fleet {whole}: {text!r} is no number of devices; write 1e6, 200k or a range, 1e4..1e8")
    return int(fleet)


def check_fleet(section: sections.Fleet, regions: Sequence[sections.Region], fleet: int) -> None:
    """InputError where a class of devices or a region has none of them."""
    shares = {f"fleet.classes.{number}.share": one.share for number, one in enumerate(section.classes)}
    shares |= {f"regions.{number}.share": one.share for number, one in enumerate(regions)}
    for key, share in shares.items():
        if 0 < share * fleet < 1:
            raise InputError(
                f"--fleet {fleet}: {share:g} of them ({key}) is not one device; name at least {math.ceil(1 / share):,}"
            )


def _policy(name: str, runs: Sequence[RunResult], fleets: Sequence[int], bills: OfFleets) -> dict[str, Any]:
    """One policy: what its users get, and what it costs."""
    ways = [way for way in WAYS if way in bills[0]]
    metric = headline_metric(runs[0].scenario.metrics.k)
    sizes = np.array(fleets, dtype=np.float64)
    usd = {way: np.array([of[way].usd for of in bills]) for way in ways}
    draws = {way: np.stack([of[way].draws for of in bills], axis=1) for way in ways}
    found = []
    for way, other in permutations([way for way in ways if way != "none"], 2):
        at = crossing(sizes, usd[way], usd[other], draws[way], draws[other])
        if at is not None and (at.low > 0 or at.high < math.inf):  # else chance alone may have made it
            found.append({"cheaper": way, "than": other, **at._asdict()})
    asked = runs[0].summary["requests"]["asked"]
    return {
        "policy": name,
        "metric": metric,
        "accuracy": {run.scenario.cloud.kind: _accuracy(run, metric) for run in runs},
        "srm_alone": runs[0].summary["baselines"]["srm"][metric],
        "requests_per_interaction": runs[0].summary["requests"]["asked_ratio"],
        "ways": {way: [_figures(of[way]) for of in bills] for way in ways},
        "cheapest": [_cheapest(of) if asked else "none" for of in bills],
        "crossings": found,
        "sentence": _sentence(fleets, bills) if asked else _NOTHING_ASKED,
    }


def _sentence(fleets: Sequence[int], bills: OfFleets) -> str:
    """Which way is cheapest, from which fleet on."""
    stretches: list[tuple[str, Way, float]] = []
    for fleet, of in zip(fleets, bills, strict=True):
        way = _cheapest(of)
        if not stretches or stretches[-1][1] != way:
            stretches.append((f"{fleet:,}", way, of[way].usd))
    first, *others = stretches
    text = f"cheapest is {NAMES[first[1]]} for {first[0]} devices, at {money(first[2])} a month"
    return text + "".join(f"; from {since} on {NAMES[way]}, at {money(usd)}" for since, way, usd in others)


def _cheapest(of: Mapping[Way, Monthly]) -> Way:
    """The way that costs least; of those that cost as much but for half of 1% the simplest."""
    usd: dict[Way, float] = {way: bill.usd for way, bill in of.items() if way != "none" and not math.isnan(bill.usd)}
    least = min(usd.values(), default=0.0)
    return next((way for way in _SIMPLEST if usd.get(way, math.inf) <= least * _ALIKE), "none")


def _accuracy(run: RunResult, metric: str) -> dict[str, Any]:
    return {metric: run.summary["accuracy"][metric], "gain_over_srm": run.summary["gain_over"]["srm"]}


def _figures(bill: Monthly) -> dict[str, Any]:
    return {
        "fleet": bill.fleet,
        "usd_per_month": bill.usd,
        "usd_per_month_low": bill.low,
        "usd_per_month_high": bill.high,
        "usd_per_1k_interactions": bill.usd_per_1k_interactions,
        "replicas": bill.replicas,
        "gpu_joules_per_month": bill.gpu_joules,
        "gco2_per_month": bill.gco2,
        "refused_share": bill.refused,
    }
