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


def flops_encode(model: SmallModel) -> int:
    """FLOPs of turning one full window into a state at batch 1; 0 for a model without user states."""
    if not isinstance(model, StateModel):
        return 0
    window = _full_window(model)
    return _count(lambda: model.states(window))


def flops_per_candidate(model: SmallModel) -> float:
    """FLOPs of scoring one more candidate: a dot product, or for DIN attention over a full window and the MLP."""
    if isinstance(model, StateModel):
        return 2.0 * model.dim
    window = _full_window(model)
    few, many = (torch.zeros(1, count, dtype=torch.int64, device=window.device) for count in (8, 24))
    return (_count(lambda: model.window_logits(window, many)) - _count(lambda: model.window_logits(window, few))) / 16


def _full_window(model: SmallModel) -> Tensor:
    return torch.ones(1, model.max_length, dtype=torch.int64, device=model.embedding.weight.device)


def _count(call: Callable[[], Tensor]) -> int:
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
