"""How long steps take that verify drafted tokens, and the drafts before them.

Verification is one step of the LLM: all of a sequence's drafted tokens and one more pass through the weights and are
scored, and its KV cache is read once. So it costs as good as nothing where memory is the limit, and by the token where
compute is. The drafts are as many steps of the draft model, one after the other.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetrec.simulator.cloud.hardware.step_time import Batch, DecodeRun, Run, StepTime, WindowedRun


class _Bend(NamedTuple):
    """What layers with a window add for each token of context, until that reaches `context`."""

    context: float
    compute_token_s: float
    memory_token_s: float


class _Lines(NamedTuple):
    """Seconds of a step on the compute and the memory line, by the tokens of context of its batch: without any, and
    for each."""

    compute_s: float
    compute_token_s: float
    memory_s: float
    memory_token_s: float
    bends: tuple[_Bend, ...] = ()

    def at(self, context_tokens: float) -> tuple[float, float, float, float]:
        """The two lines there, and what they grow by from there on for each token."""
        compute_s, compute_token_s, memory_s, memory_token_s, bends = self
        compute_s, memory_s = compute_s + compute_token_s * context_tokens, memory_s + memory_token_s * context_tokens
        for bend in bends:
            seen = min(context_tokens, bend.context)
            compute_s, memory_s = compute_s + bend.compute_token_s * seen, memory_s + bend.memory_token_s * seen
            if context_tokens <= bend.context:
                compute_token_s += bend.compute_token_s
                memory_token_s += bend.memory_token_s
        return compute_s, compute_token_s, memory_s, memory_token_s

    def run(self, context_tokens: float, growth: float) -> Run:
        """Such steps from there on, with `growth` tokens more in each than in the one before it."""
        compute_s, compute_token_s, memory_s, memory_token_s = self.at(context_tokens)
        run = DecodeRun.of(compute_s, compute_token_s * growth, memory_s, memory_token_s * growth)
        if not self.bends:
            return run
        bends = [bend.context for bend in self.bends if bend.context >= context_tokens]
        if not bends:
            return run
        steps = math.floor((min(bends) - context_tokens) / growth) + 1
        return WindowedRun(run, steps, self.run(context_tokens + steps * growth, growth))


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
        verified = self._verified(sequences, context_tokens)
        batch = Batch(verified[0] + tokens, verified[1] + ends, verified[2] + read, verified[3] + pairs)
        seconds = max(_two_lines(self.verify, batch, sequences + ends))
        if tokens > ends:
            seconds = max(seconds, self.verify.prompt_floor_s)
        seconds += self.lookup_s * sequences
        if self.draft is not None:
            middle = self._middle(sequences, context_tokens)
            seconds += self.draft.at(Batch(sequences + tokens, sequences + ends, middle + read, middle + pairs))
            if sequences:
                compute_s, _, memory_s, _ = (self._known.get(sequences) or self._lines(sequences))[1].at(context_tokens)
                seconds += max(compute_s, memory_s) * (self.tokens - 1) / self.tokens
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
        verify, draft = self._known.get(sequences) or self._lines(sequences)
        if self.draft is None:
            return verify.run(context_tokens, growth)
        c, c_token, m, m_token = verify.at(context_tokens)
        dc, dc_token, dm, dm_token = draft.at(context_tokens)
        straight = not verify.bends and not draft.bends
        if straight and m >= c and m_token >= c_token and dm >= dc and dm_token >= dc_token:  # memory limits for good
            return DecodeRun(m + dm, (m_token + dm_token) * growth, math.inf, 0.0, 0.0)
        return VerifyRun(verify.run(context_tokens, growth), draft.run(context_tokens, growth))

    def _lines(self, sequences: int) -> tuple[_Lines, _Lines]:
        each, middle = self.tokens + 1, self._middle(sequences, 0)
        verify = _lines_of(self.verify, self._verified(sequences, 0), sequences, each, 1, self.lookup_s * sequences)
        draft = _Lines(0.0, 0.0, 0.0, 0.0)
        if self.draft is not None:
            batch = Batch(sequences, sequences, middle, middle)
            draft = _lines_of(self.draft, batch, sequences, 1, self.tokens, 0.0)
        self._known[sequences] = verify, draft
        return verify, draft


def _two_lines(steps: StepTime, batch: Batch, sequences: float) -> tuple[float, float]:
    """Seconds of a step on the compute and the memory line. Its tokens that are scored are of so many sequences, and
    for each of those the host of a serving engine works once."""
    compute_s = steps.compute.at(batch)
    memory_s = steps.memory.at(batch) + steps.by_tokens_s(batch.new_tokens, batch.sequences)
    if steps.kernels is not None:
        compute_s -= steps.compute.per_sequence_s * (batch.sequences - sequences)
    if steps.windows is not None:
        seen = Batch(batch.new_tokens, sequences, batch.context_tokens, batch.pairs)
        compute_s += steps.windows.per_pair_s * steps.windows.pairs(seen)
        memory_s += steps.windows.per_context_token_s * steps.windows.context_tokens(seen)
    return compute_s, memory_s


def _lines_of(steps: StepTime, batch: Batch, sequences: int, each: int, times: int, more_s: float) -> _Lines:
    """`times` steps in one that hold `batch`, each sequence `each` tokens that attend to its context, which is not in
    it, and `more_s`."""
    compute, memory, windows = steps.compute, steps.memory, steps.windows
    compute_s, memory_s = _two_lines(steps, batch, sequences)
    bends: tuple[_Bend, ...] = ()
    if windows is not None:
        reads = sequences * windows.tokens + batch.new_tokens - sequences - batch.context_tokens
        pairs = (batch.new_tokens * windows.tokens - batch.pairs) / each
        bends = (
            _Bend(max(reads, 0.0), 0.0, times * windows.per_context_token_s),
            _Bend(max(pairs, 0.0), times * each * windows.per_pair_s, 0.0),
        )
    return _Lines(
        times * compute_s + more_s,
        times * (compute.per_context_token_s + each * compute.per_pair_s),
        times * memory_s + more_s,
        times * (memory.per_context_token_s + each * memory.per_pair_s),
        bends,
    )


class VerifyRun(NamedTuple):
    """Consecutive steps in which compute and memory may change places, in the verification or in the drafts."""

    verify: Run
    draft: Run

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
