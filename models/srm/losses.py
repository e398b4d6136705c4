"""Losses of small models over all positions of a batch: the full softmax, and sampled binary cross-entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetrec.models.runtime.precision import backward
from fleetrec.models.srm.base import SmallModel, StateModel
from fleetrec.models.srm.batches import Batch

_CHUNK_FLOATS = {"cpu": 4_000_000, "cuda": 256_000_000}
"""logits held at once (16 MB, 1 GB)"""


def full_softmax_backward(model: StateModel, batch: Batch) -> Tensor:
    """Adds the gradient of the mean cross-entropy over the whole catalogue; returns that mean, float64 [].

    The gradient with respect to the logits is softmax minus one-hot, so it is formed in place of the softmax, chunk by
    chunk of positions: half the passes over memory that autograd would take, and no batch-by-catalogue matrix kept.
    """
    states = torch.cat([windows.of_filled(model.states(windows.inputs)) for windows in batch])
    targets = torch.cat([windows.of_filled(windows.targets) for windows in batch])
    vectors = model.item_vectors()
    state_gradients, vector_gradients = torch.empty_like(states), torch.zeros_like(vectors)
    log_likelihood = torch.zeros((), dtype=torch.float64, device=states.device)
    rows = max(1, _CHUNK_FLOATS[states.device.type] // model.n_items)
    with torch.no_grad():
        # One buffer for all chunks: a new one is given back to the system each time, and its pages come anew.
        held = states.new_empty((min(rows, len(targets)), model.n_items)) if states.device.type == "cpu" else None
        for at in range(0, len(targets), rows):
            part = slice(at, at + rows)
            own = targets[part, None]
            out = None if held is None else held[: len(own)]
            gradients = torch.softmax(torch.mm(states[part], vectors.T, out=out), dim=1, out=out)
            log_likelihood += gradients.gather(1, own).clamp_min(1e-38).log().sum()
            gradients.scatter_add_(1, own, torch.full_like(own, -1, dtype=gradients.dtype))
            torch.mm(gradients, vectors, out=state_gradients[part])
            vector_gradients.addmm_(gradients.T, states[part])
        state_gradients /= len(targets)
        vector_gradients /= len(targets)
    backward((states, vectors), (state_gradients, vector_gradients))
    return -log_likelihood / len(targets)


def bce_backward(model: SmallModel, batch: Batch, negatives: int, generator: torch.Generator) -> Tensor:
    """Adds the gradient of the mean pointwise binary cross-entropy; returns that mean, float64 [].

    Each position has its next item and `negatives` others, uniform over the catalogue without that item.
    """
    parts = []
    for windows in batch:
        positive = windows.targets[..., None]
        drawn = torch.randint(model.n_items - 1, (*windows.targets.shape, negatives), generator=generator)
        others = drawn.to(positive.device)
        candidates = torch.cat((positive, others + (others >= positive)), dim=-1)
        parts.append(windows.of_filled(model.position_logits(windows.inputs, candidates, windows.users)))
    logits = torch.cat(parts)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1.0
    loss = F.binary_cross_entropy_with_logits(logits, labels)
    backward((loss,))
    return loss.detach().double()
