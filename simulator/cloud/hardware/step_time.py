"""How long one step of a replica takes: the larger of two lines over what the step holds (design, section 4).

A roofline has a compute line and a memory line; a calibrated profile may have one line, or both. While a batch decodes,
what a step holds grows by the same amount at every step, so many steps are timed in closed form.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Batch(NamedTuple):
    """What one step holds."""

    new_tokens: float
    """tokens that pass through the weights: prompt chunks, and one for each sequence that decodes"""
    sequences: float
    """sequences that get a token in this step"""
    context_tokens: float
    """tokens of KV cache that are read, over all sequences"""
    pairs: float
    """pairs of a new token and a token it attends to: equal to `context_tokens` for a step that only decodes"""


@dataclass(frozen=True)
class LinearCost:
    """Seconds of a step, linear in what it holds."""

    fixed_s: float
    per_token_s: float = 0.0
    per_sequence_s: float = 0.0
    per_context_token_s: float = 0.0
    per_pair_s: float = 0.0

    def at(self, batch: Batch) -> float:
        """Seconds of a step that holds `batch`."""
        return (
            self.fixed_s
            + self.per_token_s * batch.new_tokens
            + self.per_sequence_s * batch.sequences
            + self.per_context_token_s * batch.context_tokens
            + self.per_pair_s * batch.pairs
        )


@dataclass(frozen=True)
class ExpertWeights:
    """Expert weights of a mixture of experts: a step reads those of the experts that its tokens are routed to."""

    all_s: float
    """seconds to read every expert's weights"""
    routed_share: float
    """experts per token over experts"""

    def at(self, new_tokens: float) -> float:
        """Seconds in expectation, where each token picks its experts evenly and on its own."""
        return self.all_s * float(1.0 - (1.0 - self.routed_share) ** new_tokens)


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: the larger of `compute` and `memory`; fixed overheads are part of both.

    A mixture of experts also reads, on the memory line, the weights of the experts that the step touches. A step that
    holds more than one token a sequence, so part of a prompt, takes at least `prompt_floor_s`.
    """

    compute: LinearCost
    memory: LinearCost
    experts: ExpertWeights | None = None
    prompt_floor_s: float = 0.0
    _decoding: dict[float, tuple[float, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """by sequences that decode: what a step takes without its context, and what it grows by from one to the next"""

    def at(self, batch: Batch) -> float:
        """Seconds of a step that holds `batch`."""
        seconds = max(self.compute.at(batch), self._memory_s(batch))
        return max(seconds, self.prompt_floor_s) if batch.new_tokens > batch.sequences else seconds

    def _memory_s(self, batch: Batch) -> float:
        seconds = self.memory.at(batch)
        return seconds if self.experts is None else seconds + self.experts.at(batch.new_tokens)

    def decoding(self, sequences: float, context_tokens: float) -> "DecodeRun":
        """The run of steps in which `sequences` sequences decode; the first of them reads `context_tokens` in all."""
        known = self._decoding.get(sequences)
        if known is None:
            known = self._decoding[sequences] = self._without_context(sequences)
        compute_s, compute_growth_s, memory_s, memory_growth_s, experts_s = known
        compute, memory = self.compute, self.memory
        return DecodeRun.of(
            compute_s + compute.per_context_token_s * context_tokens + compute.per_pair_s * context_tokens,
            compute_growth_s,
            memory_s + memory.per_context_token_s * context_tokens + memory.per_pair_s * context_tokens + experts_s,
            memory_growth_s,
        )

    def _without_context(self, sequences: float) -> tuple[float, ...]:
        batch, compute, memory = Batch(sequences, sequences, 0.0, 0.0), self.compute, self.memory
        return (
            compute.at(batch),
            (compute.per_context_token_s + compute.per_pair_s) * sequences,
            memory.at(batch),
            (memory.per_context_token_s + memory.per_pair_s) * sequences,
            self.experts.at(sequences) if self.experts is not None else 0.0,
        )


class Run(Protocol):
    """Consecutive steps of one batch, timed in closed form."""

    def seconds(self, steps: int) -> float:
        """Seconds of the first `steps` steps."""

    def steps_until(self, elapsed_s: float) -> int:
        """The fewest steps that take at least `elapsed_s` seconds; at least 1."""


class DecodeRun(NamedTuple):
    """Consecutive steps of one batch. Each sequence's context grows by a token a step, so a step's time is a line in
    its number, or two lines one after the other where compute and memory change places."""

    first_s: float
    growth_s: float
    switch: float
    """steps that follow the first line; inf where there is no second one"""
    later_first_s: float
    later_growth_s: float

    @classmethod
    def of(cls, a_first_s: float, a_growth_s: float, b_first_s: float, b_growth_s: float) -> "DecodeRun":
        """The larger of two lines: step k (0, 1, ...) takes max(a_first + k a_growth, b_first + k b_growth)."""
        if a_first_s < b_first_s or (a_first_s == b_first_s and a_growth_s < b_growth_s):
            a_first_s, a_growth_s, b_first_s, b_growth_s = b_first_s, b_growth_s, a_first_s, a_growth_s
        if b_growth_s <= a_growth_s:
            return cls(a_first_s, a_growth_s, math.inf, 0.0, 0.0)
        switch = math.ceil((a_first_s - b_first_s) / (b_growth_s - a_growth_s))
        return cls(a_first_s, a_growth_s, switch, b_first_s, b_growth_s)

    def seconds(self, steps: int) -> float:
        """Seconds of the first `steps` steps."""
        if steps <= self.switch:
            return steps * (self.first_s + 0.5 * self.growth_s * (steps - 1))
        switch = self.switch
        before = switch * (self.first_s + 0.5 * self.growth_s * (switch - 1))
        more = steps - switch
        return before + more * (self.later_first_s + 0.5 * self.later_growth_s * (steps + switch - 1))

    def steps_until(self, elapsed_s: float) -> int:
        """The fewest steps that take at least `elapsed_s` seconds; at least 1."""
        first, growth, elapsed, done = self.first_s, self.growth_s, elapsed_s, 0.0
        if self.switch < math.inf:
            before = self.seconds(int(self.switch))
            if before < elapsed_s:
                first, growth = self.later_first_s + self.switch * self.later_growth_s, self.later_growth_s
                elapsed, done = elapsed_s - before, self.switch
        linear = first - 0.5 * growth
        # the positive root of growth/2 m^2 + linear m = elapsed, in the form that does not cancel
        root = 2.0 * elapsed / (linear + math.sqrt(linear * linear + 2.0 * growth * elapsed))
        steps = max(1, math.ceil(done + root))
        while steps > 1 and self.seconds(steps - 1) >= elapsed_s:
            steps -= 1
        while self.seconds(steps) < elapsed_s:
            steps += 1
        return steps
