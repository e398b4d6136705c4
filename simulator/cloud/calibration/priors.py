"""What a fit of step times starts from and leans to: the roofline of the catalogue's model and GPU, or, of a server
that is in no catalogue, an order of magnitude that its log itself gives."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.calibration.outcomes import Times
from fleetrec.simulator.cloud.calibration.progress import step_by_batch
from fleetrec.simulator.cloud.calibration.servers import Server
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import ExpertWeights, LinearCost, StepTime
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming

PRIOR_SPREAD = 0.25
"""how far, in log space, a coefficient may well be from the roofline's"""
WEAK_SPREAD = math.log(10.0)
"""the same where no roofline is known"""
_QUICK = 10.0
"""percentile of times at which a server is taken to be all but idle"""
_FEWEST_STEPS = 100
"""of a batch of several, to tell what one more takes"""
_SMALL = 0.01
"""of a step, what a sequence or a context as long as the log's may take by a weak prior"""


class Coefficients(NamedTuple):
    """Seconds of a step, by what it holds (`steps.Batch`)."""

    fixed_s: float
    per_token_s: float
    per_sequence_s: float
    per_context_token_s: float
    per_pair_s: float


Form = Callable[[Coefficients, StepTime], StepTime]
"""A step time from coefficients and the roofline that they are a correction of"""


@dataclass(frozen=True)
class Prior:
    """Where the coefficients are before the log is looked at, and how far they may well be from there (log space)."""

    coefficients: Coefficients
    spread: float
    steps_of: Callable[[Coefficients], StepTime]


def roofline_coefficients(roofline: StepTime) -> Coefficients:
    """Those that a roofline amounts to."""
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
    return replace(_line(coefficients), experts=_scaled_experts(coefficients, roofline))


def _scaled_experts(coefficients: Coefficients, roofline: StepTime) -> ExpertWeights | None:
    """A mixture of experts: the expert weights are read at the speed of the others."""
    experts = roofline.experts
    if experts is None:
        return None
    return ExpertWeights(experts.all_s * coefficients.fixed_s / roofline.memory.fixed_s, experts.routed_share)


def roofline_of(server: Server) -> StepTime | None:
    """The roofline of a server; None of one that is in no catalogue."""
    if server.machine is None:
        return None
    return RooflineTiming(server.machine.model, server.machine.gpu, Layout(server.gpus_per_replica)).steps


def roofline_prior(roofline: StepTime, form: Form) -> Prior:
    """The one that leans to the roofline."""
    return Prior(roofline_coefficients(roofline), PRIOR_SPREAD, lambda found: form(found, roofline))


def weak_prior(times: Times, prompt_tokens: float) -> Prior:
    """One line whose parts have the size of what a log's quickest requests took; `prompt_tokens` of one in the mean.

    A step takes what a token takes where hardly anybody else is served; a token of a prompt what is left of the
    quickest first tokens; sequences, contexts and attention little, unless the log says otherwise.
    """
    tpot_s, ttft_s = times.tpot_s[times.tpot_s > 0], times.ttft_s[times.ttft_s > 0]
    fixed_s = float(np.percentile(tpot_s, _QUICK))
    prompt_s = max(float(np.percentile(ttft_s, _QUICK)) - fixed_s, _SMALL * fixed_s)
    small_s = _SMALL * fixed_s
    found = Coefficients(
        fixed_s, prompt_s / prompt_tokens, small_s, small_s / prompt_tokens, _SMALL * prompt_s / prompt_tokens**2
    )
    return Prior(found, WEAK_SPREAD, _line)


def told_prior(log: RequestLog, chosen: NDArray[np.bool_], weak: Prior) -> Prior:
    """The weak prior with what the moments of a log's tokens tell of a step: what it takes by how many decode, and what
    the prompts take, in the median, besides. As it is where they do not tell."""
    batch, step_s, steps = step_by_batch(log, chosen)
    if steps.sum() < _FEWEST_STEPS:
        return weak
    told = weak.coefficients
    each_s = _SMALL * told.fixed_s
    if steps[batch > 1].sum() >= _FEWEST_STEPS:
        slope_s, _ = np.polyfit(batch, step_s, 1, w=steps**0.25)  # batches of many are few, and the slow answers'
        each_s = max(float(slope_s), each_s)
    alone_s = float(np.average(step_s - each_s * batch, weights=steps))
    fixed_s = max(alone_s, _SMALL * float(step_s.mean()))
    prompt = float(log.prompt_tokens[chosen].mean())
    prompt_s = max(float(np.median((log.first_s - log.arrival_s)[chosen])) - fixed_s - each_s, _SMALL * fixed_s)
    per_token_s = prompt_s / prompt
    found = told._replace(
        fixed_s=fixed_s, per_token_s=per_token_s, per_sequence_s=max(each_s - per_token_s, _SMALL * each_s)
    )
    return Prior(found, PRIOR_SPREAD, _line)


def _line(coefficients: Coefficients) -> StepTime:
    line = LinearCost(*coefficients)
    return StepTime(line, line)
