"""A log simulated on one replica, and how far its times are from the measured ones."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.pace import Pace, PaceLaw
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws

_SEED = 0
_DRAWN, _FEWEST_DRAWS, _MOST_DRAWS = 8000, 4, 32
"""requests to simulate in all, where a speed is drawn, and how often a log at least and at most"""


@dataclass(frozen=True)
class Outcomes:
    """When each request of a log got its first and its last token, seconds since the first arrival; arrays [n], or, of
    several draws of a server whose speed spreads, [d, n]."""

    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    preemptions: int = 0

    @property
    def one(self) -> "Outcomes":
        """The first draw, arrays [n]."""
        return Outcomes(np.atleast_2d(self.first_s)[0], np.atleast_2d(self.last_s)[0], self.preemptions)

    @property
    def typical_last_s(self) -> NDArray[np.float64]:
        """When each request [n] got its last token, in the median over draws."""
        return np.asarray(np.median(np.atleast_2d(self.last_s), axis=0))


Rows = slice | NDArray[np.bool_]
"""which requests of a log"""


@dataclass(frozen=True)
class Times:
    """Time to first token, time per further output token (requests of one token have none) and latency, seconds; of
    several draws, of all of them."""

    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]

    @classmethod
    def of(cls, log: RequestLog, outcomes: Outcomes, chosen: Rows = slice(None)) -> "Times":
        """Those of the log's `chosen` requests."""
        arrival, first, last = log.arrival_s[chosen], outcomes.first_s[..., chosen], outcomes.last_s[..., chosen]
        further = log.output_tokens[chosen] - 1
        several = further > 0
        tpot_s = (last - first)[..., several] / further[several]
        return cls((first - arrival).ravel(), tpot_s.ravel(), (last - arrival).ravel())


def check_fits(log: RequestLog, engine: Engine) -> None:
    """InputError for the first request that the KV cache could not hold even alone."""
    for row, (prompt, output) in enumerate(zip(log.prompt_tokens.tolist(), log.output_tokens.tolist(), strict=True), 1):
        needed = engine.blocks_of(Job(prompt, output))
        if needed > engine.kv_blocks:
            raise InputError(
                f"{log.name}: request {row} of {prompt} prompt and {output} output tokens needs {needed} KV-cache "
                f"blocks and the server has {engine.kv_blocks}; check the engine file, or delete the request"
            )


def simulate_log(log: RequestLog, timing: StepTime, engine: Engine, pace: PaceLaw | None = None) -> Outcomes:
    """The log's requests at their times on one replica; where its speed spreads, several draws of what becomes of them:
    a percentile of a few hundred requests hangs on the draw."""
    if pace is None:
        return _simulated(log, timing, engine, None)
    draws, many = Draws(_SEED), max(_DRAWN // len(log), _FEWEST_DRAWS)
    found = [_simulated(log, timing, engine, Pace(pace, draws, place)) for place in range(min(many, _MOST_DRAWS))]
    first_s, last_s = (np.stack([getattr(one, name) for one in found]) for name in ("first_s", "last_s"))
    return Outcomes(first_s, last_s, found[0].preemptions)


def _simulated(log: RequestLog, timing: StepTime, engine: Engine, pace: Pace | None) -> Outcomes:
    replica = Replica(timing, engine)
    replica.pace = pace
    jobs = []
    for at, prompt, output in zip(
        log.arrival_s.tolist(), log.prompt_tokens.tolist(), log.output_tokens.tolist(), strict=True
    ):
        while replica.next_s() < at:
            replica.advance(replica.next_s())
        job = Job(prompt, output)
        replica.add(job, at)
        jobs.append(job)
    while replica.next_s() < math.inf:
        replica.advance(replica.next_s())
    first = np.array([job.t_first_token_s for job in jobs])
    return Outcomes(first, np.array([job.t_finished_s for job in jobs]), replica.preemptions)


def measured(log: RequestLog) -> Outcomes:
    """What the log itself says."""
    return Outcomes(log.first_s, log.last_s)


def relative_errors(log: RequestLog, simulated: Outcomes, chosen: Rows = slice(None)) -> dict[str, float]:
    """Signed relative errors, simulated over measured less one, of the mean and of percentiles of each time."""
    ours, theirs = Times.of(log, simulated, chosen), Times.of(log, measured(log), chosen)
    pairs = {
        "ttft": (ours.ttft_s, theirs.ttft_s),
        "tpot": (ours.tpot_s, theirs.tpot_s),
        "latency": (ours.latency_s, theirs.latency_s),
    }
    errors = {f"{name}_mean": _relative(a.mean(), b.mean()) for name, (a, b) in pairs.items() if a.size}
    for p in (50, 95, 99):
        both = {name: (np.percentile(a, p), np.percentile(b, p)) for name, (a, b) in pairs.items() if a.size}
        errors |= {f"{name}_p{p}": _relative(*ends) for name, ends in both.items()}
    return errors


def _relative(simulated: np.floating[Any], measured: np.floating[Any]) -> float:
    return float(simulated / measured) - 1.0 if measured > 0 else math.nan
