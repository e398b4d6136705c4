"""Links: loss shares, transfer times against the formula, common draws; presets against the measured data."""

import tarfile
from math import exp, inf, log, sqrt
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from benchmarks.fit_device_and_link_presets import (
    fit_3g_speed,
    fit_cellular,
    fit_wifi_speed,
    near_wired_rtt_s,
)
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.fleet.devices import FleetTable, build_fleet
from fleetrec.simulator.fleet.network import PRESETS, Network
from fleetrec.simulator.scenario.sections import ConstantLink, DeviceClass, Fleet, Link, PresetLink, TraceLink


def network_of(link: Link, n_devices: int = 1, seed: int = 1) -> tuple[Network, FleetTable]:
    section = Fleet(devices=n_devices, classes=(DeviceClass(name="phone", share=1.0, link=link),))
    fleet = build_fleet(section, n_devices, Draws(seed))
    return Network(section, fleet, Draws(seed)), fleet


def test_a_message_on_a_constant_link_takes_half_the_round_trip_plus_its_bits_over_the_bandwidth() -> None:
    network, _ = network_of(ConstantLink(rtt=0.1, up=8e6, down=80e6))
    assert network.up(0, 3, 0, 500_000, 12.0) == pytest.approx(0.05 + 0.5)
    assert network.down(0, 3, 0, 500_000, 12.0) == pytest.approx(0.05 + 0.05)


def test_the_share_of_lost_messages_is_the_links_loss() -> None:
    network, _ = network_of(ConstantLink(loss=0.1), n_devices=20)
    lost = sum(network.up(d, step, 0, 100, 0.0) is None for d in range(20) for step in range(1000))
    assert abs(lost / 20_000 - 0.1) < 4 * sqrt(0.1 * 0.9 / 20_000)


def test_a_link_that_loses_everything_delivers_nothing_and_one_without_loss_everything() -> None:
    sure, never = network_of(ConstantLink(loss=0))[0], network_of(ConstantLink(loss=1))[0]
    assert all(sure.up(0, step, 0, 1, 0.0) is not None for step in range(500))
    assert all(never.down(0, step, 0, 1, 0.0) is None for step in range(500))


def test_whether_a_first_request_is_lost_is_known_before_it_is_sent() -> None:
    network, _ = network_of(ConstantLink(loss=0.2), n_devices=5)
    device, step = np.repeat(np.arange(5), 200), np.tile(np.arange(200), 5)
    sent = zip(device.tolist(), step.tolist(), strict=True)
    fates = [network.up(*one, 0, 1, 0.0) is None or network.down(*one, 0, 1, 9.0) is None for one in sent]
    assert network.loses(device, step, 0).tolist() == fates
    assert 0.3 < np.mean(fates) < 0.42


def test_latency_is_log_normal_about_the_devices_own_half_round_trip() -> None:
    network, _ = network_of(PresetLink(kind="lte", loss=0.2))
    times = [network.up(0, step, 0, 0, 0.0) for step in range(20_000)]
    logs = np.log([time for time in times if time is not None])
    jitter = PRESETS["lte"].jitter
    assert abs(logs.mean() - log(network.rtt_s[0] / 2)) < 4 * jitter / sqrt(len(logs))
    assert abs(logs.std() - jitter) < 4 * jitter / sqrt(2 * len(logs))


def test_the_mean_time_of_a_message_agrees_with_the_formula() -> None:
    network, _ = network_of(PresetLink(kind="5g", loss=0.0))
    jitter, one_way_s = PRESETS["5g"].jitter, float(network.rtt_s[0]) / 2
    times = np.array([network.down(0, step, 0, 20_000, 0.0) for step in range(20_000)], dtype=np.float64)
    expected = one_way_s * exp(jitter**2 / 2) + 160_000 / network.down_bps[0]
    assert times.mean() == pytest.approx(expected, rel=4 * jitter / sqrt(20_000))


def test_speeds_and_round_trips_of_devices_are_log_normal_about_the_presets_medians() -> None:
    n_devices = 20_000
    for kind in ("wifi", "lte", "5g", "3g"):
        network, _ = network_of(PresetLink(kind=kind), n_devices)
        preset = PRESETS[kind]
        for values, median, sigma in (
            (network.up_bps, preset.up_bps, preset.up_sigma),
            (network.down_bps, preset.down_bps, preset.down_sigma),
            (network.rtt_s, preset.rtt_s, preset.rtt_sigma),
        ):
            logs = np.log(values)
            assert abs(logs.mean() - log(median)) < 4 * sigma / sqrt(n_devices)
            assert abs(logs.std() - sigma) < 4 * sigma / sqrt(2 * n_devices)


def test_a_draw_depends_on_device_step_and_attempt_only() -> None:
    asked, _ = network_of(PresetLink(kind="lte"), 5)
    fresh, _ = network_of(PresetLink(kind="lte"), 5)
    for step in range(50):
        asked.up(2, step, 0, 1000, float(step))
    assert asked.up(3, 7, 1, 1000, 5.0) == fresh.up(3, 7, 1, 1000, 9.0)
    times = {fresh.up(3, 7, 1, 0, 0), fresh.up(3, 7, 2, 0, 0), fresh.up(3, 8, 1, 0, 0), fresh.down(3, 7, 1, 0, 0)}
    assert len(times) == 4


def test_the_scalar_draw_is_the_vector_draw() -> None:
    network, fleet = network_of(PresetLink(kind="lte", loss=0.05), 100)
    uniform = Draws(1).uniform("link.up", np.arange(fleet.n_devices), 4, 0)
    for device in range(fleet.n_devices):
        time = network.up(device, 4, 0, 0, 0.0)
        if uniform[device] >= 0.95:
            assert time is None
        else:
            wanted = network.rtt_s[device] / 2 * exp(0.15 * NormalDist().inv_cdf(uniform[device] / 0.95))
            assert time == pytest.approx(wanted)


def test_a_lossier_link_loses_every_message_that_a_better_one_loses() -> None:
    good, bad = (network_of(PresetLink(kind="lte", loss=loss))[0] for loss in (0.05, 0.3))
    lost_good, lost_bad = ({s for s in range(3000) if net.up(0, s, 0, 1, 0.0) is None} for net in (good, bad))
    assert lost_good < lost_bad


def test_a_message_on_a_trace_link_takes_what_the_bandwidth_of_those_seconds_lets_through(tmp_path: Path) -> None:
    path = tmp_path / "link.txt"
    path.write_text("0 8\n10 0.8\n20 8\n")  # Mbit/s; the last value holds for 10 s, one pass takes 30 s
    network, _ = network_of(TraceLink(path=str(path), rtt=0.1, up_share=0.25))
    shift_s = float(Draws(1).uniform("link.trace", np.arange(1))[0]) * 30

    def at_trace(moment_s: float) -> float:
        return (moment_s - shift_s) % 30

    assert network.down(0, 1, 0, 1_000_000, at_trace(0)) == pytest.approx(0.05 + 1.0)
    assert network.down(0, 1, 0, 1_000_000, at_trace(10)) == pytest.approx(0.05 + 10.0)
    assert network.down(0, 1, 0, 1_000_000, at_trace(9.5)) == pytest.approx(0.05 + 0.5 + 5.0)
    assert network.up(0, 1, 0, 1_000_000, at_trace(0)) == pytest.approx(0.05 + 4.0)


def test_devices_are_at_moments_of_their_own_in_a_shared_trace(tmp_path: Path) -> None:
    path = tmp_path / "link.txt"
    path.write_text("".join(f"{s} {1 + s}\n" for s in range(50)))
    network, _ = network_of(TraceLink(path=str(path)), 20)
    assert len({network.down(d, 0, 0, 10_000, 0.0) for d in range(20)}) > 15


def test_a_bandwidth_trace_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="bandwidth trace /no/such/link"):
        network_of(TraceLink(path="/no/such/link"))


def test_radio_energy_is_power_times_time() -> None:
    network, _ = network_of(ConstantLink(radio_power=1.5))
    assert network.radio_joules(0, 0.2) == pytest.approx(0.3)


def test_a_constant_link_has_no_outages_and_a_preset_those_it_is_given() -> None:
    steady, fleet = network_of(ConstantLink(), 50)
    assert len(steady.outages(1e6).start_s) == 0
    flaky, _ = network_of(PresetLink(kind="lte", outage_every=900, outage_length=100), 500)
    found = flaky.outages(86400.0)
    down_share = np.minimum(found.end_s, 86400.0) - found.start_s
    assert down_share.sum() / (500 * 86400.0) == pytest.approx(0.1, rel=0.03)
    assert fleet.n_devices == 50


def test_every_link_has_its_name() -> None:
    section = Fleet(devices=200)
    fleet = build_fleet(section, 200, Draws(1))
    names = Network(section, fleet, Draws(1)).link_names
    assert names == [section.classes[i].link.kind for i in fleet.class_index]


def test_the_cellular_presets_are_the_fits_to_the_speed_tests(data_dir: Path) -> None:
    for kind, radio in (("lte", "4G-LTE"), ("5g", "5G-NSA-Low-Band")):
        fit, preset = fit_cellular(data_dir / "network" / "speedtests_5g_lte.csv", radio), PRESETS[kind]
        assert preset.up_bps == pytest.approx(fit.up_bps, rel=0.01)
        assert preset.down_bps == pytest.approx(fit.down_bps, rel=0.01)
        assert preset.up_sigma == pytest.approx(fit.up_sigma, abs=0.01)
        assert preset.down_sigma == pytest.approx(fit.down_sigma, abs=0.01)
        assert preset.rtt_s == pytest.approx(fit.rtt_s, abs=0.001)
        assert preset.rtt_sigma == preset.jitter == pytest.approx(fit.jitter, abs=0.01)


def test_the_wifi_and_3g_speeds_are_the_fits_to_the_traces(data_dir: Path) -> None:
    network = data_dir / "network"
    up_bps, down_bps, up_sigma, down_sigma = fit_wifi_speed(network / "link_speeds_19_users.json")
    wifi = PRESETS["wifi"]
    assert wifi.up_bps == pytest.approx(up_bps, rel=0.02)
    assert wifi.down_bps == pytest.approx(down_bps, rel=0.02)
    assert (wifi.up_sigma, wifi.down_sigma) == pytest.approx((up_sigma, down_sigma), abs=0.01)
    assert wifi.rtt_s == pytest.approx(near_wired_rtt_s(network / "planetlab_rtt.txt") + 0.020, abs=0.001)
    down_bps, sigma = fit_3g_speed(network / "norway_fcc_throughput_traces.tar.gz")
    assert PRESETS["3g"].down_bps == pytest.approx(down_bps, rel=0.02)
    assert PRESETS["3g"].down_sigma == pytest.approx(sigma, abs=0.01)


def test_a_measured_3g_trace_gives_its_own_mean_speed_to_long_transfers(data_dir: Path, tmp_path: Path) -> None:
    with tarfile.open(data_dir / "network" / "norway_fcc_throughput_traces.tar.gz") as archive:
        file = archive.extractfile("src/test/norway_tram_1")
        assert file is not None
        path = tmp_path / "tram.txt"
        path.write_bytes(file.read())
    times, speeds = np.loadtxt(path, unpack=True)
    held = np.append(np.diff(times), np.median(np.diff(times)))
    mean_bps = float((speeds * held).sum() / held.sum()) * 1e6
    network, _ = network_of(TraceLink(path=str(path), rtt=0.0))
    seconds = network.down(0, 0, 0, 100e6, 0.0)
    assert seconds is not None
    assert seconds < inf
    assert 8e8 / seconds == pytest.approx(mean_bps, rel=0.05)
