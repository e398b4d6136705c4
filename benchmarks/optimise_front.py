"""The optimiser against a full grid on the built-in scenario: with a third of the runs, how much of the front?

Both look for accuracy (NDCG@10) against provisioned cost over the kind and ratio of requests and the weight of the SRM.
The grid is run once, each optimiser at several seeds; hypervolumes share the grid's worst corner as reference. Runs are
kept in --out, so a benchmark that was stopped goes on where it was.

    python benchmarks/optimise_front.py [--out DIR] [--devices 500] [--samplers gp,tpe,nsga2] [--seeds 0,1,2]
"""

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import RichProgress
from fleetrec.simulator.experiments.comparison.pareto import hypervolume, nondominated
from fleetrec.simulator.experiments.folders import flat_figures
from fleetrec.simulator.experiments.optimise import Problem, Space, optimise, read_goals
from fleetrec.simulator.experiments.optimise.space import SearchParameter
from fleetrec.simulator.experiments.sweeps import RunJob, executor_for, run_all

KIND, RATIO, WEIGHT = "policy.request.kind", "policy.request.ratio", "policy.fusion.srm_weight"
KINDS = ("random", "inconsistency")
RATIOS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FINER = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
SPACE = Space(
    (SearchParameter(KIND, KINDS), SearchParameter(RATIO, low=0.1, high=1.0, step=0.05), SearchParameter(WEIGHT, FINER))
)
ACCURACY, COST = "accuracy.ndcg@10", "cost.usd_provisioned_per_1k_interactions"


def main() -> None:
    """Run the grid, then the optimisers, and print the shares of the grid's hypervolume."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/optimise_front"))
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--samplers", default="gp,tpe,nsga2")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    overrides = [f"fleet.devices={given.devices}", "engine.threads=1"]
    goals = read_goals([ACCURACY], [COST], [])
    problem = Problem(Path("scenarios/high_churn.yaml"), overrides, goals, SPACE)
    grid = run_grid(problem, given.out / "grid", given.jobs)
    reference = grid.max(axis=0)
    whole = hypervolume(grid, reference)
    print(f"grid: {len(grid)} runs, {nondominated(grid).sum()} on its front")
    for sampler, seed in itertools.product(given.samplers.split(","), map(int, given.seeds.split(","))):
        out = given.out / f"{sampler}-{seed}"
        one = Problem(problem.base, overrides, goals, SPACE, trials=len(grid) // 3, sampler=sampler, sampler_seed=seed)
        optimise(one, out, executor_for("local", given.jobs, None), RichProgress(), resume=True)
        runs = pd.read_parquet(out / "results.parquet")
        runs = runs[runs["variant"] != "base"]  # the scenario as it stands is run too, but is no point of the space
        points = np.column_stack([runs[COST], -runs[ACCURACY]])
        share = hypervolume(points, reference) / whole
        print(
            f"{sampler} seed {seed}: {one.trials} runs, {nondominated(points).sum()} on the front, "
            f"{share:.4f} of the grid's hypervolume",
            flush=True,
        )


def run_grid(problem: Problem, out: Path, jobs: int) -> np.ndarray:
    """(cost, -accuracy) [72, 2] of every point of the grid."""
    folders, todo = [], []
    for kind, ratio, weight in itertools.product(KINDS, RATIOS, WEIGHTS):
        folders.append(out / f"{kind}-{ratio}-{weight}")
        if not (folders[-1] / "summary.json").is_file():
            todo.append(RunJob(problem.scenario({KIND: kind, RATIO: ratio, WEIGHT: weight}), folders[-1]))
    with executor_for("local", jobs, None) as executor:
        for number, outcome in run_all(todo, executor, RichProgress()):
            if outcome.error is not None:
                raise InputError(f"{todo[number].folder}: {outcome.error}")
    figures = [flat_figures(json.loads((folder / "summary.json").read_text(encoding="utf-8"))) for folder in folders]
    return np.array([[row[COST], -row[ACCURACY]] for row in figures])


if __name__ == "__main__":
    main()
