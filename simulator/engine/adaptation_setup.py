"""What on-device adaptation takes on each device, built from a scenario, and whether it can happen at all."""

import math
import os
from array import array
from functools import cache
from typing import TYPE_CHECKING

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.engine.adaptation import OwnAdapter
from fleetrec.simulator.engine.retraining import FleetLearning
from fleetrec.simulator.policies.request.decision_points import DecisionPoints
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario import sections

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.device_adapters import OwnWeights


def own_weights(
    section: sections.Adaptation | None, loss: str, prepared: Prepared, learning: FleetLearning | None
) -> "OwnWeights | None":
    """What devices will learn by themselves; None where they do not. InputError for an adapter that cannot be. `loss`
    of the SRM; `learning`: the cloud that makes new versions of it, if any."""
    if section is None:
        return None
    from fleetrec.models.srm.adapters import adapter_form
    from fleetrec.simulator.ranking.device_adapters import OwnWeights

    adapter_form(section, prepared.srm.model)
    return OwnWeights(
        section,
        cache(lambda version: adapter_form(section, (learning.srm_of(version) if learning else prepared.srm).model)),
        prepared.trained.histories,
        prepared.srm.model.max_length,
        loss == "full_softmax",
        prepared.population.users,
        prepared.draws,
    )


def own_adapters(
    section: sections.Adaptation | None,
    prepared: Prepared,
    points: DecisionPoints,
    times: "array[float]",
    weights: DeviceWeights,
    log: UpdateLog,
) -> list[OwnAdapter] | list[None]:
    """When each device [D] fine-tunes, and what it takes; None of one that does not. `times` of the stream."""
    fleet = prepared.population.fleet
    if section is None:
        return [None] * prepared.population.n_devices
    flops = adaptation_flops(section, prepared)
    train_s = fleet.overhead_s + flops / fleet.speed_flops
    _check_that_it_fires(section, prepared, points)
    rule = section.when.running(points, prepared.population.stream.horizon_s)
    columns = (train_s.tolist(), (train_s * fleet.power_w).tolist(), prepared.population.first_step.tolist())
    return [
        OwnAdapter(device, rule, *values, times, weights, log)
        for device, values in enumerate(zip(*columns, strict=True))
    ]


def _check_that_it_fires(section: sections.Adaptation, prepared: Prepared, points: DecisionPoints) -> None:
    """InputError for a schedule that no device can follow, or whose parameters do not fit into memory."""
    from fleetrec.models.srm.adapters import adapter_form

    when, population = section.when, prepared.population
    longest = int(population.n_interactions.max(initial=0))
    spacing: int = getattr(when, when.spaced_by) if when.spaced_by else 1
    wanted = spacing * when.spaces_at_first
    if wanted > longest:
        raise InputError(
            f"policy.update.when.{when.spaced_by}: no device ever adapts, since it takes "
            f"{counted(wanted, 'interaction')} and the busiest device has {longest}; lower it"
        )
    never = when.never(points.gaps_s())
    if never is not None:
        raise InputError(f"policy.update.when.{never[0]}: {never[1]}")
    rows = int(population.n_interactions.sum())
    size = adapter_form(section, prepared.srm.model).size
    needed_bytes = 4.0 * size * rows / spacing
    available = 0.5 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed_bytes > available:
        raise InputError(
            f"policy.update: adaptations of {size:,} numbers each may take {needed_bytes / 1e9:,.1f} GB, and half of "
            f"this machine's memory is {available / 1e9:,.1f} GB; lower adapter.rank, adapt a smaller module, "
            "adapt less often, or lower fleet.devices"
        )


def adaptation_flops(section: sections.Adaptation, prepared: Prepared) -> float:
    """FLOPs of one adaptation on a device: states of its window, then forward and backward passes."""
    from fleetrec.models.srm.adapters import adapter_form

    srm, model = prepared.trained.srm, prepared.srm.model
    form = adapter_form(section, model)
    compared = section.window * 2.0 * model.dim * (1 + section.negatives)
    windows = math.ceil(section.window / model.max_length)
    if form.inside:
        return section.steps * 3.0 * (srm.flops_encode + compared)
    return windows * srm.flops_encode + section.steps * 3.0 * (section.window * 2.0 * form.size + compared)
