"""Fits the device classes and link presets to the measured sets that FLEETREC_DATA names, and prints the parameters.

    FLEETREC_DATA=... python benchmarks/fit_device_and_link_presets.py

The code holds the rounded results (simulator/fleet/network.py PRESETS, simulator/scenario/sections/ default_classes);
docs/background/grounding.md says what is measured, what is inferred and what is assumed.
"""

import csv
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

Floats = NDArray[np.float64]

REGION_KM = 500.0  # distance of the cloud region that the cellular presets assume
# LeNet of the on-device benchmark: two 5x5 convolutions (1-20-50 channels) on 28 x 28, then 800-400-10, 2 FLOPs a MAC
LENET_FLOPS = 2.0 * (24 * 24 * 20 * 25 + 8 * 8 * 50 * 20 * 25 + 800 * 400 + 400 * 10)
TRAINING_BATCHES = 26  # batches in one energy measurement, from the benchmark's energy_compute.py
CLASS_QUANTILES = {"low_end": (0.0, 0.2), "mid_range": (0.2, 0.7), "high_end": (0.7, 1.0)}


@dataclass(frozen=True)
class LinkFit:
    """Medians and log-normal sigmas over devices; jitter is the sigma of one message's latency."""

    up_bps: float
    down_bps: float
    up_sigma: float
    down_sigma: float
    rtt_s: float
    rtt_sigma: float
    jitter: float


@dataclass(frozen=True)
class ComputeFit:
    """time = overhead_s + FLOPs / speed_flops on the reference SoC (Snapdragon 855), power over the idle phone."""

    speed_flops: float
    overhead_s: float
    power_w: float


def robust_sigma(values: Floats) -> float:
    """Sigma of a log-normal from its 16% and 84% quantiles: a few broken tests do not move it."""
    low, high = np.quantile(np.log(values[values > 0]), [0.1587, 0.8413])
    return float((high - low) / 2)


def fit_cellular(path: Path, radio_type: str) -> LinkFit:
    """Speed tests of one radio type; latency is regressed on the server's distance and taken at REGION_KM."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["radio_type"] == radio_type]
    up = np.array([float(row["uplink_Mbps"]) for row in rows]) * 1e6
    down = np.array([float(row["downlink_Mbps"]) for row in rows]) * 1e6
    placed = [row for row in rows if row["UE_Server_distance_km"]]
    latency = np.array([float(row["latency_ms"]) for row in placed]) / 1e3
    distance_km = np.array([float(row["UE_Server_distance_km"]) for row in placed])
    slope, intercept = np.polyfit(distance_km, latency, 1)
    rtt_s = intercept + slope * REGION_KM
    scatter = float(np.std(latency - (intercept + slope * distance_km)) / rtt_s)
    sigma = float(np.log1p(scatter**2)) ** 0.5
    return LinkFit(
        up_bps=float(np.median(up)),
        down_bps=float(np.median(down)),
        up_sigma=robust_sigma(up),
        down_sigma=robust_sigma(down),
        rtt_s=float(rtt_s),
        rtt_sigma=sigma / 2**0.5,  # one place, two phones: half of the variance is taken to be between devices
        jitter=sigma / 2**0.5,
    )


def fit_wifi_speed(path: Path) -> tuple[float, float, float, float]:
    """(up_bps, down_bps, up_sigma, down_sigma) over 19 users; the file's unit is kB/s (1024 bytes)."""
    users = json.loads(path.read_text(encoding="utf-8")).values()
    up = np.array([user["up_u"] for user in users]) * 1024 * 8
    down = np.array([user["down_u"] for user in users]) * 1024 * 8
    return float(np.median(up)), float(np.median(down)), robust_sigma(up), robust_sigma(down)


def near_wired_rtt_s(path: Path) -> float:
    """Median over hosts of the RTT to their nearest twentieth of hosts: a provider with some twenty regions."""
    nearest = []
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        rtt_ms = np.array([float(cell) for j, cell in enumerate(line.split()) if j != i])
        nearest.append(np.quantile(rtt_ms[rtt_ms > 0], 0.05))
    return float(np.median(nearest)) / 1e3


def hsdpa_traces(path: Path) -> Iterator[Floats]:
    """The Norwegian 3G traces of the archive (rows of seconds, Mbit/s); its FCC ones are of fixed lines."""
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.rsplit("/", 1)[-1]
            file = archive.extractfile(member)
            if file is None or name.startswith("trace_") or name == "LICENSE":
                continue
            yield np.loadtxt(io.StringIO(file.read().decode()), ndmin=2)


def fit_3g_speed(path: Path) -> tuple[float, float]:
    """(down_bps, down_sigma) over the traces' means."""
    means = np.array([trace[:, 1].mean() for trace in hsdpa_traces(path)]) * 1e6
    return float(np.median(means)), robust_sigma(means)


def fit_compute(folder: Path) -> ComputeFit:
    """LeNet inference at batches 1 to 16 on two Snapdragon 855 phones (least squares of log time), training power."""
    batches: list[float] = []
    seconds: list[float] = []
    for phone in ("XIAOMI", "MEIZU_Core_f0"):
        with (folder / f"{phone}__Lenet__time_table_Lenet.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                batches.append(float(row["batchsize"]))
                seconds.append(float(row["session_infer"]) / 1e3)
    flops = np.array(batches) * LENET_FLOPS
    measured = np.log(seconds)

    def log_error(parameters: Floats) -> Floats:
        overhead_s, speed = np.exp(parameters)
        return np.asarray(np.log(overhead_s + flops / speed) - measured)

    overhead_s, speed = np.exp(least_squares(log_error, np.log([2e-4, 3e10]), loss="soft_l1", f_scale=0.2).x)

    power = []
    with (folder / "batchsize_energy_MEIZU_Freq_1708800.csv").open(newline="", encoding="utf-8") as file:
        joules = {int(row[""]): row for row in csv.DictReader(file)}
    for net in ("GoogLenet", "Squeezenet", "Alexnet", "Mobilenet"):
        with (folder / f"MEIZU_Freq_1708800__{net}__time_table_{net}.csv").open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                batch = int(row["batchsize"])
                if batch in joules:
                    train_s = float(row["expr_train"]) / 1e3
                    power.append(float(joules[batch][net]) / (TRAINING_BATCHES * train_s))
    return ComputeFit(float(speed), float(overhead_s), float(np.median(power)))


def class_scores(path: Path) -> dict[str, tuple[float, float]]:
    """(median score relative to the Snapdragon 855's, log-normal sigma) of phones of 2017 to 2019, by class."""
    phones = json.loads(path.read_text(encoding="utf-8"))
    recent = [phone for phone in phones if phone["Year"] in ("2017", "2018", "2019")]
    scores = np.sort([float(phone["CPU_F_AI_Score"]) for phone in recent])
    reference = np.median([float(p["CPU_F_AI_Score"]) for p in recent if p["CPU"].strip() == "Snapdragon 855"])
    fitted = {}
    for name, (low, high) in CLASS_QUANTILES.items():
        part = scores[int(low * len(scores)) : int(high * len(scores))]
        fitted[name] = (float(np.median(part) / reference), float(np.log(part).std()))
    return fitted


def main() -> None:
    root = os.environ.get("FLEETREC_DATA")
    if not root:
        sys.exit("set FLEETREC_DATA to the folder of measured data sets")
    network, devices = Path(root) / "network", Path(root) / "devices"
    for name, radio in (("lte", "4G-LTE"), ("5g", "5G-NSA-Low-Band")):
        print(name, fit_cellular(network / "speedtests_5g_lte.csv", radio))
    print("wifi up_bps, down_bps, up_sigma, down_sigma:", fit_wifi_speed(network / "link_speeds_19_users.json"))
    print("wired rtt_s to a near region:", near_wired_rtt_s(network / "planetlab_rtt.txt"))
    print("3g down_bps, down_sigma:", fit_3g_speed(network / "norway_fcc_throughput_traces.tar.gz"))
    print("compute, Snapdragon 855:", fit_compute(devices / "on_device_training"))
    for name, (relative, sigma) in class_scores(devices / "ai_benchmark_phones.json").items():
        print(f"{name}: speed relative to the Snapdragon 855 {relative:.3f}, log-normal sigma {sigma:.3f}")


if __name__ == "__main__":
    main()
