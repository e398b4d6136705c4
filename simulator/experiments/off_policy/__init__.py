"""What another policy than the one that wrote a log would be clicked: estimates from what was shown, and how likely."""

from fleetrec.simulator.experiments.off_policy.estimates import ESTIMATORS, OffPolicy, PolicyEstimate, off_policy
from fleetrec.simulator.experiments.off_policy.target import Target, read_target, target_of, uniform_target

__all__ = [
    "ESTIMATORS",
    "OffPolicy",
    "PolicyEstimate",
    "Target",
    "off_policy",
    "read_target",
    "target_of",
    "uniform_target",
]
