"""What a region's part of a scenario is: a scenario of its own, on some of the fleet's devices."""

from collections.abc import Sequence
from itertools import accumulate

from fleetrec.simulator.scenario import sections


def device_bounds(regions: Sequence[sections.Region], devices: int) -> list[int]:
    """Region r has bounds[r] .. bounds[r + 1] - 1 of so many devices: contiguous, in the regions' order, by share."""
    edges = [round(devices * min(edge, 1.0)) for edge in accumulate(region.share for region in regions)]
    return [0, *edges[:-1], devices]


def arrivals_of(region: sections.Region, arrivals: sections.Arrivals) -> sections.Arrivals:
    """Those of a region, which may have its peak at an hour of its own."""
    return arrivals if region.peak_hour is None else arrivals.model_copy(update={"peak_hour": region.peak_hour})


def clouds_of(scenario: sections.Scenario) -> list[sections.Cloud]:
    """Those of its regions; without regions its own."""
    return [regional(scenario, number).cloud for number in range(len(scenario.regions))] or [scenario.cloud]


def engines_of(scenario: sections.Scenario) -> set[sections.EngineName | None]:
    """The serving engines of all its clouds' replicas; None: those of the roofline alone."""
    return {section.engine for cloud in clouds_of(scenario) for _, section in cloud.machines()}


def regional(scenario: sections.Scenario, index: int) -> sections.Scenario:
    """The scenario of region `index`, without regions. `fleet.devices` stays that of the whole fleet, so that a device
    is the same wherever it is simulated; `fleet.represents` and the budget's burst are the region's share."""
    region, fleet = scenario.regions[index], scenario.fleet
    low, high = device_bounds(scenario.regions, fleet.devices)[index : index + 2]
    fleet_changes: dict[str, object] = {}
    if fleet.represents is not None:
        first, end = device_bounds(scenario.regions, fleet.represents)[index : index + 2]
        fleet_changes["represents"] = end - first
    if region.link is not None:
        fleet_changes["classes"] = tuple(one.model_copy(update={"link": region.link}) for one in fleet.classes)
    arrivals = arrivals_of(region, scenario.workload.arrivals)
    policy = scenario.policy
    budget, update = policy.budget, policy.update.trained_on(scenario.cloud.gpu)  # the fleet's, not the region's
    if budget.scope == "fleet" and budget.burst is not None:
        part = max(budget.burst * (high - low) / fleet.devices, min(budget.burst, 1.0))
        budget = budget.model_copy(update={"burst": part})
    changed = {name: getattr(region.cloud, name) for name in region.cloud.model_fields_set}
    return scenario.model_copy(
        update={
            "regions": (),
            "cloud": scenario.cloud.model_copy(update=changed),
            "fleet": fleet.model_copy(update=fleet_changes),
            "workload": scenario.workload.model_copy(update={"arrivals": arrivals}),
            "policy": policy.model_copy(update={"budget": budget, "update": update}),
        }
    )
