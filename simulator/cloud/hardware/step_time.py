"""How long one step of a replica takes: the larger of two lines over what the step holds (design, section 4).

A roofline has a compute line and a memory line; a calibrated profile may have one line, or both. While a batch decodes,
what a step holds grows by the same amount at every step, so many steps are timed in closed form.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fleetrec.simulator.cloud.hardware.beam_steps import NO_BEAMS, BeamCost, Beams
from fleetrec.simulator.cloud.hardware.kernels import Kernels


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
    beams: Beams = NO_BEAMS
    """those of its sequences that search together"""


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
class Windows:
    """Layers that see no more than `tokens` of a context, beside those that `compute` and `memory` count.

    What a step reads of them is capped for the batch as a whole, at `tokens` for each sequence: exact where contexts
    are all shorter or all longer, and somewhat too much in between.
    """

    tokens: int
    per_context_token_s: float
    """on the memory line"""
    per_pair_s: float
    """on the compute line"""

    def pairs(self, batch: Batch) -> float:
        """Pairs of a new token and one that it attends to in these layers."""
        return min(batch.pairs, batch.new_tokens * self.tokens)

    def context_tokens(self, batch: Batch) -> float:
        """Tokens of KV cache that are read in these layers, those of prompt chunks themselves included."""
        chunks = max(batch.new_tokens - batch.sequences, 0.0)
        return min(batch.context_tokens, batch.sequences * self.tokens + chunks)


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step: the larger of `compute` and `memory`; fixed overheads are part of both.

    A mixture of experts also reads, on the memory line, the weights of the experts that the step touches. A step that
    holds more than one token a sequence, so part of a prompt, takes at least `prompt_floor_s`. Under a serving engine
    (`engine_timing`) the first line is the host's and the second the GPUs', with their `kernels`.
    """

    compute: LinearCost
    memory: LinearCost
    experts: ExpertWeights | None = None
    prompt_floor_s: float = 0.0
    windows: Windows | None = None
    kernels: Kernels | None = None
    """on the memory line"""
    beams: BeamCost | None = None
    """what searches cost beyond so many sequences; None: nothing"""
    _decoding: dict[float, tuple[float, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """by sequences that decode: what a step takes without its context, and what it grows by from one to the next"""

    def at(self, batch: Batch) -> float:
        """Seconds of a step that holds `batch`."""
        compute_s, memory_s = self.compute.at(batch), self.memory.at(batch)
        if self.experts is not None or self.kernels is not None:
            memory_s += self.by_tokens_s(batch.new_tokens, batch.sequences)
        if self.windows is not None:
            compute_s += self.windows.per_pair_s * self.windows.pairs(batch)
            memory_s += self.windows.per_context_token_s * self.windows.context_tokens(batch)
        if self.beams is not None:
            host_s, gpu_s = self.beams.at(batch.beams)
            compute_s, memory_s = compute_s + host_s, memory_s + gpu_s
        seconds = max(compute_s, memory_s)
        return max(seconds, self.prompt_floor_s) if batch.new_tokens > batch.sequences else seconds

    def by_tokens_s(self, new_tokens: float, sequences: float) -> float:
        """The part of the memory line that is no line in the tokens."""
        seconds = 0.0 if self.experts is None else self.experts.at(new_tokens)
        return seconds if self.kernels is None else seconds + self.kernels.at(new_tokens, sequences)

    def decoding(self, sequences: float, context_tokens: float, beams: Beams = NO_BEAMS) -> "Run":
        """The run of steps in which `sequences` sequences decode, some of them as `beams`; the first of them reads
        `context_tokens` in all."""
        windows = self.windows
        if windows is None:
            return self._lines(sequences, context_tokens, beams)
        capped = sequences * windows.tokens
        steps = math.floor((capped - context_tokens) / sequences) + 1 if context_tokens <= capped else 0
        later = self._lines(sequences, context_tokens + steps * sequences, beams, capped)
        if not steps:
            return later
        return WindowedRun(self._lines(sequences, context_tokens, beams, context_tokens, 1), steps, later)

    def _lines(
        self, sequences: float, context_tokens: float, beams: Beams, in_windows: float = 0.0, grows: int = 0
    ) -> "DecodeRun":
        """The same while layers with a window read `in_windows` tokens, and a token a sequence more each step if that
        still `grows` (1, else 0)."""
        known = self._decoding.get(sequences)
        if known is None:
            known = self._decoding[sequences] = self._without_context(sequences)
        compute_s, compute_growth_s, memory_s, memory_growth_s, experts_s = known
        compute, memory = self.compute, self.memory
        if self.windows is not None:
            per_pair_s, per_token_s = self.windows.per_pair_s, self.windows.per_context_token_s
            compute_s, compute_growth_s = (
                compute_s + per_pair_s * in_windows,
                compute_growth_s + per_pair_s * grows * sequences,
            )
            memory_s, memory_growth_s = (
                memory_s + per_token_s * in_windows,
                memory_growth_s + per_token_s * grows * sequences,
            )
        if self.beams is not None:
            host_s, gpu_s = self.beams.at(beams)
            compute_s, memory_s = compute_s + host_s, memory_s + gpu_s
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
            self.by_tokens_s(sequences, sequences),
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


class WindowedRun(NamedTuple):
    """A run whose contexts outgrow the window of some layers: `steps` steps of `first`, and `later` from then on."""

    first: DecodeRun
    steps: int
    later: Run

    def seconds(self, steps: int) -> float:
        """Seconds of the first `steps` steps."""
        if steps <= self.steps:
            return self.first.seconds(steps)
        return self.first.seconds(self.steps) + self.later.seconds(steps - self.steps)

    def steps_until(self, elapsed_s: float) -> int:
        """The fewest steps that take at least `elapsed_s` seconds; at least 1."""
        before = self.first.seconds(self.steps)
        return (
            self.first.steps_until(elapsed_s)
            if elapsed_s <= before
            else self.steps + self.later.steps_until(elapsed_s - before)
        )
