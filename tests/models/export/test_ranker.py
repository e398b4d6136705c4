"""What no program holds is refused with one line."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from fleetrec.models.export.programs import traced
from fleetrec.models.export.ranker import Ranker
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.own import OwnScores, OwnStates


class Averages(nn.Module):
    """Its state is the sum of the vectors so far."""

    def __init__(self, users: int = 0):
        super().__init__()
        self.embedding = nn.Embedding(21, 8, padding_idx=0)
        if users:
            self.user_embedding = nn.Embedding(users, 8)

    def forward(self, windows: Tensor) -> Tensor:
        return torch.as_tensor(self.embedding(windows).cumsum(dim=1))


class Pairs(Averages):
    """Its score is a product with the window's mean, or none where the window is short."""

    def score(self, history: object, candidates: Tensor) -> Tensor:
        windows: Tensor = history.windows  # type: ignore[attr-defined]
        return torch.einsum("bd,bnd->bn", self.embedding(windows).mean(dim=1), self.embedding(candidates + 1))


class Branching(Averages):
    """What it computes hangs on a number of the window."""

    def forward(self, windows: Tensor) -> Tensor:
        states = super().forward(windows)
        return states * 2 if bool((windows > 10).any()) else states


def own(module: nn.Module) -> OwnStates | OwnScores:
    """As a network of the user's own is held."""
    form = OwnScores if hasattr(module, "score") else OwnStates
    keys = SimpleNamespace(kind="mine.py:Mine", dim=8, max_length=8)
    return form(module, keys, 20, "mine.py:1: Mine", lambda *_: nullcontext())


class Wrapped(nn.Module):
    """Its table is another module's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Averages()

    @property
    def embedding(self) -> nn.Embedding:
        return self.inner.embedding

    def forward(self, windows: Tensor) -> Tensor:
        return self.inner.forward(windows)


@pytest.mark.parametrize("module", [Averages(), Pairs()])
def test_a_network_of_ones_own_is_traced_as_it_scores(module: nn.Module) -> None:
    model = own(module).eval()
    window, candidates = torch.tensor([4, 2, 9, 0, 0, 0, 0, 0]), torch.arange(20)
    wanted = model.window_logits(window[None], candidates[None], torch.zeros(1, dtype=torch.int64))[0]
    found = traced(Ranker(model, "float32"), model.kind).module()(window, candidates + 1)
    assert torch.allclose(found, wanted, atol=2e-5)  # five times what float32 rounds off in these sums


def test_a_table_is_held_narrow_wherever_a_network_has_it() -> None:
    ranker = Ranker(own(Wrapped()), "int8")
    assert {tensor.dtype for tensor in ranker.state_dict().values() if len(tensor) == 21} == {torch.int8, torch.float32}
    assert sum(tensor.numel() for tensor in ranker.state_dict().values() if tensor.dtype == torch.float32) == 21


def test_weights_of_each_users_own_are_refused() -> None:
    with pytest.raises(InputError, match=r"^srm: mine\.py:Mine has weights of each user's own, which no exported"):
        Ranker(own(Averages(users=5)), "float32")


def test_a_network_that_branches_on_its_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"^srm: mine\.py:Mine cannot be exported: .*must not hang on the numbers"):
        traced(Ranker(own(Branching()), "float32"), "mine.py:Mine")
