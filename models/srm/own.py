"""A user's own network as a small model: what it computes is checked, and what it raises is told with its line.

It is a `torch.nn.Module` with an item table `embedding` of n_items + 1 rows (row 0 is padding), and either `forward`,
from windows to the state after each item, or `score`, of pairs of a history and a candidate. `fit` trains it in its own
way; a table of users, `user_embedding`, is one row on a phone.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard, cast

import torch
from torch import Tensor, nn

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet, learning_data
from fleetrec.models.srm.base import PairModel, SmallModel, StateModel

Guard = Callable[..., AbstractContextManager[None]]
"""(what runs, libraries whose global random numbers it leaves alone) -> a context in which what own code raises is told
with its line"""

_MOST_DIM = 128  # products of more terms are not exact in float64
_NONE: tuple[Any, Any] = (None, None)
_OUTSIDE = ("random", "numpy")  # PyTorch's are seeded for a training, and as before after it
_NEAR = 1e-3
_EXACT = 1e-9


class Keys(Protocol):
    """What a scenario says of an own network."""

    @property
    def kind(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def max_length(self) -> int: ...


@dataclass(frozen=True)
class History:
    """What users have had, in order of time, as a network that scores pairs is handed it."""

    windows: Tensor
    """int64 [B, T]: the newest items, code + 1, left-aligned; 0 is padding"""
    users: Tensor
    """int64 [B]: whose they are, from 0"""


class _Own(SmallModel):
    """What both forms of an own network share."""

    def __init__(self, module: Any, keys: Keys, n_items: int, place: str, guard: Guard):
        nn.Module.__init__(self)
        self.kind, self.n_items, self.dim, self.max_length = keys.kind, n_items, keys.dim, keys.max_length
        self.module, self.place, self.guard = module, place, guard
        if hasattr(module, "fit"):
            self.fit = self._fit

    _wide: tuple[Any, Any] = _NONE
    """which weights, and a copy of it in float64"""
    checked: bool = True
    """whether numbers are looked at, which torch.func does not allow"""

    def written_out(self) -> None:
        self.checked = False

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]  # the user's, which is registered once
        """Its item table."""
        found: nn.Embedding = self.module.embedding
        return found

    @property
    def user_table(self) -> Tensor | None:  # type: ignore[override]
        """Its table of users, if it has one."""
        found = getattr(self.module, "user_embedding", None)
        return None if found is None else cast(Tensor, found.weight)

    def _fit(self, data: TrainingSet) -> None:
        before = {name: tensor.shape for name, tensor in self.state_dict().items()}
        with self.guard(f"{self.place}.fit", _OUTSIDE), torch.enable_grad():
            self.module.fit(learning_data(data))
        after = {name: tensor.shape for name, tensor in self.state_dict().items()}
        if before != after:
            other = ", ".join(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
            raise InputError(f"{self.place}.fit makes or reshapes {other}; make it whole in the constructor")
        self._wide = _NONE


class OwnStates(_Own, StateModel):
    """A network that gives a state after every item of a window."""

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        place = f"{self.place}.forward"
        with self.guard(place), _unwritten(place, windows=windows) if self.checked else nullcontext():
            states = self.module(windows)
        wanted = (*windows.shape, self.dim)
        if not _is_real(states, wanted):
            raise InputError(
                f"{place} returned {_described(states)} of windows {tuple(windows.shape)}; return a state after each "
                f"item, {wanted}, in floating point"
            )
        if self.checked and not self.training and not bool(torch.isfinite(states[windows > 0]).all()):
            raise InputError(f"{self.place}.forward gives a state that is no number")
        return states[:, since:]


class OwnScores(_Own, PairModel):
    """A network that scores pairs of a history and a candidate."""

    def position_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        row, column = (windows > 0).nonzero(as_tuple=True)
        until = torch.arange(windows.shape[1], device=windows.device)[None] <= column[:, None]
        scores = self.window_logits(windows[row] * until, candidates[row, column], users[row])
        return scores.new_zeros(candidates.shape).index_put((row, column), scores)

    def window_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        return self._scored(self.module, windows, candidates, users)

    def exact_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        weights = [*self.module.parameters(), *self.module.buffers()]
        which = [(id(tensor), tensor.data_ptr(), tensor._version) for tensor in weights]
        if self._wide[0] != which:
            self._wide = which, copy.deepcopy(self.module).double().eval()
        return self._scored(self._wide[1], windows, candidates, users).double()

    def _scored(self, module: Any, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        place = f"{self.place}.score"
        with self.guard(place), _unwritten(place, windows=windows, users=users, candidates=candidates):
            scores = module.score(History(windows, users), candidates)
        if not _is_real(scores, candidates.shape):
            raise InputError(
                f"{place} returned {_described(scores)} of candidates {tuple(candidates.shape)}; return a score for "
                "each, in floating point"
            )
        if not self.training and not bool(torch.isfinite(scores).all()):
            raise InputError(f"{self.place}.score returned a score that is no number; return one for each candidate")
        return scores


def _is_real(given: Any, shape: tuple[int, ...]) -> TypeGuard[Tensor]:
    return isinstance(given, Tensor) and given.shape == shape and given.is_floating_point()


def _described(given: Any) -> str:
    return f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__


@contextmanager
def _unwritten(place: str, **handed: Tensor) -> Iterator[None]:
    """Own code runs, which is to leave what it is handed as it is: others read it too."""
    before = {name: tensor._version for name, tensor in handed.items()}
    yield
    for name, tensor in handed.items():
        if tensor._version != before[name]:
            raise InputError(f"{place} writes into `{name}`, which it is handed; work on a copy, such as {name} + 1")


def own_network(
    module: Any, keys: Keys, has_user_state: bool, n_items: int, n_users: int, place: str, guard: Guard
) -> SmallModel:
    """The small model that a user's untrained network is. InputError for what it lacks or computes wrongly.

    `guard` watches its methods; `place` is where its class stands.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"{place}.build returned {type(module).__name__}; return a torch.nn.Module")
    if has_user_state != _gives_states(module):
        wanted = "forward(windows), which gives states" if has_user_state else "score(history, candidates)"
        other = "" if has_user_state else "; say has_user_state = True in the class if it gives states"
        raise InputError(f"{place} has no {wanted}{other}")
    table = getattr(module, "embedding", None)
    if not isinstance(table, nn.Embedding) or tuple(table.weight.shape) != (n_items + 1, keys.dim):
        got = f"is {tuple(table.weight.shape)}" if isinstance(table, nn.Embedding) else "is not there"
        raise InputError(
            f"{place}: its item table `embedding` {got}; make it nn.Embedding(n_items + 1, dim, padding_idx=0), "
            f"{(n_items + 1, keys.dim)}"
        )
    if keys.dim > _MOST_DIM:
        raise InputError(f"{place}: dim {keys.dim} is above {_MOST_DIM}, so its scores would not be exact; lower it")
    model = (OwnStates if has_user_state else OwnScores)(module, keys, n_items, place, guard)
    _check(model, n_users)
    return model


def _gives_states(module: nn.Module) -> bool:
    return not hasattr(module, "score")


@torch.no_grad()
def _check(model: OwnStates | OwnScores, n_users: int) -> None:
    """Calls it on made-up histories. InputError for what cannot be used."""
    draws, before = torch.Generator().manual_seed(1), torch.get_rng_state()
    training = model.training
    model.eval()
    length = model.max_length
    windows = torch.randint(1, model.n_items + 1, (2, length), generator=draws)
    if isinstance(model, OwnStates):
        _check_states(model, windows)
    else:
        users = torch.randint(n_users, (2,), generator=draws)
        _check_scores(model, windows, users, torch.randint(model.n_items, (2, 3), generator=draws))
    model.train(training)
    if not torch.equal(before, torch.get_rng_state()):
        raise InputError(f"{model.place} draws random numbers while it ranks; draw them in training only")


def _check_states(model: OwnStates, windows: Tensor) -> None:
    states = model.states(windows)
    half = max(1, windows.shape[1] // 2)
    later = windows.clone()
    later[:, half:] = windows[:, half:] % model.n_items + 1
    padded = windows[:, : half + 1].clone()
    padded[:, half:] = 0
    for other in (later, padded):
        if not torch.allclose(model.states(other)[:, :half], states[:, :half], rtol=_NEAR, atol=_NEAR):
            raise InputError(
                f"{model.place}.forward gives states that change with later items; a state after an item "
                "may look at it and those before it alone"
            )


def _check_scores(model: OwnScores, windows: Tensor, users: Tensor, candidates: Tensor) -> None:
    model.window_logits(windows, candidates, users)
    try:
        scores = model.exact_logits(windows, candidates, users)
        padded = torch.nn.functional.pad(windows[:1, :1], (0, windows.shape[1] - 1))
        short = [model.exact_logits(one, candidates[:1], users[:1]) for one in (windows[:1, :1], padded)]
        alone = model.exact_logits(windows[:1], candidates[:1, :1], users[:1])
    except InputError as error:
        raise InputError(f"{error} (with its weights in float64; make tensors of their dtype)") from None
    if float((short[0] - short[1]).abs().max()) > _EXACT:
        raise InputError(f"{model.place}.score changes with the padding of a window; leave its zeros out")
    if float((scores[:1, :1] - alone).abs().max()) > _EXACT:
        raise InputError(
            f"{model.place}.score changes with the company of a history or in float32; score each candidate by "
            "itself, in the dtype of its weights"
        )
