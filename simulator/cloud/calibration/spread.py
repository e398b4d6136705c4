"""How a server's speed spreads around its step times, from the moments at which a log's tokens came.

While answers are written a step ends with each token, and what a step should take follows from what is in the batch
then, as measured. So the work that is done in a stretch of time, over its length, is the speed in it, and stretches
that follow on one another tell how long a speed lasts.
"""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.calibration.progress import decoding
from fleetrec.simulator.cloud.hardware.step_time import Batch, StepTime
from fleetrec.simulator.cloud.replica.pace import PaceLaw

Floats = NDArray[np.float64]

_STEPS = 16
"""tokens of a stretch, in the median: fewer say more of when a client read than of what the server did"""
_RUN_S = 16.0
"""median latencies of a run: much longer than an answer, and much shorter than the log"""
_FEWEST = 50
"""stretches, to say anything"""
_DIGITS = 4
_MOST = 20_000
"""stretches that a law holds"""
_COVERED = 0.5
"""of a stretch in which something is served, for its speed to be known"""
_ALIKE = 64
"""tokens of context by which batches may differ whose steps are taken to be as long"""


def pace_of(log: RequestLog, steps: StepTime, chosen: NDArray[np.bool_]) -> PaceLaw | None:
    """How a server's speed spreads, by the requests of a log that are `chosen` [N]: its speed from one stretch to the
    next in which something is served. None where the log does not tell when tokens came, or tells of too few."""
    gaps = [gap for gaps, of in zip(log.gaps_s, chosen.tolist(), strict=False) if of for gap in gaps if gap > 0]
    if not gaps:
        return None
    stretch_s = _STEPS * float(np.median(gaps))
    _, speed = speeds_of(log, steps, chosen, stretch_s)
    if len(speed) < _FEWEST or speed.mean() <= 0:
        return None
    speed = speed[:_MOST]
    latency_s = float(np.median((log.last_s - log.arrival_s)[chosen]))
    run = int(np.clip(_RUN_S * latency_s / stretch_s, 1, len(speed)))
    return PaceLaw(stretch_s, run, tuple((speed / speed.mean()).round(_DIGITS).tolist()))


def speeds_of(
    log: RequestLog, steps: StepTime, chosen: NDArray[np.bool_], stretch_s: float
) -> tuple[NDArray[np.int64], Floats]:
    """Stretches [S] of equal length in which `chosen` requests were served, by their number since the first arrival,
    and the speed [S] in each: the work that is done over the time, as a share of what step times say."""
    at_s, done_s, busy_s = _work(log, steps, chosen)
    number = np.arange(int(at_s[0] // stretch_s), int(at_s[-1] // stretch_s) + 1)
    work, time = (
        np.diff(np.interp(np.append(number, number[-1] + 1) * stretch_s, at_s, of)) for of in (done_s, busy_s)
    )
    known = time >= _COVERED * stretch_s
    return number[known], work[known] / time[known]


def _work(log: RequestLog, steps: StepTime, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Moments [E] at which what is served changes, the work that is done up to each, as far as the tokens of `chosen`
    requests tell, and for how long they were served up to it."""
    of = decoding(log, chosen)
    at_s, writers, sequences, context = of.at_s, of.writers, of.sequences, of.context
    pace = of.steps_per_s * _step_s(steps, sequences.astype(np.int64), context)
    first, last, more = _prompts(log, steps, chosen, at_s, sequences, context)
    reading = np.concatenate([np.stack([first, more], 1), np.stack([last, -more], 1)])
    every_s = np.unique(np.concatenate([at_s, reading[:, 0]]))
    place = np.maximum(np.searchsorted(at_s, every_s, "right") - 1, 0)
    change, readers = np.zeros(len(every_s)), np.zeros(len(every_s))
    where = np.searchsorted(every_s, reading[:, 0])
    np.add.at(change, where, reading[:, 1])
    np.add.at(readers, where, np.repeat([1.0, -1.0], len(first)))
    took_s = np.diff(every_s)
    work_s = (np.where(every_s >= at_s[0], pace[place], 0.0) + np.cumsum(change))[:-1] * took_s
    busy_s = np.where((writers[place] > 0) | (np.rint(np.cumsum(readers)) > 0), 1.0, 0.0)[:-1] * took_s
    return every_s, np.cumsum(np.append(0.0, work_s)), np.cumsum(np.append(0.0, busy_s))


def _step_s(steps: StepTime, sequences: NDArray[np.int64], context: Floats) -> Floats:
    """What a step takes in which so many sequences decode."""
    kinds, kind = np.unique(np.stack([sequences, context // _ALIKE], 1), axis=0, return_inverse=True)
    took = [0.0 if n < 1 else steps.at(Batch(n, n, read, read)) for n, read in (kinds * [1, _ALIKE]).tolist()]
    return np.array(took)[kind.ravel()]


def _prompts(
    log: RequestLog,
    steps: StepTime,
    chosen: NDArray[np.bool_],
    at_s: Floats,
    sequences: Floats,
    context: Floats,
) -> tuple[Floats, Floats, Floats]:
    """When the work for each of the `chosen` prompts [P] was done, from and to, and how much a second: beside others
    that decode, what it adds to a step, just before its first token; else all of a step, since it came or the last of
    those was over."""
    found = []
    for row in np.flatnonzero(chosen):
        first_s, came_s, prompt = float(log.first_s[row]), float(log.arrival_s[row]), int(log.prompt_tokens[row])
        place = int(np.searchsorted(at_s, first_s)) - 1
        n, read = (float(sequences[place]), float(context[place])) if place >= 0 else (0.0, 0.0)
        pairs = prompt * (prompt + 1) / 2
        work_s = steps.at(Batch(n + prompt, n + 1, read + prompt, read + pairs))
        if n:
            work_s -= steps.at(Batch(n, n, read, read))
            begin_s = max(came_s, first_s - work_s)
        else:
            begin_s = max(came_s, float(at_s[place])) if place >= 0 else came_s
        if begin_s < first_s:
            found.append((begin_s, first_s, work_s / (first_s - begin_s)))
    first, last, more = np.array(found).reshape(-1, 3).T
    return first, last, more
