"""What a device and an interaction take at the peak of a run: fleets of several sizes and days, each in a process.

    python benchmarks/memory_per_device.py [scenarios/high_churn.yaml] [--json]

A fleet larger than the scenario's users replays each of them on several devices, so logs and states stay as they are
and what grows is the world itself. The figures of `simulator/preparation/memory_estimate.py` come from here.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.simulation import simulate

FLEETS = ((10_000, "24h"), (40_000, "24h"), (10_000, "4h"), (60_000, "4h"))
"""devices and simulated time"""


def one(path: Path, devices: int, duration: str) -> None:
    """Simulate one fleet; prints its interactions and this process's peak."""
    settings = [f"fleet.devices={devices}", f"fleet.represents={devices}", f"duration={duration}", "engine.threads=1"]
    run = simulate(Scenario.load(path, settings))
    print(json.dumps([devices, int(run.summary["interactions"]), peak_rss_bytes()]))


def main(
    path: Annotated[Path, typer.Argument()] = Path("scenarios/high_churn.yaml"),
    as_json: Annotated[bool, typer.Option("--json")] = False,
    fleet: Annotated[str | None, typer.Option(help="one fleet, as 10000,4h; for the processes of this program")] = None,
) -> None:
    """Print bytes a device and an interaction, fitted to the peaks."""
    if fleet is not None:
        size, hours = fleet.split(",")
        one(path, int(size), hours)
        return
    rows = []
    for devices, duration in FLEETS:
        command = [sys.executable, __file__, str(path), "--fleet", f"{devices},{duration}"]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    table = np.array(rows, dtype=np.float64)
    unknowns = np.column_stack([np.ones(len(table)), table[:, 0], table[:, 1]])
    base, per_device, per_interaction = np.linalg.lstsq(unknowns, table[:, 2], rcond=None)[0].tolist()
    found = {"base_bytes": base, "bytes_per_device": per_device, "bytes_per_interaction": per_interaction}
    if as_json:
        print(json.dumps(found))
        return
    for devices, interactions, peak in rows:
        print(f"{devices:7,} devices, {interactions:9,} interactions: peak {peak / 1e6:,.0f} MB")
    print(f"{base / 1e6:,.0f} MB, and {per_device:,.0f} bytes a device and {per_interaction:,.0f} an interaction")


if __name__ == "__main__":
    typer.run(main)
