"""How long one step of a replica takes: the larger of two lines over what the step holds (design, section 4).

A roofline has a compute line and a memory line; a calibrated profile may have one line, or both. While a batch decodes,
what a step holds grows by the same amount at every step, so many steps are timed in closed form.
"""

from dataclasses import dataclass
from typing import NamedTuple


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
class Line:
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
class StepTime:
    """Seconds of a step: the larger of `compute` and `memory`; fixed overheads are part of both."""

    compute: Line
    memory: Line

    def at(self, batch: Batch) -> float:
        """Seconds of a step that holds `batch`."""
        return max(self.compute.at(batch), self.memory.at(batch))
