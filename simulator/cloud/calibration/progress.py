"""How a server went on while it wrote answers, from the moments at which a log's tokens came: a step ends with each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.calibration.logs import RequestLog

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decoding:
    """What holds from one moment to the next: arrays [E]."""

    at_s: Floats
    """at which a token came"""
    steps_per_s: Floats
    """in the mean over those that write, 0 where none does"""
    writers: Floats
    """of the answers whose tokens are told"""
    sequences: Floats
    """that decode, told or not"""
    context: Floats
    """tokens that these read in a step"""


def decoding(log: RequestLog, chosen: NDArray[np.bool_]) -> Decoding:
    """What the tokens of a log's `chosen` requests [N] tell; what others put into the batch is known of all."""
    changes = []  # [moment, and by how much each of them changes]
    for row, (first_s, last_s) in enumerate(zip(log.first_s.tolist(), log.last_s.tolist(), strict=True)):
        prompt, output = int(log.prompt_tokens[row]), int(log.output_tokens[row])
        gaps = log.gaps_s[row] if chosen[row] else ()
        changes.append(np.array([[first_s, 0, 0, 1, prompt + 1], [last_s, 0, 0, -1, -prompt - 1]]))
        if not gaps or last_s <= first_s:
            continue
        events_s = np.minimum(first_s + np.cumsum([0.0, *gaps]), last_s)
        events_s[-1] = last_s
        came_s = np.unique(events_s)
        tokens = np.diff(np.searchsorted(events_s, came_s, "right")) * ((output - 1) / len(gaps))
        own = np.zeros((len(came_s), 5))
        own[:, 0] = came_s
        own[:, 1] = np.diff(tokens / np.diff(came_s), prepend=0.0, append=0.0)
        own[0, 2], own[-1, 2] = 1, -1
        own[1:, 4], own[-1, 4] = tokens, tokens[-1] - tokens.sum()
        changes.append(own)
    table = np.concatenate(changes)
    at_s, place = np.unique(table[:, 0], return_inverse=True)
    held = np.zeros((len(at_s), 4))
    np.add.at(held, place, table[:, 1:])
    rate, writers, sequences, context = np.cumsum(held, axis=0).T
    writers = np.rint(writers)
    each = np.where(writers > 0, rate / np.maximum(writers, 1), 0.0)
    return Decoding(at_s, each, writers, np.rint(sequences), context)


def step_by_batch(log: RequestLog, chosen: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Sequences [K] that decoded at once while no prompt was read, the seconds [K] that a step took then in the mean,
    and how many steps [K] that is the mean of."""
    of = decoding(log, chosen)
    begin_s, end_s = of.at_s[:-1], of.at_s[1:]
    came, first = np.sort(log.arrival_s), np.sort(log.first_s)
    reads = np.searchsorted(came, end_s, "left") > np.searchsorted(first, begin_s, "right")
    known = (of.writers[:-1] > 0) & ~reads
    took_s, steps = (end_s - begin_s)[known], (of.steps_per_s[:-1] * (end_s - begin_s))[known]
    batch, place = np.unique(of.sequences[:-1][known], return_inverse=True)
    many = np.bincount(place, steps, len(batch)).astype(np.float64)
    return batch, np.bincount(place, took_s, len(batch)) / np.maximum(many, 1e-9), many
