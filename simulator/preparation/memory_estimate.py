"""Whether a fleet fits this machine's memory, said before it is simulated.

What a device and an interaction take at the peak of a run is measured by benchmarks/memory_per_device.py.
"""

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import available_bytes
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.fleet.population import Population

DEVICE_BYTES = 3_000
INTERACTION_BYTES = 800


def needed_bytes(devices: int, interactions: int) -> int:
    """What a world of so many devices, which meet so many interactions, takes beside what is prepared for it."""
    return devices * DEVICE_BYTES + interactions * INTERACTION_BYTES


def check_memory(population: Population, at_once: int = 1) -> None:
    """InputError where `at_once` worlds of this size have no room here; silent where a machine does not say."""
    devices, interactions = population.n_devices, int(population.n_interactions.sum())
    needed, free = at_once * needed_bytes(devices, interactions), available_bytes()
    if free is None or needed <= free:
        return
    worlds = "" if at_once == 1 else f"{at_once} regions at once, each with "
    fewer = "lower fleet.devices or duration" if at_once == 1 else "take fewer --shards, or lower fleet.devices"
    raise InputError(
        f"{worlds}{counted(devices, 'device')} with {counted(interactions, 'interaction')} need about "
        f"{needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free; {fewer}, or give the fleet "
        "more regions, which one process simulates one after the other"
    )
