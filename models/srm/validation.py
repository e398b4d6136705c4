"""Validation of small models: the rank of each held-out item among the whole catalogue.

Where users of the learning part hardly ever have an item twice, seen items leave the ranking, as they do in use; else
they stay.
Ties go to the lower item code.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.unique import different_pairs
from fleetrec.models.sequences import TrainingSet, window_start, windows_at
from fleetrec.models.srm.base import SmallModel, StateModel

_PAIRS_WITHOUT_STATE = 4_000_000  # (window, item), for each of which DIN runs an MLP: targets are thinned to so many
_CHUNK_FLOATS = {"cpu": 8_000_000, "cuda": 256_000_000}
_WINDOWS_AT_ONCE = {"cpu": 256, "cuda": 4096}
_RARE = 0.1  # share of repeats from which a log is one of repeated consumption


def validation_targets(data: TrainingSet, model: SmallModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Users [M] and positions [M] of held-out items; without a state, evenly thinned to what can be ranked in time."""
    users, nth = ragged(data.valid_end - data.fit_end)
    positions = data.fit_end[users] + nth
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
    if len(users) == 0:
        return {}
    exclude_seen = data.repeat_share < _RARE
    return accuracy(catalogue_ranks(model, data.offsets, data.items, users, positions, exclude_seen), ks)


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
    targets = torch.from_numpy(items[offsets[users] + positions].astype(np.int64))
    # With a user state, one window serves every position that it is anchored for; else each is scored by itself.
    anchor = window_start(positions - 1, model.max_length) if isinstance(model, StateModel) else positions
    anchored, group = different_pairs(users, anchor)
    newest = np.zeros(anchored.shape[1], dtype=np.int64)
    np.maximum.at(newest, group, positions - 1)
    windows = torch.from_numpy(windows_at(offsets, items, anchored[0], newest, model.max_length))
    lengths = (windows > 0).sum(dim=1)
    ranks = torch.empty(len(users), dtype=torch.int64)
    by_group = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[by_group], np.arange(len(newest) + 1))
    at_once = _WINDOWS_AT_ONCE[device.type]
    for some in torch.split(torch.argsort(lengths, stable=True), at_once):  # similar lengths: little padding
        batch = windows[some, : int(lengths[some].max())].to(device)
        place = np.concatenate([by_group[bounds[one] : bounds[one + 1]] for one in some.tolist()])
        row = np.repeat(np.arange(len(some)), np.diff(bounds)[some.numpy()])
        encoded = model.states(batch) if isinstance(model, StateModel) else batch
        column = lengths[some].numpy()[row] - 1 - (newest[group[place]] - (positions[place] - 1))
        rows_at_once = max(1, _CHUNK_FLOATS[device.type] // model.n_items)
        for at in range(0, len(place), rows_at_once):
            part = slice(at, at + rows_at_once)
            whose = torch.from_numpy(users[place[part]]).to(device)
            scores = _catalogue_scores(model, encoded, row[part], column[part], whose)
            if exclude_seen:
                _drop_seen(scores, offsets, items, users[place[part]], positions[place[part]])
            ranks[place[part]] = _ranks(scores, targets[place[part]].to(device)).cpu()
    return ranks.numpy()


def _drop_seen(
    scores: Tensor,
    offsets: NDArray[np.int64],
    items: NDArray[np.int32],
    users: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> None:
    row, position = ragged(positions)
    seen = items[offsets[users][row] + position].astype(np.int64)
    others = seen != items[offsets[users] + positions][row]
    at = torch.from_numpy(np.stack([row[others], seen[others]])).to(scores.device)
    scores[at[0], at[1]] = -torch.inf


def _catalogue_scores(
    model: SmallModel, encoded: Tensor, row: NDArray[np.int64], column: NDArray[np.int64], users: Tensor
) -> Tensor:
    """[K, n_items] from states [B, T, d] at (row, column), or, without a user state, from windows [B, T] at row of
    `users` [K]."""
    if isinstance(model, StateModel):
        return encoded[torch.from_numpy(row), torch.from_numpy(column)] @ model.item_vectors().T
    everything = torch.arange(model.n_items, device=encoded.device)[None]
    return torch.cat(
        [model.window_logits(encoded[[one]], everything, users[[k]]) for k, one in enumerate(row.tolist())]
    )


def _ranks(scores: Tensor, targets: Tensor) -> Tensor:
    own = scores.gather(1, targets[:, None])
    lower_code = torch.arange(scores.shape[1], device=scores.device)[None, :] < targets[:, None]
    return (scores > own).sum(dim=1) + ((scores == own) & lower_code).sum(dim=1)
