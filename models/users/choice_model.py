"""What users choose next, as a model of users and not of a recommender: by history, own repeats, popularity, pauses.

The log-probability of an item is its popularity, plus what a GRU over the user's events makes of it, plus, for items
that the user has had, a table of how often, how long ago and after which pause. It is trained to be the logarithm of a
probability itself: sums over the catalogue stay near 1 by a penalty (Devlin et al. 2014), so none is taken in use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fleetrec.models.runtime.precision import backward
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.users.choice_features import (
    AGES,
    CONTEXT,
    COUNTS,
    DIM,
    N_AWAY,
    RECENT,
    Floats,
    Ints,
    away_class,
)

_BLOCK = 128  # choices of one user that are learnt from together
_BATCH = 8  # such blocks
_DROPOUT = 0.3
_RATE, _SINCE_RATE, _TABLE_RATE, _DECAY = 2e-3, 0.01, 0.1, 0.1
_VECTORS, _SINCE = 0.15, 1.0
"""standard deviations before anything is known of items' vectors, and of the log of how popular they have become"""
_SELF_NORMALISED = 0.3
_MOST_EPOCHS, _PATIENCE = 6, 1
_MOST_SHIFT = 12.0
_CLASSES = 10  # of popularity
_ROUNDS = 50
_SMOOTHED = 0.5
_CALIBRATED = 8_000  # choices, at the most
_EPOCH_CHOICES = 30_000  # the most that an epoch learns from; the next one draws others


@dataclass(frozen=True)
class Histories:
    """Events of users in order of time, and which of them are choices to learn from."""

    offsets: Ints  # [U + 1]
    items: Ints  # [E]
    away_s: Floats  # [E] time since the event before; infinite for a user's first
    n_items: int


class ChoiceModel(nn.Module):
    """See the module. `forward` gives log-probabilities, all but normalised."""

    def __init__(self, n_items: int, popularity: Floats):
        super().__init__()
        self.taken = nn.Embedding(n_items, DIM)
        self.pauses = nn.Embedding(N_AWAY, DIM)
        self.gru = nn.GRU(DIM, DIM, batch_first=True)
        self.vectors = nn.Embedding(n_items, DIM)
        self.register_buffer("before", torch.tensor(np.log(popularity / popularity.sum()), dtype=torch.float32))
        self.register_buffer("new_offset", torch.zeros(n_items))
        self.register_buffer("had_offset", torch.zeros(n_items))
        self.since = nn.Parameter(torch.zeros(n_items))
        self.had = nn.Parameter(torch.zeros(N_AWAY, len(COUNTS), len(AGES)))
        self.had_by_popularity = nn.Parameter(torch.zeros(1))
        self.had_by_length = nn.Parameter(torch.zeros(1))
        for table in (self.taken, self.pauses, self.vectors):
            nn.init.normal_(table.weight, std=0.05)

    def states(self, items: Tensor, away: Tensor) -> Tensor:
        """[B, T, DIM]: the GRU's after each event of items and pauses [B, T]."""
        states: Tensor = self.gru(self.taken(items) + self.pauses(away))[0]
        return states

    before: Tensor
    new_offset: Tensor
    had_offset: Tensor

    def prior(self) -> Tensor:
        """Minus the log of the parameters' prior: small logs hold them, large ones do not."""
        tables = self.vectors.weight.square().sum() + self.taken.weight.square().sum()
        return 0.5 * (tables / _VECTORS**2 + self.since.square().sum() / _SINCE**2)

    def logits(self, states: Tensor, had: "Had") -> Tensor:
        """[N, n_items] of choices whose states [N, DIM] are those before them."""
        popular = self.before + self.since
        scores = states @ self.vectors.weight.T + popular + self.new_offset
        extra = self.had.view(-1)[had.kind] + self.had_by_length * had.log_length[had.row]
        extra = extra + self.had_by_popularity * popular[had.item] + (self.had_offset - self.new_offset)[had.item]
        return scores.view(-1).index_add(0, had.row * scores.shape[1] + had.item, extra).view(scores.shape)


@dataclass(frozen=True)
class Had:
    """What the users of choices [N] have had: entries of one choice and one item each."""

    row: Tensor
    item: Tensor
    kind: Tensor  # place in the table of pause, count and age
    log_length: Tensor  # [N] of the history


@dataclass(frozen=True)
class _Block:
    items: Ints  # [T] events that the GRU reads
    away: Ints  # [T]
    first: int  # place in it of the state before the first choice
    chosen: Ints  # [N]
    had: tuple[Ints, Ints, Ints, Floats]


def block(data: Histories, user: int, begin: int, end: int) -> _Block:
    """The choices of a user at places [begin, end), begin at least 1, and what stood before them."""
    start = data.offsets[user]
    from_ = max(begin - CONTEXT // 2, 0)
    mine = data.items[start : start + end]
    away = away_class(data.away_s[start : start + end])
    n = end - begin
    counts = np.zeros((n, data.n_items), dtype=np.int32)
    counts[0] = np.bincount(mine[:begin], minlength=data.n_items)
    counts[np.arange(1, n), mine[begin : end - 1]] += 1
    counts = np.cumsum(counts, axis=0, dtype=np.int32)
    age = np.full((n, data.n_items), len(AGES) - 1, dtype=np.int8)
    place = np.arange(begin, end)
    for back in range(min(RECENT, end - 1), 0, -1):
        there = np.flatnonzero(place - back >= 0)
        age[there, mine[place[there] - back]] = np.searchsorted(AGES, back, side="right") - 1
    row, item = np.nonzero(counts)
    count = np.searchsorted(COUNTS, counts[row, item], side="right") - 1
    kind = (away[begin + row] * len(COUNTS) + count) * len(AGES) + age[row, item]
    return _Block(
        mine[from_ : end - 1], away[from_ : end - 1], begin - 1 - from_, mine[begin:], (row, item, kind, np.log(place))
    )


def train_choice_model(
    data: Histories,
    popularity: Floats,
    begin: Ints,
    end: Ints,
    validating: NDArray[np.bool_],
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights learnt from the choices at places [begin, end) of each user [U], and what happened epoch by epoch.

    `popularity` [I]: how often each item was had before any of them. Those of `validating` users say when to stop.
    PyTorch's generator must have been seeded.
    """
    learning = list(_parts(begin, end, ~validating))
    judging = list(_parts(begin, end, validating))
    model = ChoiceModel(data.n_items, popularity + 0.5)
    tables = [model.had, model.had_by_popularity, model.had_by_length]
    networks = [one for name, one in model.named_parameters() if not name.startswith(("had", "since"))]
    groups = [(networks, _RATE, _DECAY), ([model.since], _SINCE_RATE, 0.0), (tables, _TABLE_RATE, 0.0)]
    optimiser = torch.optim.AdamW(
        [{"params": held, "lr": rate, "rate": rate, "weight_decay": decay} for held, rate, decay in groups]
    )
    generator = np.random.default_rng(seed)
    total = sum(last - first for _, first, last in learning)
    best, best_loss, since, epochs = model.state_dict(), np.inf, 0, []
    with progress.task("fitting the model of users", _MOST_EPOCHS * min(total, _EPOCH_CHOICES)) as task:
        for epoch in range(1, _MOST_EPOCHS + 1):
            model.train()
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * 0.7 ** (epoch - 1)
            some = generator.permutation(len(learning))[: max(1, int(len(learning) * _EPOCH_CHOICES / total))]
            for batch in _batches([learning[place] for place in np.sort(some).tolist()], generator):
                optimiser.zero_grad(set_to_none=True)
                loss, chosen, normaliser = _loss(model, data, batch, dropped=True)
                prior = model.prior() * chosen / total
                backward([(loss + prior + _SELF_NORMALISED * normaliser) / chosen])
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                task.advance(chosen)
            model.eval()
            with torch.no_grad():
                judged = [_loss(model, data, batch, dropped=False) for batch in _batches(judging or learning, None)]
            mean = sum(float(loss) for loss, _, _ in judged) / sum(chosen for _, chosen, _ in judged)
            off = sum(float(normaliser) for _, _, normaliser in judged) / sum(chosen for _, chosen, _ in judged)
            epochs.append({"epoch": epoch, "nats": mean, "normaliser_rms": off**0.5})
            if mean < best_loss:
                best, best_loss, since = {k: v.clone() for k, v in model.state_dict().items()}, mean, 0
            else:
                since += 1
            if since > _PATIENCE:
                break
    model.load_state_dict(best)
    model.eval()
    with torch.no_grad():
        count = sum(last - first for _, first, last in judging)
        some = generator.permutation(len(judging))[: max(1, int(len(judging) * _CALIBRATED / max(count, 1)))]
        kept = [judging[place] for place in np.sort(some).tolist()] if judging else learning
        _calibrate(model, data, popularity_classes(popularity), kept)
    return model.state_dict(), {"epochs": epochs, "choices": total}


def popularity_classes(popularity: Floats) -> Ints:
    """The class of each item [I]: tenths of all events, from the most popular items on; a last one of those without."""
    order = np.argsort(-popularity, kind="stable")
    done = np.cumsum(popularity[order]) - popularity[order]
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.minimum(done / max(popularity.sum(), 1.0) * _CLASSES, _CLASSES - 1).astype(np.int64)
    found[popularity == 0] = _CLASSES
    return found


def _calibrate(model: ChoiceModel, data: Histories, item_class: Ints, parts: list[tuple[int, int, int]]) -> None:
    """As much probability for each class of popularity, among what users have had and among the rest, as they choose of
    it, and probabilities that add up to 1: by iterative proportional fitting on users that were not learnt from."""
    of_class = nn.functional.one_hot(torch.from_numpy(item_class), _CLASSES + 1).float()
    masses, cells = [], []
    for batch in _batches(parts, None):
        for logits, had, chosen in _scored(model, data, batch, dropped=False):
            mine = torch.zeros(logits.shape, dtype=torch.bool)
            mine[had.row, had.item] = True
            weight = logits.exp()
            masses.append(torch.cat([(weight * ~mine) @ of_class, (weight * mine) @ of_class], 1))
            cells.append(torch.from_numpy(item_class)[chosen] + (_CLASSES + 1) * mine.gather(1, chosen[:, None])[:, 0])
    mass, cell = torch.cat(masses).double(), torch.cat(cells)
    chosen_of = torch.bincount(cell, minlength=mass.shape[1]).double() + _SMOOTHED
    offset = torch.zeros(mass.shape[1], dtype=torch.float64)
    for _ in range(_ROUNDS):
        weighed = mass * offset.exp()
        expected = (weighed / weighed.sum(1, keepdim=True)).sum(0) + _SMOOTHED
        offset = (offset + (chosen_of / expected).log()).clamp(-_MOST_SHIFT, _MOST_SHIFT)
    offset -= (mass * offset.exp()).sum(1).log().mean()
    model.new_offset.copy_(offset[: _CLASSES + 1][item_class])
    model.had_offset.copy_(offset[_CLASSES + 1 :][item_class])


def _parts(begin: Ints, end: Ints, which: NDArray[np.bool_]) -> Iterator[tuple[int, int, int]]:
    for user in np.flatnonzero(which & (end > begin)).tolist():
        for first in range(int(begin[user]), int(end[user]), _BLOCK):
            yield user, first, min(first + _BLOCK, int(end[user]))


def _batches(
    parts: list[tuple[int, int, int]], generator: np.random.Generator | None
) -> Iterator[list[tuple[int, int, int]]]:
    """Blocks of like length together, in an order drawn by `generator`."""
    size = np.array([min(first, CONTEXT // 2) + last - first for _, first, last in parts])
    if generator is not None:
        order = np.lexsort((generator.random(len(parts)), size // 16))
        starts = generator.permutation(np.arange(0, len(parts), _BATCH))
    else:
        order, starts = np.argsort(size, kind="stable"), np.arange(0, len(parts), _BATCH)
    for start in starts.tolist():
        yield [parts[place] for place in order[start : start + _BATCH].tolist()]


def _loss(
    model: ChoiceModel, data: Histories, parts: list[tuple[int, int, int]], dropped: bool
) -> tuple[Tensor, int, Tensor]:
    """Sums over choices of the loss and of the squared log of the normaliser, and how many choices."""
    loss, normaliser, count = torch.zeros(()), torch.zeros(()), 0
    for logits, _, chosen in _scored(model, data, parts, dropped):
        total = torch.logsumexp(logits, 1)
        loss = loss + (total - logits.gather(1, chosen[:, None])[:, 0]).sum()
        normaliser = normaliser + total.square().sum()
        count += len(chosen)
    return loss, count, normaliser


def _scored(
    model: ChoiceModel, data: Histories, parts: list[tuple[int, int, int]], dropped: bool
) -> Iterator[tuple[Tensor, Had, Tensor]]:
    """Of each block the logits [N, n_items] of its choices, what their users have had, and what they chose [N]."""
    blocks = [block(data, *part) for part in parts]
    longest = max(len(one.items) for one in blocks)
    items, away = np.zeros((2, len(blocks), longest), dtype=np.int64)
    for place, one in enumerate(blocks):
        items[place, : len(one.items)], away[place, : len(one.away)] = one.items, one.away
    states = model.states(torch.from_numpy(items), torch.from_numpy(away))
    for place, one in enumerate(blocks):
        mine = states[place, one.first : one.first + len(one.chosen)]
        mine = nn.functional.dropout(mine, _DROPOUT, dropped)
        row, item, kind, log_length = one.had
        had = Had(
            torch.from_numpy(row), torch.from_numpy(item), torch.from_numpy(kind), torch.from_numpy(log_length).float()
        )
        yield model.logits(mine, had), had, torch.from_numpy(one.chosen)
