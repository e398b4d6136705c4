"""FLOPs of small models, counted by PyTorch's own counter (torch.utils.flop_counter) on real calls.

Attention is run by its plain matrix products while counted, because the counter does not know the CPU's fused kernel;
PyTorch's CPU GRU is itself made of linear layers, so its products are counted too (gates' pointwise work is not).
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fleetrec.models.srm.base import SmallModel, StateModel

_FEW, _MANY = 8, 24


def flops_of(model: SmallModel) -> tuple[int, float]:
    """FLOPs, at batch 1, of what a full window takes whatever is ranked, and of scoring one more candidate.

    With user states those are the encoder's and a dot product's; without, what a call takes by itself (none, for DIN)
    and by its candidates.
    """
    window = _full_window(model)
    if isinstance(model, StateModel):
        return _count(lambda: model.states(window)), 2.0 * model.dim
    few, many = (
        _count(lambda n=count: model.window_logits(window, window.new_zeros(1, n), window.new_zeros(1)))  # type: ignore[misc]
        for count in (_FEW, _MANY)
    )
    each = (many - few) / (_MANY - _FEW)
    return max(0, round(few - _FEW * each)), each


def _full_window(model: SmallModel) -> Tensor:
    return torch.ones(1, model.max_length, dtype=torch.int64, device=model.embedding.weight.device)


def _count(call: Callable[[], Tensor]) -> int:
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
