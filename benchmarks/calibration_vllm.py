"""Calibration against two measured vLLM runs of Llama-3.1-8B (casys-kaist/LLMServingSim): errors, prior, form, speed.

Each run is fitted as a whole, and by its first half by arrival and judged on the second. The second table varies the
weight of the prior and the form of the step time.

    python benchmarks/calibration_vllm.py [--data FOLDER] [--json]

FOLDER holds llm/vllm_runs/; the environment variable FLEETREC_DATA where it is not given.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.table import Table

from fleetrec.reports.terminal.parts import console_for
from fleetrec.simulator.cloud.calibration import RequestLog, Server, calibrate, read_log, read_server
from fleetrec.simulator.cloud.calibration.fitting import MISFIT
from fleetrec.simulator.cloud.calibration.outcomes import simulate_log
from fleetrec.simulator.cloud.calibration.priors import Form, as_larger, as_sum

RUNS = ("RTX4090", "RTXPRO6000")
BARS = {
    "whole run": {"latency_mean": 0.007, "ttft_mean": 0.015, "ttft_p99": 0.04},
    "second half": {"tpot_mean": 0.03, "latency_mean": 0.03, "ttft_mean": 0.05, "latency_p99": 0.06},
}
VARIANTS: dict[str, tuple[Form, float]] = {
    "larger of two lines (the default)": (as_larger, MISFIT),
    "larger, half the prior": (as_larger, MISFIT / 2),
    "larger, twice the prior": (as_larger, MISFIT * 2),
    "larger, no prior": (as_larger, 0.0),
    "sum": (as_sum, MISFIT),
    "sum, half the prior": (as_sum, MISFIT / 2),
    "sum, twice the prior": (as_sum, MISFIT * 2),
    "sum, no prior": (as_sum, 0.0),
}


def read_run(folder: Path) -> tuple[RequestLog, Server]:
    return read_log(folder / "requests.jsonl"), read_server(folder / "meta.json")


def measure(folder: Path) -> Iterator[dict[str, Any]]:
    """A record for each run, variant and part judged."""
    for run in RUNS:
        log, server = read_run(folder / f"{run}_Llama-3.1-8B")
        for variant, (form, misfit) in VARIANTS.items():
            whole = calibrate(log, server, 1.0, form, misfit)
            half = calibrate(log, server, 0.5, form, misfit)
            yield {"run": run, "variant": variant, "part": "whole run", **whole.in_sample}
            yield {"run": run, "variant": variant, "part": "first half (fitted)", **half.in_sample}
            yield {"run": run, "variant": variant, "part": "second half", **(half.held_out or {})}


def speeds(folder: Path) -> dict[str, float]:
    """Simulated requests per second of processor time, the best of ten."""
    best = {}
    for run in RUNS:
        log, server = read_run(folder / f"{run}_Llama-3.1-8B")
        found = calibrate(log, server)
        took = []
        for _ in range(10):
            started = time.process_time()
            simulate_log(log, found.steps, found.engine)
            took.append(time.process_time() - started)
        best[run] = len(log) / min(took)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("FLEETREC_DATA"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.data:
        parser.error("give --data, or set FLEETREC_DATA")
    folder = Path(arguments.data) / "llm" / "vllm_runs"
    records, per_second = list(measure(folder)), speeds(folder)
    if arguments.json:
        print(json.dumps({"errors": records, "simulated_requests_per_s": per_second}, indent=2))
        return
    console = console_for()
    names = ("ttft_mean", "tpot_mean", "latency_mean", "ttft_p99", "tpot_p99", "latency_p99")
    for variant in VARIANTS:
        table = Table("run", "part", *names, "bars", title=variant, box=None)
        for record in (r for r in records if r["variant"] == variant):
            bars = BARS.get(record["part"], {})
            met = "-" if not bars else "met" if all(abs(record[n]) <= bar for n, bar in bars.items()) else "missed"
            table.add_row(record["run"], record["part"], *(f"{100 * record[n]:+.2f}%" for n in names), met)
        console.print(table)
    for run, value in per_second.items():
        console.print(f"{run}: {value:,.0f} simulated requests per second of processor time")


if __name__ == "__main__":
    main()
