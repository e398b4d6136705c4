"""DIN: target attention over the history (models/srm/din.py)."""

from typing import TYPE_CHECKING, ClassVar, Literal

from fleetrec.simulator.scenario.sections.srm import LayeredSrm

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel


class DinSrm(LayeredSrm):
    """Target attention: each candidate attends to the history, and there is no user state."""

    kind: Literal["din"] = "din"
    has_user_state: ClassVar[bool] = False

    def build(self, n_items: int) -> "SmallModel":
        from fleetrec.models.srm.din import Din

        return Din(n_items, self.dim, self.max_length, self.training.dropout)
