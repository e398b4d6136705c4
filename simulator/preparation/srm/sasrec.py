"""SASRec: causal self-attention over the history (models/srm/sasrec.py)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from fleetrec.simulator.scenario.sections.model_problems import undivided
from fleetrec.simulator.scenario.sections.srm import LayeredSrm

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel


class SasRecSrm(LayeredSrm):
    """Self-attention: a causal Transformer encoder, one state after each item."""

    kind: Literal["sasrec"] = "sasrec"

    def build(self, n_items: int) -> "SmallModel":
        from fleetrec.models.srm.sasrec import SasRec

        return SasRec(n_items, self.dim, self.max_length, self.layers, self.heads, self.training.dropout)

    def problems(self) -> Iterator[tuple[str, str]]:
        if text := undivided("srm", self.heads, self.dim):
            yield "heads", text
        yield from super().problems()
