"""The fleet: users of devices, class shares, speeds; and the grounding of the default classes in measured phones."""

from math import inf
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fit_device_and_link_presets import class_scores, fit_compute
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.fleet.devices import build_fleet
from fleetrec.simulator.scenario.sections import DeviceClass, Fleet, default_classes


def test_fewer_devices_than_users_are_a_sample_without_repeats_in_user_order() -> None:
    users = build_fleet(Fleet(devices=300), 1000, Draws(1)).user
    assert len(set(users.tolist())) == 300
    assert (np.diff(users) > 0).all()
    assert users.max() < 1000
    # every user has the same chance: mean of a uniform sample without replacement, 4 standard errors
    assert abs(users.mean() - 499.5) < 4 * 1000 / np.sqrt(12 * 300)


def test_as_many_devices_as_users_hold_every_user_once() -> None:
    assert build_fleet(Fleet(devices=50), 50, Draws(1)).user.tolist() == list(range(50))


def test_more_devices_than_users_hold_every_user_first_and_clone_them_evenly() -> None:
    users = build_fleet(Fleet(devices=130), 50, Draws(1)).user
    assert users[:50].tolist() == list(range(50))
    assert set(np.bincount(users, minlength=50).tolist()) == {2, 3}


def test_class_shares_are_those_of_the_scenario() -> None:
    fleet = build_fleet(Fleet(devices=20_000), 20_000, Draws(3))
    counts = np.bincount(fleet.class_index, minlength=3) / fleet.n_devices
    for share, wanted in zip(counts, (0.3, 0.5, 0.2), strict=True):
        assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 20_000)
    assert fleet.class_names == ("high_end", "mid_range", "low_end")


def test_a_class_of_share_zero_has_no_device() -> None:
    classes = tuple(DeviceClass(name=name, share=share) for name, share in (("a", 0.0), ("b", 1.0), ("c", 0.0)))
    assert set(build_fleet(Fleet(devices=500, classes=classes), 500, Draws(1)).class_index.tolist()) == {1}


def test_speeds_are_log_normal_about_the_median_of_the_class() -> None:
    classes = (DeviceClass(name="phone", share=1.0, speed=8e9, speed_spread=0.3),)
    logs = np.log(build_fleet(Fleet(devices=20_000, classes=classes), 20_000, Draws(2)).speed_flops)
    assert abs(logs.mean() - np.log(8e9)) < 4 * 0.3 / np.sqrt(20_000)
    assert abs(logs.std() - 0.3) < 4 * 0.3 / np.sqrt(2 * 20_000)


def test_compute_time_is_overhead_plus_flops_over_speed_and_energy_is_power_times_time() -> None:
    classes = (DeviceClass(name="phone", share=1.0, speed=1e9, speed_spread=0, overhead=0.01, power=2, battery=5),)
    fleet = build_fleet(Fleet(devices=3, classes=classes), 3, Draws(1))
    seconds = fleet.compute_seconds(5e7)
    assert seconds == pytest.approx([0.06] * 3)
    assert fleet.compute_joules(seconds) == pytest.approx([0.12] * 3)
    assert fleet.battery_j.tolist() == [5.0] * 3


def test_a_class_without_a_battery_limit_never_runs_empty() -> None:
    assert set(build_fleet(Fleet(devices=5), 5, Draws(1)).battery_j.tolist()) == {inf}


def test_a_device_is_the_same_whatever_the_size_of_the_fleet() -> None:
    small, large = (build_fleet(Fleet(devices=n), 2000, Draws(7)) for n in (100, 2000))
    assert (small.class_index == large.class_index[:100]).all()
    assert (small.speed_flops == large.speed_flops[:100]).all()


def test_the_default_classes_are_the_fits_to_measured_phones(data_dir: Path) -> None:
    compute = fit_compute(data_dir / "devices" / "on_device_training")
    scores = class_scores(data_dir / "devices" / "ai_benchmark_phones.json")
    for cls in default_classes():
        relative, sigma = scores[cls.name]
        assert cls.speed == pytest.approx(compute.speed_flops * relative, rel=0.02)
        assert cls.speed_spread == pytest.approx(sigma, abs=0.01)
    assert default_classes()[0].power == pytest.approx(compute.power_w, rel=0.02)
    # five times LeNet's operators, slower phones need longer for each; rounded up to a millisecond
    assert default_classes()[0].overhead == pytest.approx(5 * compute.overhead_s, rel=0.12)
    assert default_classes()[1].overhead == pytest.approx(5 * compute.overhead_s / scores["mid_range"][0], rel=0.16)
    assert default_classes()[2].overhead == pytest.approx(5 * compute.overhead_s / scores["low_end"][0], rel=0.12)
