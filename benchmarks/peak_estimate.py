"""What a few phones tell of a large fleet's peak: the bias of the estimate and how often its 95% interval holds the
truth, over fleets drawn with replacement from the users of a large built-in world; beside the busiest five minutes as
they are counted.

    python benchmarks/peak_estimate.py [--users 20000] [--resamples 1500]

Of fleets of 5,000 a fifth as many are drawn.

Requests are those of the world's fourth day under four policies. `inconsistency` is played by a coin whose chance is
the user's own (a Beta law of mean 0.4), since its scores would need models of the large world; the others are exact.
The truth is the highest rate of the whole world's requests in four harmonics of the day.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.cloud.capacity.peak import DAY_S, Peak
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.resampling import Resampling, interval
from fleetrec.simulator.scenario import load_scenario
from fleetrec.simulator.workload.synthetic import START_S, synthetic_log

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SIZES = (60, 250, 500, 1000, 2000, 5000)


def streams(users: int) -> dict[str, tuple[Floats, Ints]]:
    """Requests (s of the day, user) by policy, in order of user and time."""
    world = load_scenario("scenarios/high_churn.yaml").workload.synthetic
    log = synthetic_log(world.model_copy(update={"users": users}), ArtifactStore())
    user = np.repeat(np.arange(users), np.diff(log.offsets))
    t_s = np.asarray(log.times) - START_S
    step = np.arange(len(t_s)) - log.offsets[user]
    gap_s = np.where(step > 0, t_s - np.roll(t_s, 1), np.inf)
    chance = Draws(1).generator("benchmark.doubt").beta(4, 6, users)
    asks = {
        "always": np.ones(len(t_s), dtype=bool),
        "every 5": step % 5 == 0,
        "session start": gap_s >= 1800,
        "inconsistency": Draws(1).uniform("benchmark.coin", user, step) < chance[user],
    }
    day = t_s >= 3 * DAY_S
    return {name: (t_s[day & who] - 3 * DAY_S, user[day & who]) for name, who in asks.items()}


def truth(asked_s: Floats, users: int) -> float:
    """The highest rate of a user, requests a second."""
    moments = np.linspace(0, DAY_S, 1441)
    rate = np.ones(len(moments))
    for harmonic in range(1, 5):
        turn = 2 * np.pi * harmonic / DAY_S
        rate += 2 * np.cos(turn * asked_s).mean() * np.cos(turn * moments)
        rate += 2 * np.sin(turn * asked_s).mean() * np.sin(turn * moments)
    return float(rate.max()) * len(asked_s) / DAY_S / users


def counted(asked_s: Floats) -> float:
    """The busiest five minutes as they are, requests a second."""
    ends = np.searchsorted(asked_s, asked_s + 300.0)
    return float((ends - np.arange(len(asked_s))).max()) / 300.0


def main() -> None:
    """Print one line a policy and number of phones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--resamples", type=int, default=1500)
    options = parser.parse_args()
    print(
        f"{'policy':14} {'phones':>7} {'five minutes':>13} {'estimate':>9} {'its spread':>11} {'interval holds it':>18}"
    )
    for policy, (asked_s, user) in streams(options.users).items():
        known, first = truth(asked_s, options.users), np.searchsorted(user, np.arange(options.users + 1))
        for size in SIZES:
            rng = np.random.default_rng(size)
            found, naive, held = [], [], 0
            resamples = max(options.resamples // 5, 1) if size > 2000 else options.resamples
            for _ in range(resamples):
                chosen = rng.integers(options.users, size=size)
                counts = first[chosen + 1] - first[chosen]
                rows = np.repeat(first[chosen] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
                order = np.argsort(asked_s[rows], kind="stable")
                own_s, device = asked_s[rows][order], np.repeat(np.arange(size), counts)[order]
                peak = Peak.of(own_s, device, DAY_S, Resampling.of(np.arange(size)))
                found.append(peak.per_s / size / known)
                naive.append(counted(own_s) / size / known)
                low, high = interval(peak.rates_per_s / size / known)
                held += low <= 1.0 <= high
            print(
                f"{policy:14} {size:7,} {np.mean(naive):13.2f} {np.mean(found):9.3f} {np.std(found):11.3f} "
                f"{held / resamples:18.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
