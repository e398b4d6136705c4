"""Multi-objective search over the policies of a scenario: Optuna's NSGA-II or TPE, under limits, resumable."""

from fleetrec.simulator.experiments.optimise.goals import Goals, read_goals, read_seeds
from fleetrec.simulator.experiments.optimise.problem import Problem
from fleetrec.simulator.experiments.optimise.search import Found, optimise
from fleetrec.simulator.experiments.optimise.space import Space, default_space, read_space

__all__ = ["Found", "Goals", "Problem", "Space", "default_space", "optimise", "read_goals", "read_seeds", "read_space"]
