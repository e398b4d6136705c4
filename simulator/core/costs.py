"""Cost is a value: dollars, joules, bytes, grams of CO2 and GPU-seconds add up like numbers (after LEAF's power.py).

Functions turn what was used into a Cost by the scenario's tariffs. GB are 1e9 bytes. Figures of a GPU (price, power)
come from the cloud's catalogue.
"""

from dataclasses import dataclass

from fleetrec.simulator.core.signals import Signal, signal_of
from fleetrec.simulator.scenario.sections import Tariffs

JOULES_PER_KWH = 3.6e6
HOUR_S = 3600.0
GB = 1e9


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost. `joules` counts energy wherever it was drawn: keep accounts apart in Costs of their own."""

    usd: float = 0.0
    joules: float = 0.0
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    gco2: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.usd + other.usd,
            self.joules + other.joules,
            self.bytes_up + other.bytes_up,
            self.bytes_down + other.bytes_down,
            self.gco2 + other.gco2,
            self.gpu_seconds + other.gpu_seconds,
        )

    def __radd__(self, other: int) -> "Cost":
        """sum() starts from the integer 0."""
        if other != 0:
            return NotImplemented
        return self


NOTHING = Cost()


def carbon_signal(tariffs: Tariffs) -> Signal:
    """Grid carbon intensity in gCO2 per kWh: a constant, or the CSV's trace from simulated time 0, repeated."""
    return signal_of(tariffs.carbon, "tariffs.carbon")


def network_cost(bytes_up: float, bytes_down: float, tariffs: Tariffs) -> Cost:
    """Traffic between devices and the cloud."""
    usd = bytes_up / GB * tariffs.gb_up + bytes_down / GB * tariffs.gb_down
    return Cost(usd=usd, bytes_up=bytes_up, bytes_down=bytes_down)


def rent_cost(gpu_seconds: float, usd_per_hour: float, price_factor: float = 1.0) -> Cost:
    """GPUs rented for `gpu_seconds` in all; `price_factor` is for spot capacity."""
    usd = gpu_seconds / HOUR_S * usd_per_hour * price_factor
    return Cost(usd=usd, gpu_seconds=gpu_seconds)


def grams_co2(joules: float, gco2_per_kwh: float) -> float:
    """Of energy at a carbon intensity of the grid."""
    return joules / JOULES_PER_KWH * gco2_per_kwh


def energy_cost(joules: float, tariffs: Tariffs, gco2_per_kwh: float) -> Cost:
    """Energy that GPUs drew: its tariff comes on top of the rent."""
    kwh = joules / JOULES_PER_KWH
    return Cost(usd=kwh * tariffs.energy_kwh, joules=joules, gco2=grams_co2(joules, gco2_per_kwh))


def cpu_cost(core_seconds: float, tariffs: Tariffs) -> Cost:
    """Time on a core of a cloud CPU."""
    return Cost(usd=core_seconds / HOUR_S * tariffs.cpu_hour)


def device_cost(joules: float, gco2_per_kwh: float) -> Cost:
    """Energy that devices drew: no dollars in anyone's bill here, but carbon of the grid that charges them."""
    return Cost(joules=joules, gco2=grams_co2(joules, gco2_per_kwh))
