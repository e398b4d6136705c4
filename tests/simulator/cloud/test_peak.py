"""The busiest half hour as it is estimated from a few phones, against rates that are known."""

import numpy as np
import pytest

from fleetrec.simulator.cloud.capacity.peak import DAY_S, Peak, local_quadratic
from fleetrec.simulator.core.resampling import Resampling, interval


def phones(n: int, seed: int, days: int = 1, depth: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Requests (s, device) of phones with log-normal habits: 12 sessions a day of 1 to 5 requests within ten minutes,
    at a rate that follows a cosine of the day, so that its peak is 1 + `depth` times its mean."""
    rng = np.random.default_rng(seed)
    phone = np.repeat(np.arange(n), rng.poisson(12 * days * np.exp(0.5 * rng.normal(size=n) - 0.125)))
    start_s = np.zeros(len(phone))
    left = np.arange(len(phone))
    while len(left):  # by rejection
        start_s[left] = rng.uniform(0, days * DAY_S, len(left))
        high = rng.uniform(0, 1 + depth, len(left))
        left = left[high > 1 + depth * np.cos(2 * np.pi * (start_s[left] / DAY_S - 0.8))]
    session = np.repeat(np.arange(len(phone)), rng.integers(1, 6, len(phone)))
    asked_s = (start_s[session] + rng.uniform(0, 600, len(session))) % (days * DAY_S)
    order = np.argsort(asked_s)
    return asked_s[order], phone[session][order]


TRUTH = 12 * 3 * 1.8 / DAY_S


@pytest.mark.parametrize(("n", "days"), [(250, 1), (250, 6)])
def test_the_peak_of_a_daily_cycle_is_not_overstated_by_few_phones(n: int, days: int) -> None:
    """Over forty fleets: the mean is within 3% of the truth (its standard error: 1.3%), and at least nine tenths of
    the 95% intervals hold it. The busiest half hour as it is counted is 15 to 40% too high."""
    rates, covered = [], 0
    for seed in range(40):
        asked_s, device = phones(n, seed, days)
        peak = Peak.of(asked_s, device, days * DAY_S, Resampling.of([f"{seed}-{phone}" for phone in range(n)]))
        rates.append(peak.per_s / n / TRUTH)
        low, high = interval(peak.rates_per_s)
        covered += low <= n * TRUTH <= high
    assert np.mean(rates) == pytest.approx(1.0, abs=0.03)
    assert covered >= 36


def test_what_all_phones_do_as_the_run_begins_is_no_peak() -> None:
    asked_s, device = phones(200, 1)
    users = Resampling.of(range(200))
    burst_s, everyone = np.zeros(200), np.arange(200)
    with_burst = Peak.of(np.concatenate([burst_s, asked_s]), np.concatenate([everyone, device]), DAY_S, users)
    without = Peak.of(asked_s, device, DAY_S, users)
    assert with_burst.per_s == without.per_s
    assert (with_burst.rows == without.rows + 200).all()


def test_a_rush_that_many_phones_show_is_found_though_it_is_narrow() -> None:
    """10,000 requests evenly over the day, and as many in one hour: 1/3600 + 1/86400 of them a second."""
    rng = np.random.default_rng(4)
    asked_s = np.sort(np.concatenate([rng.uniform(0, DAY_S, 10_000), rng.uniform(50_000, 53_600, 10_000)]))
    device = rng.integers(0, 5000, 20_000)
    peak = Peak.of(asked_s, device, DAY_S, Resampling.of(range(5000)))
    assert peak.per_s == pytest.approx(10_000 * (1 / 3600 + 1 / DAY_S), rel=0.15)


def test_no_peak_of_a_few_requests_is_below_their_mean_rate() -> None:
    """Five requests in a day are few enough for what is taken off the maximum to be all of it."""
    asked_s = np.array([1.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0])
    users = Resampling.of([str(i) for i in range(5)])
    found = Peak.of(asked_s, np.arange(5), DAY_S, users)
    assert found.per_s >= 5 / DAY_S
    assert (found.rates_per_s > 0).all()


def test_the_draws_of_two_policies_are_paired() -> None:
    """A policy that asks at every second of the same moments: its draws go up and down with the other's."""
    asked_s, device = phones(300, 2)
    users = Resampling.of(range(300))
    all_of, half = (Peak.of(asked_s[::n], device[::n], DAY_S, users).rates_per_s for n in (1, 2))
    assert np.corrcoef(all_of, half)[0, 1] > 0.9


def test_local_quadratics_leave_quadratics_as_they_are() -> None:
    t = np.arange(60.0)
    curve = 3.0 + 0.2 * t - 0.01 * t**2
    assert local_quadratic(60, 9.0) @ curve == pytest.approx(curve)
