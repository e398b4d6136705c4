"""Step-time coefficients of a server, fitted to its log by simulating the log, with a prior (priors.py).

The weights are read while the tokens are computed; attention and sampling come on top. The fit minimises the mean
square of the relative misses of all requests' times, plus a price on each coefficient's distance from the prior: a
log that never shows a small batch says nothing of it, and there the roofline stands.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy  # loads optimize where it is used: most runs do not
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.calibration.outcomes import (
    Outcomes,
    Rows,
    Times,
    check_fits,
    measured,
    relative_errors,
    simulate_log,
)
from fleetrec.simulator.cloud.calibration.priors import (
    Coefficients,
    Form,
    Prior,
    as_larger,
    roofline_of,
    roofline_prior,
    told_prior,
    weak_prior,
)
from fleetrec.simulator.cloud.calibration.scheduler import engine_seen
from fleetrec.simulator.cloud.calibration.servers import Server
from fleetrec.simulator.cloud.calibration.spread import pace_of
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.pace import PaceLaw
from fleetrec.simulator.core.notes import Note, data_of, note

MISFIT = 0.005
"""relative miss that is worth as much as one coefficient a `PRIOR_SPREAD` off: what no model of steps explains"""
_WEAK = (
    "the server is in no catalogue, so the fit leans on an order of magnitude that the log itself gives: what the log "
    "does not show (larger batches, longer prompts) is a guess"
)
_SPREADS = (
    "the server's speed spreads around what its step times say by {spread:.0%} from one {stretch_s:.2g} s to another, "
    "by when its tokens came; the profile has that as its pace"
)
_LEVELLINGS = 2
_MOST_STEPS, _LEAST_STEPS = 200.0, 0.05
"""of the roofline's shortest step, what a token may take: a factor of a thousand is a unit"""
# Half widths of the finite differences, in log space; wide ones first: outcomes jump where a preemption comes or goes.
_STAGES = (0.05, 0.02, 0.01)


@dataclass(frozen=True)
class Calibration:
    """What a fit found. Errors are signed and relative; `held_out` is None where the whole log was fitted."""

    server: Server
    engine: Engine
    """the server's limits, as it says or as its log shows"""
    log: RequestLog
    fitted: int
    """requests that the coefficients were fitted to, the first of the log"""
    coefficients: Coefficients
    steps: StepTime
    pace: PaceLaw | None
    """how the server's speed spreads around its steps; None where the log does not tell when tokens came"""
    simulated: Outcomes
    in_sample: dict[str, float]
    held_out: dict[str, float] | None
    simulated_requests_per_s: float
    notes: tuple[Note, ...] = ()

    def figures(self) -> dict[str, object]:
        """For one JSON object."""
        return {
            "coefficients": self.coefficients._asdict(),
            "speed_spread": None if self.pace is None else self.pace.spread,
            "in_sample": self.in_sample,
            "held_out": self.held_out,
            "simulated_requests_per_s": self.simulated_requests_per_s,
            "notes": data_of(*self.notes),
        }


def calibrate(
    log: RequestLog,
    server: Server,
    fit_first: float = 1.0,
    form: Form = as_larger,
    misfit: float = MISFIT,
    rows: NDArray[np.bool_] | None = None,
) -> Calibration:
    """Fit the step time of `server` to the first part, `fit_first`, of the log by arrival, or to its `rows` [N]; judge
    it on the rest.

    All requests are simulated either way; `misfit` 0 fits without the prior. InputError where a part holds too few
    requests to be judged, or a request does not fit the server.
    """
    fitted = _fitted_requests(log, fit_first) if rows is None else int(rows.sum())
    part, rest = (slice(0, fitted), slice(fitted, None)) if rows is None else (rows, ~rows)
    chosen = np.zeros(len(log), dtype=bool)
    chosen[part] = True
    theirs = Times.of(log, measured(log), part)
    roofline, notes = roofline_of(server), list(log.notes)
    if roofline is not None:
        _check_unit(log, roofline)
        prior = roofline_prior(roofline, form)
    else:
        prior = weak_prior(theirs, float(log.prompt_tokens[part].mean()))
        if log.gaps_s:
            prior = told_prior(log, chosen, prior)
        notes.append(note("weak_prior", _WEAK))
    engine = server.engine
    if engine is None:
        engine, seen = engine_seen(log, slice(0, fitted) if rows is None else slice(None))  # limits show in a row
        notes += seen
    check_fits(log, engine)
    shift = _fit(log, prior, engine, part, misfit)
    steps = prior.steps_of(_shifted(prior, shift))
    pace = pace_of(log, steps, chosen)
    if pace is not None:
        pace = _levelled(log, steps, engine, pace, part)
        notes.append(note("pace_seen", _SPREADS, spread=pace.spread, stretch_s=pace.stretch_s))
    started = time.process_time()
    simulated = simulate_log(log, steps, engine, pace)
    took_s = max(time.process_time() - started, 1e-9) / len(np.atleast_2d(simulated.first_s))
    return Calibration(
        server=server,
        engine=engine,
        log=log,
        fitted=fitted,
        coefficients=_shifted(prior, shift),
        steps=steps,
        pace=pace,
        simulated=simulated,
        in_sample=relative_errors(log, simulated, part),
        held_out=relative_errors(log, simulated, rest) if fitted < len(log) else None,
        simulated_requests_per_s=len(log) / took_s,
        notes=tuple(notes),
    )


def _levelled(log: RequestLog, steps: StepTime, engine: Engine, pace: PaceLaw, part: Rows) -> PaceLaw:
    """The law with speeds at which the median latency of a part of the log is the measured one: the step times are
    fitted without it, and what is slow for a while costs more than what is as much quicker saves."""
    theirs_s = np.median(Times.of(log, measured(log), part).latency_s)
    for _ in range(_LEVELLINGS):
        ours_s = np.median(Times.of(log, simulate_log(log, steps, engine, pace), part).latency_s)
        pace = replace(pace, speeds=tuple(speed * float(ours_s / theirs_s) for speed in pace.speeds))
    return pace


def _shifted(prior: Prior, shift: NDArray[np.float64]) -> Coefficients:
    return Coefficients(*(np.array(prior.coefficients) * np.exp(shift)).tolist())


def _fit(log: RequestLog, prior: Prior, engine: Engine, part: Rows, misfit: float) -> NDArray[np.float64]:
    """How far [5], in log space, the coefficients of best fit to a part of the log are from the prior's."""
    theirs = Times.of(log, measured(log), part)

    def misses(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        ours = Times.of(log, simulate_log(log, prior.steps_of(_shifted(prior, shift)), engine), part)
        by_kind = [
            (a - b) / b.mean() / math.sqrt(len(b))
            for a, b in (
                (ours.ttft_s, theirs.ttft_s),
                (ours.tpot_s, theirs.tpot_s),
                (ours.latency_s, theirs.latency_s),
            )
        ]
        return np.concatenate([np.concatenate(by_kind) / math.sqrt(3.0), shift * misfit / prior.spread])

    if log.gaps_s:  # whose steps are uneven: so much is chance in what requests take
        data = misses(np.zeros(len(prior.coefficients)))[: -len(prior.coefficients)]
        misfit = max(misfit, float(np.linalg.norm(data)) / math.sqrt(len(theirs.latency_s)))
    return _least_squares(misses, len(prior.coefficients))


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
