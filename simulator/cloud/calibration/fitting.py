"""Step-time coefficients of a server, fitted to its log by simulating the log, with the roofline as the prior.

The weights are read while the tokens are computed; attention and sampling come on top. The fit minimises the mean
square of the relative misses of all requests' times, plus a price on each coefficient's distance from the roofline: a
log that never shows a small batch says nothing of it, and there the roofline stands.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy  # loads optimize where it is used: most runs do not
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.calibration.outcomes import (
    Outcomes,
    Times,
    check_fits,
    measured,
    relative_errors,
    simulate_log,
)
from fleetrec.simulator.cloud.calibration.servers import Server
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import ExpertWeights, LinearCost, StepTime
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.core.notes import data_of

PRIOR_SPREAD = 0.25
"""how far, in log space, a coefficient may well be from the roofline's"""
MISFIT = 0.005
"""relative miss that is worth as much as one coefficient a `PRIOR_SPREAD` off: what no model of steps explains"""
_MOST_STEPS, _LEAST_STEPS = 200.0, 0.05
"""of the roofline's shortest step, what a token may take: a factor of a thousand is a unit"""
# Half widths of the finite differences, in log space; wide ones first: outcomes jump where a preemption comes or goes.
_STAGES = (0.05, 0.02, 0.01)


class Coefficients(NamedTuple):
    """Seconds of a step, by what it holds (`steps.Batch`)."""

    fixed_s: float
    per_token_s: float
    per_sequence_s: float
    per_context_token_s: float
    per_pair_s: float


Form = Callable[[Coefficients, StepTime], StepTime]
"""A step time from coefficients and the roofline that they are a correction of"""


def roofline_coefficients(roofline: StepTime) -> Coefficients:
    """What the fit starts from."""
    compute, memory = roofline.compute, roofline.memory
    return Coefficients(
        fixed_s=memory.fixed_s,
        per_token_s=compute.per_token_s,
        per_sequence_s=compute.per_sequence_s,
        per_context_token_s=memory.per_context_token_s,
        per_pair_s=compute.per_pair_s,
    )


def as_larger(coefficients: Coefficients, roofline: StepTime) -> StepTime:
    """Two lines: the step waits for the larger of reading the weights and computing the tokens."""
    a = coefficients
    overhead = roofline.compute.fixed_s / roofline.memory.fixed_s * a.fixed_s
    compute = LinearCost(overhead, a.per_token_s, a.per_sequence_s, a.per_context_token_s, a.per_pair_s)
    memory = LinearCost(a.fixed_s, 0.0, a.per_sequence_s, a.per_context_token_s)
    return StepTime(compute, memory, _scaled_experts(a, roofline))


def as_sum(coefficients: Coefficients, roofline: StepTime) -> StepTime:
    """One line: nothing overlaps."""
    line = LinearCost(*coefficients)
    return StepTime(line, line, _scaled_experts(coefficients, roofline))


def _scaled_experts(coefficients: Coefficients, roofline: StepTime) -> ExpertWeights | None:
    """A mixture of experts: the expert weights are read at the speed of the others."""
    experts = roofline.experts
    if experts is None:
        return None
    return ExpertWeights(experts.all_s * coefficients.fixed_s / roofline.memory.fixed_s, experts.routed_share)


@dataclass(frozen=True)
class Calibration:
    """What a fit found. Errors are signed and relative; `held_out` is None where the whole log was fitted."""

    server: Server
    log: RequestLog
    fitted: int
    """requests that the coefficients were fitted to, the first of the log"""
    coefficients: Coefficients
    steps: StepTime
    simulated: Outcomes
    in_sample: dict[str, float]
    held_out: dict[str, float] | None
    simulated_requests_per_s: float

    def figures(self) -> dict[str, object]:
        """For one JSON object."""
        return {
            "coefficients": self.coefficients._asdict(),
            "in_sample": self.in_sample,
            "held_out": self.held_out,
            "simulated_requests_per_s": self.simulated_requests_per_s,
            "notes": data_of(*self.log.notes),
        }


def calibrate(
    log: RequestLog, server: Server, fit_first: float = 1.0, form: Form = as_larger, misfit: float = MISFIT
) -> Calibration:
    """Fit the step time of `server` to the first part, `fit_first`, of the log by arrival; judge it on the rest.

    All requests are simulated either way; `misfit` 0 fits without the prior. InputError where a part holds too few
    requests to be judged, or a request does not fit the server.
    """
    fitted = _fitted_requests(log, fit_first)
    check_fits(log, server.engine)
    roofline = RooflineTiming(server.model, server.gpu, Layout(server.gpus_per_replica)).steps
    _check_unit(log, roofline)
    prior = np.array(roofline_coefficients(roofline))  # [5]
    part = slice(0, fitted)
    theirs = Times.of(log, measured(log), part)

    def steps_at(shift: NDArray[np.float64]) -> StepTime:
        return form(Coefficients(*(prior * np.exp(shift)).tolist()), roofline)

    def misses(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        ours = Times.of(log, simulate_log(log, steps_at(shift), server.engine), part)
        by_kind = [
            (a - b) / b.mean() / math.sqrt(len(b))
            for a, b in (
                (ours.ttft_s, theirs.ttft_s),
                (ours.tpot_s, theirs.tpot_s),
                (ours.latency_s, theirs.latency_s),
            )
        ]
        return np.concatenate([np.concatenate(by_kind) / math.sqrt(3.0), shift * misfit / PRIOR_SPREAD])

    shift = _least_squares(misses, len(prior))
    steps = steps_at(shift)
    started = time.process_time()
    simulated = simulate_log(log, steps, server.engine)
    took_s = max(time.process_time() - started, 1e-9)
    return Calibration(
        server=server,
        log=log,
        fitted=fitted,
        coefficients=Coefficients(*(prior * np.exp(shift)).tolist()),
        steps=steps,
        simulated=simulated,
        in_sample=relative_errors(log, simulated, part),
        held_out=relative_errors(log, simulated, slice(fitted, None)) if fitted < len(log) else None,
        simulated_requests_per_s=len(log) / took_s,
    )


def _check_unit(log: RequestLog, roofline: StepTime) -> None:
    """InputError where a step takes so much more, or less, than the GPU needs that times are of another unit."""
    tpot_s = Times.of(log, measured(log)).tpot_s
    step_s, least_s = float(np.median(tpot_s[tpot_s > 0])) if (tpot_s > 0).any() else math.nan, roofline.memory.fixed_s
    if step_s / least_s > _MOST_STEPS or step_s / least_s < _LEAST_STEPS:
        unit = "milliseconds" if step_s > least_s else "seconds, and given as if they were milliseconds"
        raise InputError(
            f"{log.name}: a token takes {step_s:.3g} s in the median and a step of this model on this GPU at least "
            f"{least_s:.3g} s: are the times {unit}? Give them in seconds; or check --model and --gpu"
        )


def _fitted_requests(log: RequestLog, fit_first: float) -> int:
    """How many requests are fitted."""
    if not 0.0 < fit_first <= 1.0:
        raise InputError(f"--fit-first {fit_first:g}: the part of the log to fit must be above 0 and at most 1")
    fitted = int(fit_first * len(log))
    parts = [slice(0, fitted)] + ([slice(fitted, None)] if fit_first < 1.0 else [])
    for part in parts:
        times = Times.of(log, measured(log), part)
        if not times.tpot_s.size or min(times.ttft_s.mean(), times.tpot_s.mean()) <= 0.0:
            raise InputError(
                f"{log.name}: requests {part.start + 1} to {part.stop or len(log)} hold none that took time to its "
                "first token and between tokens, so nothing can be judged; give a longer log or another --fit-first"
            )
    return fitted


def _least_squares(misses: Callable[[NDArray[np.float64]], NDArray[np.float64]], n: int) -> NDArray[np.float64]:
    """The shift [n] of least cost found, from zero."""

    def at(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        return misses(moved - 1.0)  # SciPy's steps are relative to the variable, so that is 1 + shift

    best, best_cost = np.ones(n), math.inf
    for width in _STAGES:
        found = scipy.optimize.least_squares(at, best, jac="3-point", diff_step=[width] * n, x_scale=0.1, max_nfev=25)
        if found.cost < best_cost:
            best, best_cost = found.x, float(found.cost)
    return best - 1.0
