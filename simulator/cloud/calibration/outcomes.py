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
from fleetrec.simulator.cloud.replica.replica import Replica


@dataclass(frozen=True)
class Outcomes:
    """When each request of a log got its first and its last token, seconds since the first arrival; arrays [n]."""

    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    preemptions: int = 0


Rows = slice | NDArray[np.bool_]
"""which requests of a log"""


@dataclass(frozen=True)
class Times:
    """Time to first token, time per further output token (requests of one token have none) and latency, seconds."""

    ttft_s: NDArray[np.float64]
    tpot_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]

    @classmethod
    def of(cls, log: RequestLog, outcomes: Outcomes, chosen: Rows = slice(None)) -> "Times":
        """Those of the log's `chosen` requests."""
        arrival, first, last = log.arrival_s[chosen], outcomes.first_s[chosen], outcomes.last_s[chosen]
        further = log.output_tokens[chosen] - 1
        several = further > 0
        return cls(first - arrival, (last - first)[several] / further[several], last - arrival)


def check_fits(log: RequestLog, engine: Engine) -> None:
    """InputError for the first request that the KV cache could not hold even alone."""
    for row, (prompt, output) in enumerate(zip(log.prompt_tokens.tolist(), log.output_tokens.tolist(), strict=True), 1):
        needed = engine.blocks_of(Job(prompt, output))
        if needed > engine.kv_blocks:
            raise InputError(
                f"{log.name}: request {row} of {prompt} prompt and {output} output tokens needs {needed} KV-cache "
                f"blocks and the server has {engine.kv_blocks}; check the engine file, or delete the request"
            )


def simulate_log(log: RequestLog, timing: StepTime, engine: Engine) -> Outcomes:
    """The log's requests at their times on one replica."""
    replica = Replica(timing, engine)
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
