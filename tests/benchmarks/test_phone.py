"""What a phone's times and counters are made into."""

import time
from pathlib import Path

import pytest

from benchmarks.phone import Meter, class_of


def test_a_class_meets_both_rankings_or_where_no_call_takes_a_fixed_time_the_first() -> None:
    speed, overhead = class_of((2e6, 12e6), (0.004, 0.009))
    assert (speed, overhead) == pytest.approx((2e9, 0.003))
    assert class_of((2e6, 4e6), (0.001, 0.003)) == (2e9, 0.0)
    assert class_of((2e6, 4e6), (0.002, 0.001)) == (1e9, 0.0)


def test_power_is_what_counters_say_also_where_they_begin_anew(tmp_path: Path) -> None:
    package = tmp_path / "class" / "powercap" / "intel-rapl:0"
    package.mkdir(parents=True)
    (package / "max_energy_range_uj").write_text("1000000\n")
    (package / "energy_uj").write_text("990000\n")
    meter = Meter(tmp_path)

    def work() -> None:
        time.sleep(0.01)
        used = int((package / "energy_uj").read_text()) + 5000
        (package / "energy_uj").write_text(f"{used % 1_000_000}\n")

    began = time.perf_counter()
    watts, times = meter.watts(work, 0.1)
    assert meter.source == "RAPL"
    assert 0.1 * watts <= 0.005 * times <= watts * (time.perf_counter() - began)


def test_a_battery_that_discharges_is_read_and_one_on_a_charger_is_not(tmp_path: Path) -> None:
    battery = tmp_path / "class" / "power_supply" / "battery"
    battery.mkdir(parents=True)
    for name, text in (("current_now", "-500000"), ("voltage_now", "4000000"), ("status", "Charging")):
        (battery / name).write_text(text)
    assert Meter(tmp_path).source is None
    (battery / "status").write_text("Discharging")
    assert Meter(tmp_path).watts(lambda: time.sleep(0.01), 0.05)[0] == pytest.approx(2.0)
