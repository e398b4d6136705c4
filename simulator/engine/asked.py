"""What a request asks of the LLM, whoever serves it: its tokens, and what the user's own table says of its answer."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.simulator.cloud.tokens import generation_of, history_prefix
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.request_tokens import request_meter
from fleetrec.simulator.records.schemas import RequestRecord
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]


class Asked(NamedTuple):
    """One request."""

    prompt_tokens: int
    output_tokens: int
    """of each of its sequences"""
    sequences: int
    as_of: int
    """what its answer has seen"""
    latency_s: float
    """of its answer, where a table says it; else NaN"""
    prefix_start: int
    """where its prompt's history begins: prompts of a device that begin alike share their prefix; -1: nobody knows"""
    prefix_tokens: int
    """how much of the prompt that prefix is"""


class RequestReader:
    """Reads the requests of a run. `source` tells which lists exist; a table may bring tokens and latencies."""

    def __init__(self, llm: sections.Llm, prepared: Prepared, source: CandidateSource):
        self._llm, self._users, self._source = llm, prepared.population.users, source
        self._meter = request_meter(llm, prepared, source)
        self.from_table = llm.candidates.recorded
        self._knows_prefixes = not self.from_table and not self._meter.own
        self._prefix = cache(lambda n: history_prefix(llm.prompt, n))
        self._told_tokens = False  # by an answer of the table
        self.missing_answers = 0
        """requests for which the table has no list of its own"""
        self.read_any = False

    def read(self, record: RequestRecord) -> Asked:
        """What a request that has come to the cloud asks."""
        self.read_any = True
        prompt, output, sequences = self._meter.of(int(self._users[record.device]), record.step)
        if self.from_table:
            answer = self._source.lists(*self._place(record.device, record.step))
            as_of = int(answer.as_of[0])
            self.missing_answers += as_of != record.step
            self._told_tokens |= answer.output_tokens is not None and bool(np.isfinite(answer.output_tokens[0]))
            prompt = math.ceil(_given(answer.prompt_tokens, prompt))
            output = math.ceil(_given(answer.output_tokens, output))
            return Asked(prompt, output, sequences, as_of, _given(answer.latency_s, math.nan), -1, 0)
        prefix = self._prefix(record.step + 1) if self._knows_prefixes else (-1, 0)
        return Asked(prompt, output, sequences, record.step, math.nan, *prefix)

    def tokens_by_step(self, steps: int) -> Ints | None:
        """Tokens [steps + 1, 3] of the requests at steps -1, 0, 1 and so on: of the prompt, of each sequence, and how
        many of these; None where they hang on more than the step, or come from a table."""
        if self.from_table or not self._meter.by_step:
            return None
        return np.array([self._meter.of(0, step) for step in range(-1, steps)], dtype=np.int64).reshape(-1, 3)

    def answerable(self, device: int, step: int) -> bool:
        """Whether there is an answer at all to a request of this device at this step."""
        if not self.from_table or bool(self._source.lists(*self._place(device, step)).found[0]):
            return True
        self.missing_answers += 1
        return False

    def notes(self) -> list[Note]:
        """What of the requests' tokens is to be known, once they have been served."""
        if not self.read_any:
            return []
        if self.from_table and not self._told_tokens:
            said = "tokens: the table tells none, so llm.prompt and a {how} of llm.list_length items are charged"
            return [note("tokens_not_told", said, how=generation_of(self._llm))]
        return self._meter.notes()

    def load(self) -> dict[str, int]:
        """What of it belongs to the `cloud` section of a summary."""
        return {"missing_answers": self.missing_answers} if self.from_table else {}

    def _place(self, device: int, step: int) -> tuple[Ints, Ints]:
        return self._users[device : device + 1], np.array([step])


def _given(values: NDArray[np.float64] | None, otherwise: float) -> float:
    """The one value of a table's column; `otherwise` where it has none."""
    if values is None or math.isnan(values[0]):
        return otherwise
    return float(values[0])
