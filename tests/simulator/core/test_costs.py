"""Costs add up like numbers and follow the tariffs."""

import pytest

from fleetrec.simulator.core.costs import (
    Cost,
    carbon_signal,
    cpu_cost,
    device_cost,
    energy_cost,
    network_cost,
    rent_cost,
)
from fleetrec.simulator.scenario.sections import Tariffs


def test_costs_add_up_like_numbers() -> None:
    one = Cost(usd=1, joules=2, bytes_up=3, bytes_down=4, gco2=5, gpu_seconds=6)
    assert one + one + Cost() == Cost(2, 4, 6, 8, 10, 12)
    assert sum([one, one, one], Cost()) == sum([one, one, one]) == Cost(3, 6, 9, 12, 15, 18)
    assert sum([]) == 0


def test_a_cost_does_not_add_to_a_plain_number() -> None:
    with pytest.raises(TypeError):
        1 + Cost()


def test_traffic_is_charged_by_direction_and_decimal_gigabyte() -> None:
    cost = network_cost(2e9, 5e9, Tariffs(gb_up=0.01, gb_down=0.08))
    assert cost == Cost(usd=2 * 0.01 + 5 * 0.08, bytes_up=2e9, bytes_down=5e9)


def test_two_gpus_for_an_hour_cost_two_gpu_hours_and_spot_capacity_its_share() -> None:
    assert rent_cost(7200, 3.0) == Cost(usd=6.0, gpu_seconds=7200)
    assert rent_cost(7200, 3.0, price_factor=0.25).usd == pytest.approx(1.5)


def test_the_energy_of_gpus_is_charged_by_its_tariff_and_emits_what_the_grid_emits() -> None:
    cost = energy_cost(1.4 * 3.6e6, Tariffs(energy_kwh=0.1), gco2_per_kwh=400)
    assert cost.joules == 1.4 * 3.6e6
    assert cost.usd == pytest.approx(0.14)
    assert cost.gco2 == pytest.approx(560)


def test_carbon_follows_the_signal_at_the_moment_of_use() -> None:
    assert carbon_signal(Tariffs(carbon=250.0)).at(1e6) == 250.0
    assert device_cost(3.6e6, carbon_signal(Tariffs(carbon=250.0)).at(0)) == Cost(joules=3.6e6, gco2=250.0)


def test_a_core_hour_costs_its_tariff() -> None:
    assert cpu_cost(1800, Tariffs(cpu_hour=0.06)) == Cost(usd=0.03)
