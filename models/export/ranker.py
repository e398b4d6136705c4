"""What a phone runs when it ranks: from the history window and the candidates to their scores."""

import copy
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from fleetrec.models.export.narrow_weights import NarrowTable, NarrowWeights
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.base import SmallModel
from fleetrec.models.srm.deployment import Precision
from fleetrec.models.srm.own import History, OwnScores, OwnStates


class Ranker(nn.Module):
    """Scores one user's candidates. An item is its code + 1, the number of its row in the item table.

    Its weights are stored at `precision` and computed with as float32. Raises InputError for a model with a row of
    weights for each user: a program is the same on every phone.
    """

    def __init__(self, model: SmallModel, precision: Precision):
        super().__init__()
        if model.user_table is not None:
            raise InputError(f"srm: {model.kind} has weights of each user's own, which no exported program holds")
        model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        if isinstance(model, OwnStates):  # looks at numbers, which a program has none of yet
            model.checked, model.guard = False, lambda *_: nullcontext()
        self.length = model.max_length
        self.names: list[str] = []
        """of the weights that are stored narrow, beside the item table"""
        self.narrow = nn.ModuleList()
        if precision != "float32":
            self._store(model, precision)
        self.logits = _Logits(model)

    def _store(self, model: SmallModel, precision: Precision) -> None:
        table: nn.Module = model.embedding
        narrow = NarrowTable(model.embedding.weight, precision)
        for parent in list(model.modules()):  # a network of the user's own has its table where it likes
            for name, child in list(parent.named_children()):
                if child is table:
                    setattr(parent, name, narrow)
        for name, weights in list(model.named_parameters()):
            self.names.append(f"of.{name}")
            self.narrow.append(NarrowWeights(weights, precision))
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, nn.Parameter(torch.empty(0), requires_grad=False))

    def forward(self, window: Tensor, candidates: Tensor) -> Tensor:
        """float32 [N]: scores of `candidates` int64 [N] after `window` int64 [length], left-aligned, 0 as padding."""
        asked = window[None], candidates[None] - 1, torch.zeros(1, dtype=torch.int64)
        whole = {name: weights() for name, weights in zip(self.names, self.narrow, strict=True)}
        scores: Tensor = torch.func.functional_call(self.logits, whole, asked) if whole else self.logits(*asked)
        return scores[0]


class _Logits(nn.Module):
    """`window_logits` as the call of a module."""

    def __init__(self, of: SmallModel):
        super().__init__()
        self.of = of

    def forward(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        if isinstance(self.of, OwnScores):  # whose own method looks at numbers
            scores: Tensor = self.of.module.score(History(windows, users), candidates)
            return scores
        return self.of.window_logits(windows, candidates, users)
