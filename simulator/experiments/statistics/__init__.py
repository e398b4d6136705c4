"""What can be said of runs: means with intervals, joint draws, corrected p-values, power, warm-up."""

from fleetrec.simulator.experiments.statistics.draws import N_DRAWS, joint_draws, resampled
from fleetrec.simulator.experiments.statistics.estimates import (
    Estimates,
    between,
    over_runs,
    over_users,
    variance_parts,
)
from fleetrec.simulator.experiments.statistics.multiplicity import holm
from fleetrec.simulator.experiments.statistics.power import power_at, seeds_needed, seeds_to_show
from fleetrec.simulator.experiments.statistics.replicates import Replicates
from fleetrec.simulator.experiments.statistics.warm_up import mser5

__all__ = [
    "N_DRAWS",
    "Estimates",
    "Replicates",
    "between",
    "holm",
    "joint_draws",
    "mser5",
    "over_runs",
    "over_users",
    "power_at",
    "resampled",
    "seeds_needed",
    "seeds_to_show",
    "variance_parts",
]
