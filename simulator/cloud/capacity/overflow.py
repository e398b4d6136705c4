"""How many servers to rent where a hosted API takes what they cannot: a newsvendor over the rates of the run's time.

A further server is worth its rent as long as what it keeps from the API costs more there than the server does.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.provisioning import Provision

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def cheapest_split(rates_per_s: Floats, pace: float, server_usd_s: float, request_usd: float) -> tuple[Ints, Floats]:
    """Servers [B], and requests a second [B] that the API gets in the mean, for each row of rates [B, T] over time.

    A server takes `pace` requests a second at most and costs `server_usd_s` a second; the API `request_usd` each.
    """
    rows, bins = rates_per_s.shape
    rising = np.sort(rates_per_s, axis=1)
    sums = np.concatenate([np.zeros((rows, 1)), np.cumsum(rising, axis=1)], axis=1)

    def over(servers: Ints) -> Floats:
        """Requests a second beyond what so many [B] take, in the mean."""
        held = servers * pace
        below = np.array([np.searchsorted(row, most) for row, most in zip(rising, held, strict=True)])
        above = sums[:, -1] - sums[np.arange(rows), below]
        return np.asarray((above - held * (bins - below)) / bins)

    low = np.zeros(rows, dtype=np.int64)  # so many are worth their rent
    high = np.ceil(rising[:, -1] / pace).astype(np.int64) + 1  # so many are not
    while (high - low > 1).any():
        middle = (low + high) // 2
        kept = over(middle - 1) - over(middle)
        worth = (kept * request_usd > server_usd_s) & (middle > low)
        low, high = np.where(worth, middle, low), np.where(worth | (middle <= low), high, middle)
    return low, over(low)


def with_overflow(
    found: Provision, rates_per_s: Floats, rent_usd: Callable[[Floats], float], request_usd: float, horizon_s: float
) -> Provision:
    """What is rented and paid for where the API takes what the servers of `found` do not, which hold the whole load.

    `rates_per_s` [1 + B, T] are those of the run's time and where users are resampled; `rent_usd` is what servers of
    each kind [K] cost over `horizon_s`, at which no request is served.
    """
    assert found.servers
    whole = found.paid_counts
    server_usd_s = rent_usd(whole) / horizon_s / found.servers
    servers, spilled = cheapest_split(rates_per_s, found.peak_per_s / found.servers, server_usd_s, request_usd)
    paid, by_use = servers[:, None] / found.servers * whole, spilled * request_usd * horizon_s
    found = replace(found, servers_of=servers[1:], paid_of=paid[1:], by_use_usd_of=by_use[1:])
    return replace(found, servers=int(servers[0]), paid=paid[0], by_use_usd=float(by_use[0]))
