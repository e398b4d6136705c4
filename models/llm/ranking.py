"""The best items of a catalogue for many user states at once, exact in float64 and with ties in order of item id."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.best_columns import best_columns

_SCORES_AT_ONCE = {"cpu": 2_000_000, "cuda": 64_000_000}

Excluded = Callable[[slice], tuple[Tensor, Tensor]]


def best_items(
    states: Tensor,
    item_vectors: Tensor,
    length: int,
    excluded: Excluded | None = None,
) -> NDArray[np.int32]:
    """The `length` items [M, length] of highest dot product with each state [M, d], best first, ties by item id.

    Computed where states and vectors [I, d] are.

    `excluded(rows)` gives pairs (place in rows, item) that no list may hold, on the device of the states; -1 fills what
    the catalogue cannot.
    Exact, so the same on every device and in every batch, where both are rounded as `models.prefixes.rounded` does.
    """
    n_items, kept = len(item_vectors), min(length, len(item_vectors))
    result = np.full((len(states), length), -1, dtype=np.int32)
    transposed, device = item_vectors.double().T, states.device
    rows_at_once = max(1, _SCORES_AT_ONCE[device.type] // n_items)
    for at in range(0, len(states), rows_at_once):
        rows = slice(at, at + rows_at_once)
        scores = states[rows].double() @ transposed
        if excluded is not None:
            row, item = excluded(rows)
            scores.view(-1).index_fill_(0, row * n_items + item, -torch.inf)
        result[rows, :kept] = best_places(scores, kept).cpu().numpy()
    return result


def best_places(scores: Tensor, kept: int) -> Tensor:
    """Columns int64 [M, kept] of the highest scores float64 [M, N] of each row, best first, ties to the lower column;
    -1 where the score is -inf."""
    if scores.device.type == "cpu":
        return torch.from_numpy(best_columns(scores.numpy(), kept))  # which a CPU does faster than PyTorch's selection
    return best_by_selection(scores, kept)


def best_by_selection(scores: Tensor, kept: int) -> Tensor:
    """`best_places` by a selection that does not say which of equal values it takes, as a GPU has it."""
    most = min(kept + 1, scores.shape[1])
    values, columns = scores.topk(most, dim=1)
    columns = columns[:, :kept].sort(dim=1).values
    order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True).indices
    best = columns.gather(1, order)
    if most > kept:
        tied = (values[:, kept] == values[:, kept - 1]).nonzero()[:, 0]  # at the bar: the lower columns stay
        best[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :kept]
    return best.masked_fill(scores.gather(1, best) == -torch.inf, -1)
