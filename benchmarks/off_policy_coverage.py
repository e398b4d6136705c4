"""How often the 95% intervals of off-policy estimates hold the truth: the table of docs/how-to/off_policy.md.

    python benchmarks/off_policy_coverage.py [logs]

Logs of one built-in world (500 users, 200 items, 10 slates of 5) under uniform and under softmax exposure, each drawn
anew; asked about are uniform exposure, and slates of the 40 items that each user likes best. The truth is that of the
world's click law.
"""

import argparse
import time

import numpy as np

from fleetrec.simulator.experiments.off_policy import ESTIMATORS, off_policy, target_of
from fleetrec.simulator.workload.synthetic_exposures import ExposureWorld

_BEST = 40


def main() -> None:
    """Print a row for each exposure and policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", type=int, nargs="?", default=300, help="simulated logs of each exposure")
    logs, started = parser.parse_args().logs, time.perf_counter()
    print(
        f"{'exposure':10}{'policy':10}{'truth':>8}"
        + "".join(f"{name:>22}" for name in ESTIMATORS)
        + f"{'click model':>13}"
    )
    print(" " * 28 + f"{'covered  mean  width':>22}" * len(ESTIMATORS))
    for logging in ("uniform", "softmax"):
        world = ExposureWorld(logging=logging)
        best = np.zeros_like(world.attraction)
        np.put_along_axis(best, np.argsort(-world.attraction, axis=1)[:, :_BEST], 1 / _BEST, axis=1)
        policies = {"uniform": np.full_like(best, 1 / best.shape[1]), "best 40": best}
        found = []
        for seed in range(logs):
            log = world.log(seed)
            targets = [target_of(name, probability, log) for name, probability in policies.items()]
            found.append(off_policy(log, targets).policies)
        for place, (name, probability) in enumerate(policies.items()):
            truth = world.click_rate(probability)
            print(f"{logging:10}{name:10}{truth:8.4f}", end="")
            for estimator in ESTIMATORS:
                told = [one[place].estimates[estimator] for one in found]
                covered = np.mean([one.low <= truth <= one.high for one in told])
                mean, width = np.mean([one.value for one in told]), np.mean([one.high - one.low for one in told])
                print(f"{covered:>10.1%} {mean:.4f} {width:.3f}", end="")
            print(f"{np.mean([one[place].click_model for one in found]):13.4f}", flush=True)
    print(f"{logs} logs of each exposure; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
