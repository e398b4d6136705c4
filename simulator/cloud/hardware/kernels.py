"""What a step takes on the GPUs by its tokens and sequences alone: matrix products, experts, exchanges between GPUs.

Each kind of kernel is a roofline of its own, and they follow one another: a step is their sum, where a single roofline
would let the products of one kind hide the reads of another. What follows the context is a line (`step_time`), so the
steps of a batch that decodes still grow by the same amount.
"""

import math
from dataclasses import dataclass

SHARPNESS = 4.0
"""of the turn from reading to computing: the 4-norm of the two, 19% above either where they are equal"""


def _roofline(read_s: float, compute_s: float) -> float:
    high, low = max(read_s, compute_s), min(read_s, compute_s)
    return high * (1.0 + (low / high) ** SHARPNESS) ** (1.0 / SHARPNESS) if high > 0.0 else 0.0


@dataclass(frozen=True)
class Product:
    """A matrix product: its weights are read once, and each token is multiplied with them."""

    read_s: float
    per_token_s: float

    def at(self, tokens: float) -> float:
        """Seconds for so many tokens."""
        return _roofline(self.read_s, self.per_token_s * tokens)


@dataclass(frozen=True)
class Experts:
    """Grouped products of a mixture of experts: weights of the experts that are met, and rows of whole tiles."""

    read_s: float
    """all experts' weights"""
    row_s: float
    """one token through every expert"""
    routed_share: float
    """experts per token over experts"""
    tile: float
    """rows that an expert which is met computes beyond those of its tokens, in the mean"""

    def at(self, tokens: float) -> float:
        """Seconds in expectation, where each token picks its experts evenly and on its own."""
        met = 1.0 - (1.0 - self.routed_share) ** tokens
        return _roofline(self.read_s * met, self.row_s * (self.routed_share * tokens + self.tile * met))


@dataclass(frozen=True)
class Exchange:
    """All-reduces of a step among GPUs: each reads what the others have, or they pass sums round a ring, whichever is
    quicker."""

    latency_s: float
    one_shot_token_s: float
    ring_latency_s: float
    ring_token_s: float

    def at(self, tokens: float) -> float:
        """Seconds for so many tokens."""
        return self.latency_s + min(self.one_shot_token_s * tokens, self.ring_latency_s + self.ring_token_s * tokens)


@dataclass(frozen=True)
class Kernels:
    """All kernels of a step but attention over contexts."""

    layers_s: float
    """of a step, whatever it holds: what kernels take that neither read nor compute much"""
    prompt_layers_s: float
    """the same besides, where a step holds part of a prompt: it runs outside captured graphs"""
    sequence_s: float
    body: Product
    head: Product
    experts: Experts | None
    attention_exchange: Exchange | None
    """among the GPUs that divide a sequence's attention"""
    block_exchange: Exchange | None
    """among all GPUs of a stage, behind the feed-forward blocks"""
    attention_data: int = 1
    """groups with sequences of their own"""

    def at(self, new_tokens: float, sequences: float) -> float:
        """Seconds of a step's kernels."""
        seconds = self.layers_s + self.sequence_s * sequences + self.body.at(new_tokens) + self.head.at(sequences)
        if new_tokens > sequences:
            seconds += self.prompt_layers_s
        if self.experts is not None:
            seconds += self.experts.at(new_tokens)
        if self.attention_exchange is not None:
            seconds += self.attention_exchange.at(new_tokens / self.attention_data)
        if self.block_exchange is not None:
            seconds += self.block_exchange.at(new_tokens)
        return seconds


def exchange(
    layers: int, hidden: int, gpus: int, latency_s: tuple[float, float], ring_s: float, link: tuple[float, float]
) -> Exchange | None:
    """One all-reduce of 16-bit activations a layer among so many GPUs; `latency_s` at all and by log2 of the GPUs,
    `link` the bytes per second of one that reads and of a ring. None for one GPU, which has nobody to exchange with."""
    if gpus == 1:
        return None
    doublings, token_bytes = math.log2(gpus), 2.0 * hidden
    return Exchange(
        layers * (latency_s[0] + latency_s[1] * doublings),
        layers * (gpus - 1) * token_bytes / link[0],
        layers * ring_s * doublings,
        layers * 2.0 * (gpus - 1) / gpus * token_bytes / link[1],
    )
