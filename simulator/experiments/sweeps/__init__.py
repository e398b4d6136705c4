"""Sweeps: many variants of a scenario over seeds, on this machine or a Ray cluster, to be continued at any moment."""

from fleetrec.simulator.experiments.sweeps.jobs import Executor, Outcome, RunJob
from fleetrec.simulator.experiments.sweeps.plan import Plan, make_plan, scenario_with
from fleetrec.simulator.experiments.sweeps.reading import Sweep, read_sweep
from fleetrec.simulator.experiments.sweeps.run import Finished, executor_for, run_all, run_sweep

__all__ = [
    "Executor",
    "Finished",
    "Outcome",
    "Plan",
    "RunJob",
    "Sweep",
    "executor_for",
    "make_plan",
    "read_sweep",
    "run_all",
    "run_sweep",
    "scenario_with",
]
