"""What a server's log shows of its scheduler: how many requests it answers at once, and in which order it begins."""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.calibration.logs import RequestLog
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.core.notes import Note, note

UNSEEN_BLOCKS = 10**6
"""of KV cache, where no limit of memory is seen"""
_PATIENCE = 4.0
"""times the quickest first token, from which a request that has none is waiting for a place"""
_FULL = 0.5
"""share of the time in which requests wait that a server with so many places has them all taken"""
_LEAST_WAITING = 0.03
"""of the log's time, so that the share says something"""
_IN_ORDER = 0.8


def engine_seen(log: RequestLog, part: slice) -> tuple[Engine, list[Note]]:
    """The limits that a part of a log shows; those that it does not show are vLLM's defaults, or none."""
    arrival_s, first_s, last_s = log.arrival_s[part], log.first_s[part], log.last_s[part]
    most, waiting, full = _places(arrival_s, first_s, last_s)
    defaults = Engine(UNSEEN_BLOCKS)
    if waiting >= _LEAST_WAITING and full >= _FULL:
        said = (
            "scheduler: at most {most} requests are answered at once, which all are in {full:.0%} of the time in which "
            "others wait; so many is the limit"
        )
        engine = Engine(UNSEEN_BLOCKS, max_sequences=most)
    else:
        said = "scheduler: up to {most} requests are answered at once and no limit shows"
        engine = defaults if most <= defaults.max_sequences else Engine(UNSEEN_BLOCKS, most, most)
    notes = [note("scheduler_seen", said, most=most, full=full)]
    in_order = _in_order(arrival_s, first_s)
    if in_order < _IN_ORDER:
        said = (
            "scheduler: of requests that wait together, the one that came first begins first in {share:.0%} only; they "
            "are simulated in the order in which they came"
        )
        notes.append(note("order_seen", said, share=in_order))
    return engine, notes


def _places(
    arrival_s: NDArray[np.float64], first_s: NDArray[np.float64], last_s: NDArray[np.float64]
) -> tuple[int, float, float]:
    """The most requests between first and last token at once, the share of the time in which some wait, and the share
    of that in which so many are answered."""
    patient_s = arrival_s + _PATIENCE * float(np.percentile(first_s - arrival_s, 10))
    edges = np.unique(np.concatenate([patient_s, first_s, last_s]))
    middle, length = (edges[1:] + edges[:-1]) / 2, np.diff(edges)

    def under(begin: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.int64]:
        begun: NDArray[np.int64] = np.searchsorted(np.sort(begin), middle, "right")
        ended: NDArray[np.int64] = np.searchsorted(np.sort(end), middle, "right")
        under_way: NDArray[np.int64] = begun - ended
        return under_way

    answered = under(first_s, np.maximum(last_s, first_s))
    waits = under(np.minimum(patient_s, first_s), first_s) > 0
    most = max(int(answered.max(initial=1)), 1)
    waiting_s = float(length[waits].sum())
    full_s = float(length[waits & (answered == most)].sum())
    return most, waiting_s / max(float(length.sum()), 1e-9), full_s / max(waiting_s, 1e-9)


def _in_order(arrival_s: NDArray[np.float64], first_s: NDArray[np.float64]) -> float:
    """Of neighbours by arrival that were both without a token at once, the share that began in the order they came."""
    together = first_s[:-1] > arrival_s[1:]
    return float((first_s[:-1] <= first_s[1:])[together].mean()) if together.any() else 1.0
