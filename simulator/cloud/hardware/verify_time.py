"""How long steps take that verify drafted tokens, and the drafts before them.

Verification is one step of the LLM: all of a sequence's drafted tokens and one more pass through the weights and are
scored, and its KV cache is read once. So it costs as good as nothing where memory is the limit, and by the token where
compute is. The drafts are as many steps of the draft model, one after the other.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetrec.simulator.cloud.hardware.step_time import Batch, DecodeRun, Run, StepTime

_Lines = tuple[float, float, float, float]
"""seconds on the compute line, and for each token of context; the same on the memory line"""


@dataclass(frozen=True)
class VerifyTime:
    """Seconds of the steps of a batch whose every sequence has `tokens` drafts verified in each."""

    verify: StepTime
    """of the LLM"""
    tokens: int
    draft: StepTime | None = None
    """of the draft model; None: drafts cost no GPU time"""
    lookup_s: float = 0.0
    """host time of each sequence"""
    _known: dict[int, tuple[_Lines, _Lines]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """by sequences: the verification of a step, and its drafts, without contexts"""

    def at(self, sequences: int, context_tokens: float, chunks: tuple[float, float, float, float]) -> float:
        """Seconds of a step in which `sequences` sequences with a KV cache of `context_tokens` tokens in all go on,
        and the prompt `chunks` pass, which the draft model reads too, in its first step."""
        tokens, ends, read, pairs = chunks
        new, _, context, own_pairs, _ = self._verified(sequences, context_tokens)
        seconds = self.verify.at(Batch(new + tokens, new + ends, context + read, own_pairs + pairs))
        seconds += self.lookup_s * sequences
        if self.draft is not None:
            middle = self._middle(sequences, context_tokens)
            batch = Batch(sequences + tokens, sequences + ends, middle + read, middle + pairs)
            seconds += self.draft.at(batch)
            if sequences:
                compute_s, compute_token_s, memory_s, memory_token_s = (
                    self._known.get(sequences) or self._lines(sequences)
                )[1]
                all_s = max(compute_s + compute_token_s * context_tokens, memory_s + memory_token_s * context_tokens)
                seconds += all_s * (self.tokens - 1) / self.tokens
        return seconds

    def _verified(self, sequences: int, context_tokens: float) -> Batch:
        each = self.tokens + 1
        new = sequences * each
        return Batch(new, new, context_tokens + new, each * context_tokens + new * (each + 1) / 2)

    def _middle(self, sequences: int, context_tokens: float) -> float:
        """The mean context of a step's drafts."""
        return context_tokens + sequences * (self.tokens + 1) / 2

    def run(self, sequences: int, context_tokens: float, growth: float) -> Run:
        """Steps in which nothing but this batch goes on, its KV cache growing by `growth` tokens from one to the
        next."""
        (c, c_token, m, m_token), (dc, dc_token, dm, dm_token) = self._known.get(sequences) or self._lines(sequences)
        c, m = c + c_token * context_tokens, m + m_token * context_tokens
        dc, dm = dc + dc_token * context_tokens, dm + dm_token * context_tokens
        if m >= c and m_token >= c_token and dm >= dc and dm_token >= dc_token:  # memory is the limit for good
            return DecodeRun(m + dm, (m_token + dm_token) * growth, math.inf, 0.0, 0.0)
        verify = DecodeRun.of(c, c_token * growth, m, m_token * growth)
        if self.draft is None:
            return verify
        return VerifyRun(verify, DecodeRun.of(dc, dc_token * growth, dm, dm_token * growth))

    def _lines(self, sequences: int) -> tuple[_Lines, _Lines]:
        verify = _lines_of(self.verify, self._verified(sequences, 0), self.tokens + 1, 1, self.lookup_s * sequences)
        draft = (0.0, 0.0, 0.0, 0.0)
        if self.draft is not None:
            middle = self._middle(sequences, 0)
            draft = _lines_of(self.draft, Batch(sequences, sequences, middle, middle), 1, self.tokens, 0.0)
        self._known[sequences] = verify, draft
        return verify, draft


def _lines_of(steps: StepTime, batch: Batch, each: int, times: int, more_s: float) -> _Lines:
    """`times` steps in one that hold `batch`, each sequence `each` tokens that attend to its context, and `more_s`."""
    compute, memory = steps.compute, steps.memory
    by_tokens_s = steps.by_tokens_s(batch.new_tokens, batch.sequences)
    return (
        times * compute.at(batch) + more_s,
        times * (compute.per_context_token_s + each * compute.per_pair_s),
        times * (memory.at(batch) + by_tokens_s) + more_s,
        times * (memory.per_context_token_s + each * memory.per_pair_s),
    )


class VerifyRun(NamedTuple):
    """Consecutive steps in which compute and memory may change places, in the verification or in the drafts."""

    verify: DecodeRun
    draft: DecodeRun

    def seconds(self, steps: int) -> float:
        """Seconds of the first `steps` steps."""
        return self.verify.seconds(steps) + self.draft.seconds(steps)

    def steps_until(self, elapsed_s: float) -> int:
        """The fewest steps that take at least `elapsed_s` seconds; at least 1."""
        low, high = 0, max(1, math.ceil(elapsed_s / self.seconds(1)))  # no later step is shorter than the first
        while self.seconds(high) < elapsed_s:  # by rounding
            high += 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.seconds(middle) < elapsed_s else (low, middle)
        return high
