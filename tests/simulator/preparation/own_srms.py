"""Small models of the user's own, as their files hold them, in a tiny scenario."""

from pathlib import Path
from typing import Any

import pandas as pd

from fleetrec import Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from tests.simulator.experiments.sweeps.files import SCENARIO

GRU = """\
from torch import nn

from fleetrec.models.srm.gru4rec import Gru4Rec


class Mine(nn.Module):
    def __init__(self, n_items, dim, max_length, dropout, layers: int = 1):
        super().__init__()
        self.inner = Gru4Rec(n_items, dim, max_length, layers, dropout)

    @property
    def embedding(self):
        return self.inner.embedding

    def forward(self, windows):
        return self.inner.states(windows)
"""
BUILT = """\
from torch import nn

from fleetrec import Srm
from fleetrec.models.srm.gru4rec import Gru4Rec


class Network(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    @property
    def embedding(self):
        return self.inner.embedding

    def forward(self, windows):
        return self.inner.states(windows)


class Mine(Srm):
    layers: int = 1

    def build(self, n_items):
        return Network(Gru4Rec(n_items, self.dim, self.max_length, self.layers, self.training.dropout))
"""
PLAIN = BUILT.replace("from fleetrec import Srm\n", "").replace("(Srm)", "")
DIN = """\
from torch import nn

from fleetrec.models.srm.din import Din


class Mine(nn.Module):
    def __init__(self, n_items, dim, max_length, dropout):
        super().__init__()
        self.inner = Din(n_items, dim, max_length, dropout)

    @property
    def embedding(self):
        return self.inner.embedding

    def score(self, history, candidates):
        return self.inner.window_logits(history.windows, candidates, history.users)
"""
SMALL = """\
import torch
from torch import nn


class Mine(nn.Module):
    def __init__(self, n_items, n_users, dim):
        super().__init__()
        self.embedding = nn.Embedding(n_items + 1, dim, padding_idx=0)
        self.user_embedding = nn.Embedding(n_users, dim)
"""
STATES = f"""{SMALL}
    def forward(self, windows):
        return self.embedding(windows)
"""
SCORES = f"""{SMALL}
    def score(self, history, candidates):
        return (self.embedding(candidates + 1) @ self.user_embedding(history.users)[..., None]).squeeze(-1)
"""
MARKOV = """\
from torch import nn


class Mine(nn.Module):
    def __init__(self, n_items, dim):
        super().__init__()
        self.embedding, self.after = nn.Embedding(n_items + 1, dim), nn.Embedding(n_items + 1, dim)

    def score(self, history, candidates):
        newest = (history.windows > 0).sum(dim=1, keepdim=True) - 1
        last = self.after(history.windows.gather(1, newest.clamp(min=0)))
        return (self.embedding(candidates + 1) * last).sum(dim=-1)
"""
FITTED = f"""{SCORES}
    def fit(self, data):
        counts = torch.bincount(torch.from_numpy(data.items), minlength=data.n_items).float()
        self.user_embedding.weight.data.fill_(1.0)
        self.embedding.weight.data[1:] = counts[:, None] / counts.max()
"""
KEYS = "dim: 8, max_length: 10, epochs: 1"


def load(source: str, keys: str = KEYS, *overrides: str) -> Scenario:
    """The tiny scenario with an SRM from this source."""
    Path("mine.py").write_text(source, encoding="utf-8")
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    return Scenario.load("tiny.yaml", [f"srm={{kind: 'mine.py:Mine', {keys}}}", *overrides])


def interactions(scenario: Scenario, store: ArtifactStore, **kinds: Any) -> pd.DataFrame:
    return simulate(scenario, store=store, **kinds).tables["interactions"]
