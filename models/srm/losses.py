"""Losses of small models over all positions of a batch: the full softmax, and sampled binary cross-entropy."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetrec.models.runtime.precision import Precision, backward, narrow_products
from fleetrec.models.srm.base import SmallModel, StateModel
from fleetrec.models.srm.batches import Batch
from fleetrec.models.srm.rows import rows_of

_CHUNK_FLOATS = {"cpu": 4_000_000, "cuda": 256_000_000}
"""logits held at once (16 MB, 1 GB)"""
_NARROW_FLOATS = 1_000_000
"""in bfloat16: 2 MB, which stay near a core"""
_ROWS = 32
"""of bfloat16 logits: their number is a multiple of it, since a product of a new shape is compiled first"""


def full_softmax_backward(
    model: StateModel, batch: Batch, precision: Precision = "float32", encoder: Precision = "float32"
) -> Tensor:
    """Adds the gradient of the mean cross-entropy over the whole catalogue; returns that mean, float64 [].

    The gradient with respect to the logits is softmax minus one-hot, so it is formed in place of the softmax, chunk by
    chunk of positions: half the passes over memory that autograd would take, and no batch-by-catalogue matrix kept.
    On a CPU, `precision` is that of the products with the item vectors and `encoder` that of a model that computes by
    rows; sums over chunks and all else are float32.
    """
    if model.by_rows and narrow_products(encoder, batch[0].inputs.device):
        states = model.row_states(rows_of(batch))
    else:
        states = torch.cat([windows.of_filled(model.states(windows.inputs)) for windows in batch])
    targets = torch.cat([windows.of_filled(windows.targets) for windows in batch])
    vectors = model.item_vectors()
    if narrow_products(precision, states.device):
        with torch.no_grad():
            loss, *gradients_of_both = narrow_gradients(states, vectors, targets)
        backward((states, vectors), gradients_of_both)
        return loss
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


def narrow_gradients(states: Tensor, vectors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy, float64 [], of states [K, d] and targets [K] over item vectors [I, d], and its gradients with
    respect to states and vectors, by bfloat16 products on a CPU."""
    count, n_items = len(targets), len(vectors)
    padded = -(-count // _ROWS) * _ROWS  # states beyond `count` are zero, and add nothing to any gradient
    rows = max(_ROWS, _NARROW_FLOATS // n_items // _ROWS * _ROWS)
    left, right = torch.zeros((padded, states.shape[1]), dtype=torch.bfloat16), vectors.bfloat16()
    left[:count] = states
    own = F.pad(targets, (0, padded - count))[:, None]
    likelihood = torch.empty((padded, 1), dtype=torch.bfloat16)
    state_gradients, vector_gradients = torch.empty_like(left), torch.zeros_like(vectors)
    held = left.new_empty((min(rows, padded), n_items))
    first = torch.arange(len(held)) * n_items
    for at in range(0, padded, rows):
        part = slice(at, at + rows)
        out = held[: len(own[part])]
        gradients = torch.softmax(torch.mm(left[part], right.T, out=out), dim=1, out=out)
        torch.gather(gradients, 1, own[part], out=likelihood[part])
        # Copied into the flat logits: PyTorch's deterministic scatter would copy all of them.
        place = own[part, 0] + first[: len(out)]
        gradients.view(-1).index_copy_(0, place, likelihood[part, 0] - 1)
        torch.mm(gradients, right, out=state_gradients[part])
        vector_gradients += torch.mm(gradients.T, left[part])
    log_likelihood = likelihood[:count].double().clamp_min(1e-38).log().sum()
    return -log_likelihood / count, state_gradients[:count].float() / count, vector_gradients / count


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
