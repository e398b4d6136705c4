"""A device's way to the cloud, in compiled code: see fleet/link.py, fleet/network.py, fleet/presence.py and
core/randomness.py, whose draws these are to the last bit (`prepare` of world.py looks whether they are here)."""

import math

import numpy as np

from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined
from fleetrec.simulator.engine.compiled import columns as c
from fleetrec.simulator.engine.compiled.columns import Fleet

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_ONE, _12, _27, _30, _31 = np.uint64(1), np.uint64(12), np.uint64(27), np.uint64(30), np.uint64(31)


@inlined
def _mixed(state: np.uint64, key: int) -> np.uint64:
    z = state + (np.uint64(key) + _ONE) * _GOLDEN
    z = (z ^ (z >> _30)) * _M1
    z = (z ^ (z >> _27)) * _M2
    return z ^ (z >> _31)


@inlined
def uniform(seed: int, device: int, step: int, attempt: int) -> float:
    """`Draws.uniform_one` of a purpose whose mixing begins with `seed`, its bits in a signed number."""
    state = _mixed(_mixed(_mixed(np.uint64(seed), device), step), attempt)
    return (np.float64(state >> _12) + 0.5) * 2.0**-52


@compiled
def normal_quantile(p: float) -> float:
    """`statistics.NormalDist().inv_cdf` (Wichura 1988, algorithm AS241)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        num = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        num = num * r + 6.7265770927008700853e4
        num = num * r + 4.5921953931549871457e4
        num = num * r + 1.3731693765509461125e4
        num = num * r + 1.9715909503065514427e3
        num = num * r + 1.3314166789178437745e2
        num = (num * r + 3.3871328727963666080e0) * q
        den = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        den = den * r + 3.9307895800092710610e4
        den = den * r + 2.1213794301586595867e4
        den = den * r + 5.3941960214247511077e3
        den = den * r + 6.8718700749205790830e2
        den = den * r + 4.2313330701600911252e1
        return num / (den * r + 1.0)
    r = math.sqrt(-math.log(p if q <= 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        num = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        num = num * r + 2.41780725177450611770e-1
        num = num * r + 1.27045825245236838258e0
        num = num * r + 3.64784832476320460504e0
        num = num * r + 5.76949722146069140550e0
        num = num * r + 4.63033784615654529590e0
        num = num * r + 1.42343711074968357734e0
        den = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        den = den * r + 1.51986665636164571966e-2
        den = den * r + 1.48103976427480074590e-1
        den = den * r + 6.89767334985100004550e-1
        den = den * r + 1.67638483018380384940e0
        den = den * r + 2.05319162663775882187e0
    else:
        r -= 5.0
        num = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        num = num * r + 1.24266094738807843860e-3
        num = num * r + 2.65321895265761230930e-2
        num = num * r + 2.96560571828504891230e-1
        num = num * r + 1.78482653991729133580e0
        num = num * r + 5.46378491116411436990e0
        num = num * r + 6.65790464350110377720e0
        den = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        den = den * r + 1.84631831751005468180e-5
        den = den * r + 7.86869131145613259100e-4
        den = den * r + 1.48753612908506148525e-2
        den = den * r + 1.36929880922735805310e-1
        den = den * r + 5.99832206555887937690e-1
    x = num / (den * r + 1.0)
    return -x if q < 0.0 else x


@compiled
def _edge(offsets: Ints, edges: Floats, d: int, t_s: float) -> int:
    """`bisect_right` among the edges of a device."""
    low, high = offsets[d], offsets[d + 1]
    while low < high:
        middle = (low + high) // 2
        if t_s < edges[middle]:
            high = middle
        else:
            low = middle + 1
    return int(low)


@compiled
def reachable_until(f: Fleet, d: int, now: float) -> float:
    """`Link.reachable_until`"""
    if f.F[d, c.REACHABLE_UNTIL_S] <= now:
        edge = _edge(f.offsets, f.edges, d, now)
        if (edge - f.offsets[d]) & 1 == 0:
            f.F[d, c.REACHABLE_UNTIL_S] = now
        else:
            f.F[d, c.REACHABLE_UNTIL_S] = f.edges[edge] if edge < f.offsets[d + 1] else math.inf
    return float(f.F[d, c.REACHABLE_UNTIL_S])


@inlined
def next_reachable(f: Fleet, d: int, now: float) -> float:
    """`Presence.next_reachable`"""
    edge = _edge(f.offsets, f.edges, d, now)
    if (edge - f.offsets[d]) & 1:
        return now
    return float(f.edges[edge]) if edge < f.offsets[d + 1] else math.inf


@inlined
def next_online(f: Fleet, d: int, now: float) -> float:
    """`Presence.next_online`"""
    edge = _edge(f.offsets, f.edges, d, now)
    edge += (edge - f.offsets[d]) & 1
    return float(f.edges[edge]) if edge < f.offsets[d + 1] else math.inf


@compiled
def message_s(f: Fleet, d: int, draw: float, nbytes: float, byte_s: float, now: float) -> float:
    """`Link.up` and `Link.down`: seconds that a message takes; infinite where it is lost, or the link breaks before."""
    kept = f.F[d, c.KEPT]
    if draw >= kept:
        return math.inf
    seconds, jitter = f.F[d, c.ONE_WAY_S], f.F[d, c.JITTER]
    if jitter != 0.0:
        seconds = seconds * math.exp(jitter * normal_quantile(draw / kept))
    seconds = seconds + nbytes * byte_s
    return math.inf if reachable_until(f, d, now) < now + seconds else seconds
