"""What a phone takes to rank with an exported SRM, as a class of devices for `fleet.classes`. Needs onnxruntime alone.

    python phone.py DIR --precision int8 --out phone.yaml

DIR is what `fleetrec export SCENARIO --srm DIR` wrote; copy it and this file to the phone. Two rankings are timed, of
the scenario's candidate list and of many more: `speed` is their FLOPs apart over their times apart and `overhead` what
is left of the first, so both are met; where nothing is left, `speed` meets the first. Joules are of the processor's
counters (RAPL) or of a battery that discharges, less what the idle machine takes.
"""

import argparse
import json
import os
import platform
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

WARM_UP = 20
MANY = 64
"""times as many candidates as a list has, or the catalogue, are the longer ranking"""


class Meter:
    """Joules that the machine has used since a moment, where it says."""

    def __init__(self, system: Path = Path("/sys")):
        self._counters = [path for path in sorted(system.glob("class/powercap/intel-rapl:?/energy_uj")) if _read(path)]
        supplies = sorted(system.glob("class/power_supply/*"))
        self._batteries = [
            path for path in supplies if (path / "current_now").is_file() and _read(path / "status") == "Discharging"
        ]
        self.source = "RAPL" if self._counters else "battery" if self._batteries else None

    def watts(self, work: Callable[[], None], seconds: float) -> tuple[float, int]:
        """Mean power while `work` is done again and again for so long, and how often it was done."""
        drawn: list[float] = []
        times, done = 0, 0.0
        began, before = time.perf_counter(), [int(_read(path)) for path in self._counters]
        while done < seconds:
            work()
            times, done = times + 1, time.perf_counter() - began
            if self._batteries and len(drawn) < 10 * done:
                drawn.append(sum(self._battery_watts(path) for path in self._batteries))
        used = sum(self._since(path, start) for path, start in zip(self._counters, before, strict=True))
        return (used / done if self._counters else statistics.fmean(drawn or [0.0])), times

    @staticmethod
    def _since(path: Path, start: int) -> float:
        used = int(_read(path)) - start
        if used < 0:  # the counter has begun anew
            used += int(_read(path.with_name("max_energy_range_uj")) or 0)
        return used / 1e6

    @staticmethod
    def _battery_watts(path: Path) -> float:
        return abs(int(_read(path / "current_now"))) * int(_read(path / "voltage_now") or 0) / 1e12


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def resident_bytes() -> int:
    """Memory that this process holds; 0 where the system does not say."""
    pages = _read(Path("/proc/self/statm")).split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0


def class_of(flops: tuple[float, float], seconds: tuple[float, float]) -> tuple[float, float]:
    """FLOP/s and the fixed time of a call, which two rankings agree with; without a fixed time where they cannot."""
    apart = seconds[1] - seconds[0]
    speed = (flops[1] - flops[0]) / apart if apart > 0 else 0.0
    overhead = seconds[0] - flops[0] / speed if speed else -1.0
    return (speed, overhead) if overhead >= 0 else (flops[0] / seconds[0], 0.0)


def measured(folder: Path, about: dict[str, Any], precision: str, threads: int, seconds: float) -> dict[str, Any]:
    """Times, memory and joules of rankings by one program of `folder`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    before = resident_bytes()
    session = onnxruntime.InferenceSession(
        str(folder / f"srm.{precision}.onnx"), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    window = rng.integers(1, about["items"] + 1, about["length"])
    counts = about["list_length"], max(about["items"], MANY * about["list_length"])

    def ranking(count: int) -> Callable[[], None]:
        candidates = rng.integers(1, about["items"] + 1, count)
        return lambda: session.run(["scores"], {"window": window, "candidates": candidates})[0].argsort()

    times = [timed(ranking(count), seconds) for count in counts]
    held = max(0, resident_bytes() - before)
    flops = [about["flops_encode"] + about["flops_per_candidate"] * count for count in counts]
    speed, overhead = class_of((flops[0], flops[1]), (times[0][0], times[1][0]))
    found = {
        "precision": precision,
        "threads": threads,
        "candidates": counts,
        "median_s": [median for median, _ in times],
        "p95_s": [late for _, late in times],
        "memory_bytes": held,
        "speed": speed,
        "overhead": overhead,
    }
    meter = Meter()
    if meter.source is not None:
        idle_w, _ = meter.watts(lambda: time.sleep(0.01), seconds)
        busy_w, done = meter.watts(ranking(counts[0]), seconds)
        power_w = max(0.0, busy_w - idle_w)
        found |= {"power": power_w, "joules": power_w * seconds / done, "joules_by": meter.source}
    return found


def timed(work: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Median and 95th percentile of the seconds that `work` takes."""
    for _ in range(WARM_UP):
        work()
    took: list[float] = []
    ends = time.perf_counter() + seconds
    while len(took) < WARM_UP or time.perf_counter() < ends:
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took), sorted(took)[int(0.95 * len(took))]


def as_yaml(name: str, about: dict[str, Any], found: dict[str, Any]) -> str:
    """A list of one class for `fleet.classes`; what was not measured is left to the scenario's defaults."""
    lines = [
        f"# {about['srm']} of {about['scenario']} in {found['precision']}, {found['threads']} thread(s), onnxruntime "
        f"{onnxruntime.__version__}: {found['candidates'][0]} candidates in {1e3 * found['median_s'][0]:.3f} ms,",
        f"# {found['candidates'][1]} in {1e3 * found['median_s'][1]:.3f} ms, {found['memory_bytes']} bytes of memory",
        f"- name: {json.dumps(name)}",
        "  share: 1",
        f"  speed: {found['speed']:.6g}",
        f"  overhead: {found['overhead']:.6g}",
    ]
    if "power" in found:
        lines.append(f"  power: {found['power']:.4g}")
    return "\n".join(lines) + "\n"


def mistaken(line: str) -> SystemExit:
    """The end of a program that cannot do what was asked: one line, exit code 2."""
    print(f"error: {line}", file=sys.stderr)
    return SystemExit(2)


def main() -> None:
    """Measure and say; `--out` writes the class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what `fleetrec export` wrote")
    parser.add_argument("--precision", choices=["float32", "float16", "int8"], default="float32")
    parser.add_argument("--threads", type=int, default=1, help="of one ranking")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each of the two rankings")
    parser.add_argument("--name", default=platform.node() or "phone", help="of the class")
    parser.add_argument("--out", type=Path, help="YAML to write")
    parser.add_argument("--json", action="store_true", help="all figures, as one JSON object")
    given = parser.parse_args()
    if not given.threads >= 1 or not given.seconds > 0 or not given.name:
        raise mistaken("--threads, --seconds: at least 1 thread and some time; --name: a name")
    if given.out is not None and (given.out.is_dir() or not given.out.absolute().parent.is_dir()):
        raise mistaken(f"--out {given.out}: no file can be written there; name a file in a folder that exists")
    try:
        about = json.loads((given.folder / "export.json").read_text(encoding="utf-8"))
        found = measured(given.folder, about, given.precision, given.threads, given.seconds)
    except Exception as error:  # a file that is missing, cut short, or of another kind
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise mistaken(
            f"{given.folder}: no exported SRM ({told}); write one: fleetrec export SCENARIO --srm DIR"
        ) from None
    text = as_yaml(given.name, about, found)
    if given.json:
        print(json.dumps({"name": given.name} | found, indent=1))
    else:
        print(text, end="")
        print(
            f"joules: {found['joules']:.3g} a ranking ({found['joules_by']})"
            if "joules" in found
            else "joules: this system tells none; `power` is left to the scenario",
            file=sys.stderr,
        )
    if given.out is not None:
        temporary = given.out.with_name(f".{secrets.token_hex(6)}-{given.out.name}")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, given.out)


if __name__ == "__main__":
    main()
