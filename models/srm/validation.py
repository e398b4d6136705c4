"""Validation of small models: the rank of each held-out item among the whole catalogue.

Items that the user has seen stay in the ranking; ties go to the lower item code.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.metrics import accuracy
from models.sequences import TrainingSet, windows_at
from models.srm.base import SmallModel, StateModel

_PAIRS_WITHOUT_STATE = 10_000_000  # DIN scores every (window, item) pair by an MLP: targets are thinned to this many
_CHUNK_FLOATS = 8_000_000


def validation_targets(data: TrainingSet, model: SmallModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users [M] and positions [M] of held-out items; without a state, evenly thinned to what can be ranked in time."""
    counts = data.valid_end - data.fit_end
    users = np.repeat(np.arange(data.n_users), counts)
    positions = data.fit_end[users] + np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)
    keep = positions > 0  # a first item has no history to be predicted from
    users, positions = users[keep], positions[keep]
    limit = max(100, _PAIRS_WITHOUT_STATE // data.n_items)
    if model.has_user_state or len(users) <= limit:
        return users, positions
    chosen = np.linspace(0, len(users) - 1, limit).astype(np.int64)
    return users[chosen], positions[chosen]


def validate(model: SmallModel, data: TrainingSet, ks: tuple[int, ...] = (5, 10, 20)) -> dict[str, float]:
    """Metrics over the held-out items, each ranked among the whole catalogue; empty where nothing is held out."""
    users, positions = validation_targets(data, model)
    return accuracy(catalogue_ranks(model, data.offsets, data.items, users, positions), ks) if len(users) else {}


@torch.no_grad()
def catalogue_ranks(
    model: SmallModel,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    users: NDArray[np.int64],
    positions: NDArray[np.int64],
    exclude_seen: bool = False,
) -> NDArray[np.int64]:
    """0-based rank of the item at each (user, position >= 1), from the anchored window before it, among all items.

    With `exclude_seen`, the other items of that window's user up to that position leave the ranking; the target stays.
    """
    model.eval()
    device = model.embedding.weight.device
    windows = torch.from_numpy(windows_at(offsets, items, users, positions - 1, model.max_length))
    targets = torch.from_numpy(items[offsets[users] + positions].astype(np.int64))
    lengths = (windows > 0).sum(dim=1)
    ranks = torch.empty(len(users), dtype=torch.int64)
    order = torch.argsort(lengths, stable=True)  # windows of similar length together: little is padded
    for rows in torch.split(order, max(1, _CHUNK_FLOATS // model.n_items)):
        batch = windows[rows, : int(lengths[rows].max())].to(device)
        scores = _catalogue_scores(model, batch)
        if exclude_seen:
            _drop_seen(scores, offsets, items, users[rows.numpy()], positions[rows.numpy()])
        ranks[rows] = _ranks(scores, targets[rows].to(device)).cpu()
    return ranks.numpy()


def _drop_seen(
    scores: Tensor,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    users: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> None:
    for row, (user, position) in enumerate(zip(users.tolist(), positions.tolist(), strict=True)):
        begin = int(offsets[user])
        seen = items[begin : begin + position]
        scores[row, torch.from_numpy(seen[seen != items[begin + position]].astype(np.int64))] = -torch.inf


def _catalogue_scores(model: SmallModel, windows: Tensor) -> Tensor:
    if isinstance(model, StateModel):
        last = (windows > 0).sum(dim=1) - 1
        return model.states(windows)[torch.arange(len(windows), device=windows.device), last] @ model.item_vectors().T
    everything = torch.arange(model.n_items, device=windows.device)
    return torch.cat([model.window_logits(row[None], everything[None]) for row in windows])


def _ranks(scores: Tensor, targets: Tensor) -> Tensor:
    own = scores.gather(1, targets[:, None])
    lower_code = torch.arange(scores.shape[1], device=scores.device)[None, :] < targets[:, None]
    return (scores > own).sum(dim=1) + ((scores == own) & lower_code).sum(dim=1)
