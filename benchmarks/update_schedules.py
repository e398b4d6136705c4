"""What update schedules do for accuracy, and what they cost: every schedule on the same world as `none`, paired.

    python benchmarks/update_schedules.py scenarios/high_churn.yaml [--set key=value]... [--json] [--only NAME]...

The difference to `none` in NDCG@10 has a 95% interval with users as clusters. "fleet, old data" trains as long as
"fleet", on nothing new: the difference between the two is what the newer data are worth.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np

from fleetrec import Scenario
from fleetrec.models.metrics import accuracy_per_query, clustered_mean
from fleetrec.models.runtime.progress import RichProgress
from fleetrec.simulator.policies.update.both import BothUpdates
from fleetrec.simulator.policies.update.fleet import FleetUpdate
from fleetrec.simulator.policies.update.none import NoUpdate
from fleetrec.simulator.policies.update.on_device import OnDeviceUpdate
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate_prepared

FLEET = {"every": 4 * 3600.0, "epochs": 3}
SCHEDULES: dict[str, sections.UpdateSchedule] = {
    "fleet": FleetUpdate(**FLEET),
    "fleet, half precision": FleetUpdate(**FLEET, weights="half"),
    "fleet, delta": FleetUpdate(**FLEET, weights="delta"),
    "fleet, old data": FleetUpdate(**FLEET, learn_from="before"),
    "on device": OnDeviceUpdate(learning_rate=0.01),
    "both": BothUpdates(fleet=sections.Retraining(**FLEET), on_device=sections.Adaptation(learning_rate=0.01)),
}
LAST_S = 6 * 3600.0
"""the end of the day, which is told apart"""


def main() -> None:
    """Print one row a schedule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--only", action="append", choices=list(SCHEDULES), default=[])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    scenario = Scenario.load(arguments.scenario, arguments.overrides)
    schedules = {name: section for name, section in SCHEDULES.items() if not arguments.only or name in arguments.only}
    # A window before the stream is prepared for the schedules that look back.
    prepared = prepare(_with(scenario, SCHEDULES["both"]), "cpu", RichProgress())
    base = simulate_prepared(_with(scenario, NoUpdate()), prepared, None, "cpu", RichProgress())
    rows = {"none": _row(base, base, prepared.population.users)}
    results = {}
    for name, section in schedules.items():
        result = results[name] = simulate_prepared(_with(scenario, section), prepared, None, "cpu", RichProgress())
        rows[name] = _row(result, base, prepared.population.users)
        print(f"{name}: {rows[name]}", file=sys.stderr, flush=True)
    if {"fleet", "fleet, old data"} <= set(results):
        rows["fleet - old data"] = _row(results["fleet"], results["fleet, old data"], prepared.population.users)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'':22}{'NDCG@10':>9}{'day':>19}{'last 6 h':>19}{'GPU-h':>8}{'GB pushed':>11}{'train J':>9}{'installs':>9}")
    for name, row in rows.items():
        day, last = (f"{row[key][0]:+.4f} ± {row[key][1]:.4f}" for key in ("day", "last"))
        cost = f"{row['gpu_hours']:>8.3f}{row['gb_pushed']:>11.3f}{row['device_joules']:>9.0f}{row['installs']:>9}"
        print(f"{name:22}{row['ndcg@10']:>9.4f}{day:>19}{last:>19}{cost}", flush=True)


def _with(scenario: sections.Scenario, section: sections.UpdateSchedule) -> sections.Scenario:
    return scenario.model_copy(update={"policy": scenario.policy.model_copy(update={"update": section})})


def _row(result: RunResult, base: RunResult, users: np.ndarray) -> dict[str, Any]:
    own, other = (accuracy_per_query(run.interactions["rank"].to_numpy(), (10,))["ndcg@10"] for run in (result, base))
    who = users[result.interactions["device"].to_numpy()]
    t_s = result.interactions["t_s"].to_numpy()
    late = t_s >= result.summary["simulated_seconds"] - LAST_S
    updates = result.summary["updates"]
    return {
        "ndcg@10": float(own.mean()),
        "day": clustered_mean(own - other, who),
        "last": clustered_mean((own - other)[late], who[late]),
        "gpu_hours": updates["gpu_hours"],
        "gb_pushed": updates["bytes_pushed"] / 1e9,
        "device_joules": updates["device_joules"],
        "installs": updates["installs"],
        "adaptations": updates["adaptations"],
    }


if __name__ == "__main__":
    main()
