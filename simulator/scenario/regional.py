"""What a region's part of a scenario is: a scenario of its own, on some of the fleet's devices."""

from itertools import accumulate

from fleetrec.simulator.scenario import sections


def device_bounds(scenario: sections.Scenario) -> list[int]:
    """Region r has the devices bounds[r] .. bounds[r + 1] - 1 of the fleet: contiguous, in the regions' order."""
    return _dealt(scenario, scenario.fleet.devices)


def regional(scenario: sections.Scenario, index: int) -> sections.Scenario:
    """The scenario of region `index`, without regions. `fleet.devices` stays that of the whole fleet, so that a device
    is the same wherever it is simulated; `fleet.represents` and the budget's burst are the region's share."""
    region, fleet, arrivals = scenario.regions[index], scenario.fleet, scenario.workload.arrivals
    low, high = device_bounds(scenario)[index : index + 2]
    fleet_changes: dict[str, object] = {}
    if fleet.represents is not None:
        first, end = _dealt(scenario, fleet.represents)[index : index + 2]
        fleet_changes["represents"] = end - first
    if region.link is not None:
        fleet_changes["classes"] = tuple(one.model_copy(update={"link": region.link}) for one in fleet.classes)
    if region.peak_hour is not None:
        arrivals = arrivals.model_copy(update={"peak_hour": region.peak_hour})
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


def _dealt(scenario: sections.Scenario, total: int) -> list[int]:
    """`total` things dealt to the regions by share, as bounds [R + 1]."""
    edges = [round(total * min(edge, 1.0)) for edge in accumulate(region.share for region in scenario.regions)]
    return [0, *edges[:-1], total]
