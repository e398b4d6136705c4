"""What can be said of runs: means with intervals, joint draws, corrected p-values, power, warm-up."""

from simulator.experiments.statistics.draws import N_DRAWS, joint_draws
from simulator.experiments.statistics.estimates import (
    ENOUGH_SEEDS,
    Estimates,
    clustered_mean,
    over_seeds,
    over_users_and_seeds,
    variance_parts,
)
from simulator.experiments.statistics.multiplicity import holm
from simulator.experiments.statistics.power import power_of_t, seeds_needed, seeds_to_resolve
from simulator.experiments.statistics.warm_up import mser5

__all__ = [
    "ENOUGH_SEEDS",
    "N_DRAWS",
    "Estimates",
    "clustered_mean",
    "holm",
    "joint_draws",
    "mser5",
    "over_seeds",
    "over_users_and_seeds",
    "power_of_t",
    "seeds_needed",
    "seeds_to_resolve",
    "variance_parts",
]
