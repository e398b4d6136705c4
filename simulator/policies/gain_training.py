"""Training of the small model that says what gain a device may expect of a fresh list (gain_model.py)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fleetrec.models.srm.training import deterministic
from fleetrec.simulator.policies.gain_model import GainModel
from fleetrec.simulator.ranking.list_view import Floats, Ints

_EPOCHS, _PATIENCE = 400, 40
_HELD_OUT = 5  # one user in so many decides when training ends


def train_gain_model(
    features: Floats, gain: Floats, weight: Floats, user: Ints, hidden: int, seed: int, threads: int
) -> GainModel:
    """The model of features [M, F] and gains [M], weighted by `weight`; users [M] are held out whole."""
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
    unit = max(float(gain.std()), 1e-9)
    x = torch.from_numpy(np.clip((features - mean) / scale, -4.0, 4.0)).float()
    y, w = torch.from_numpy(gain / unit).float(), torch.from_numpy(weight).float()
    held = torch.from_numpy(user % _HELD_OUT == 0)
    with deterministic(seed, threads, "cpu"):
        net = _Net(features.shape[1], hidden)
        optimiser = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=1e-2)
        best, best_loss, best_epoch = _weights(net), float("inf"), 0
        for epoch in range(_EPOCHS):
            optimiser.zero_grad()
            torch.autograd.backward(_loss(net, x[~held], y[~held], w[~held]))
            optimiser.step()
            with torch.no_grad():
                loss = float(_loss(net, x[held], y[held], w[held])) if held.any() else float(epoch == 0)
            if loss < best_loss:
                best, best_loss, best_epoch = _weights(net), loss, epoch
            elif epoch - best_epoch >= _PATIENCE:
                break
    return GainModel(
        mean=mean,
        scale=scale,
        hidden=best["hidden.weight"].T,
        hidden_bias=best["hidden.bias"],
        out=best["out.weight"][0] * unit,
        linear=best["linear.weight"][0] * unit,
        bias=best["linear.bias"] * unit,
    )


class _Net(nn.Module):
    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.hidden, self.out = nn.Linear(features, hidden), nn.Linear(hidden, 1, bias=False)
        self.linear = nn.Linear(features, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        both: torch.Tensor = self.out(torch.relu(self.hidden(x))) + self.linear(x)
        return both[:, 0]


def _loss(net: _Net, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    errors: torch.Tensor = net(x) - y
    return (w * errors**2).sum() / w.sum()


def _weights(net: _Net) -> dict[str, NDArray[np.float64]]:
    return {name: values.detach().double().numpy().copy() for name, values in net.state_dict().items()}
