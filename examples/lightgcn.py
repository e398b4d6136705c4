"""An SRM of one's own that scores directly: LightGCN, vectors of users and items that the graph of both has smoothed.

fleetrec simulate examples/lightgcn.yaml
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec import History, LearningData


class LightGcn(nn.Module):
    """The product of an item's vector with the user's, moved towards the newest items."""

    def __init__(self, n_items: int, n_users: int, dim: int, epochs: int = 100, hops: int = 2, moved: float = 0.1):
        super().__init__()
        self.embedding, self.user_embedding = nn.Embedding(n_items + 1, dim), nn.Embedding(n_users, dim)
        self.epochs, self.hops, self.moved = epochs, hops, moved

    def fit(self, data: LearningData) -> None:
        users, items = torch.from_numpy(data.users), torch.from_numpy(data.items)
        had = torch.zeros(data.n_users, data.n_items).index_put((users, items), torch.ones(1))
        graph = had / (had.sum(dim=1, keepdim=True) * had.sum(dim=0)).clamp(min=1).sqrt()
        base = [nn.Parameter(0.1 * torch.randn(count, self.embedding.embedding_dim)) for count in graph.shape]
        optimiser = torch.optim.Adam(base, lr=0.02)
        for _ in range(self.epochs):
            user, item = base[0] * 1, base[1] * 1
            for _ in range(self.hops):
                user, item = user + graph @ item, item + graph.T @ user
            margin = user[users] * (item[items] - item[torch.randint(data.n_items, items.shape)])
            optimiser.zero_grad()
            torch.autograd.backward(-F.logsigmoid(margin.sum(dim=1)).mean())
            optimiser.step()
        self.user_embedding.weight.data, self.embedding.weight.data[1:] = user.detach(), item.detach()

    def score(self, history: History, candidates: Tensor) -> Tensor:
        newest: Tensor = self.embedding(history.windows) * (history.windows > 0)[..., None]
        user = self.user_embedding(history.users) + self.moved * newest.sum(dim=1)
        return torch.einsum("bnd,bd->bn", self.embedding(candidates + 1), user)
