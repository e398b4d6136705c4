"""GRU4Rec: a recurrent network over the history (models/srm/gru4rec.py)."""

from typing import TYPE_CHECKING, Literal

from fleetrec.simulator.scenario.sections.srm import LayeredSrm

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel


class Gru4RecSrm(LayeredSrm):
    """A recurrent network: gated recurrent units, one state after each item."""

    kind: Literal["gru4rec"] = "gru4rec"

    def build(self, n_items: int) -> "SmallModel":
        from fleetrec.models.srm.gru4rec import Gru4Rec

        return Gru4Rec(n_items, self.dim, self.max_length, self.layers, self.training.dropout)
