"""What devices have learnt by themselves: computed in bulk when a ranking first needs it, equal to each alone.

A device's adaptation is a pure function of its user's history, the step at which it began, the weights before and the
device's number, so it may be computed long after the moment at which the device had it.
"""

from collections.abc import Callable
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.sequences import window_start, windows_at
from fleetrec.models.srm.adapters import (
    AdapterForm,
    AdapterSettings,
    Parameters,
    TrainingExamples,
    apply_exactly,
    states_inside,
    train_in_tiles,
)
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.srm_logits import Floats, Ints, StateScores

FormOf = Callable[[int], AdapterForm]
"""of a version of the fleet's weights"""


class OwnWeights:
    """The parameters of every adaptation so far, in rows by their number in DeviceWeights."""

    def __init__(
        self,
        settings: AdapterSettings,
        form_of: FormOf,
        histories: Histories,
        max_length: int,
        softmax: bool,
        users: Ints,
        draws: Draws,
    ):
        """`users` [D] of the devices; `softmax`: whether the SRM was trained with the full softmax."""
        self._settings, self._form_of, self._histories = settings, form_of, histories
        self._max_length, self._softmax = max_length, softmax
        self._users, self._draws = users, draws
        self._own: Parameters = {}
        self._states: dict[tuple[int, int], int] = {}  # of adapters inside the encoder: row by (weights, step)
        self._inside = torch.empty(0)
        self._encoding = Lock()  # steps that a query looks back at are encoded by the thread that needs them

    @property
    def inside_encoder(self) -> bool:
        """Whether they change states themselves."""
        return self._form_of(0).inside

    @property
    def parameter_bytes(self) -> int:
        """Memory of all parameters."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self._own.values())

    def learn(
        self, version: int, scores: StateScores, weights: Ints, parents: Ints, devices: Ints, steps: Ints
    ) -> None:
        """Train adaptations `weights` [M] of devices at steps, each from `parents` [M] (-1: from the beginning)."""
        form = self._form_of(version)
        self._grow(form, int(weights.max()) + 1)
        before = torch.from_numpy(np.maximum(parents, 0))
        fresh = torch.from_numpy(parents < 0)
        own = {}
        for name, tensor in self._own.items():
            rows = tensor[before]
            rows[fresh] = form.initial[name]
            own[name] = rows
        if not form.inside:
            scores.ready(self._users[devices], np.maximum(steps - 1, 0))
        settings = self._settings
        examples = self._inside_examples if form.inside else self._state_examples
        trained = train_in_tiles(
            form,
            own,
            lambda places: examples(scores, devices[places], steps[places]),
            devices,
            settings.steps,
            settings.learning_rate,
            self._softmax,
        )
        at = torch.from_numpy(weights)
        for name, tensor in trained.items():
            self._own[name][at] = tensor

    def _grow(self, form: AdapterForm, rows: int) -> None:
        for name, start in form.initial.items():
            old = self._own.get(name, torch.empty(0, *start.shape))
            if len(old) < rows:
                self._own[name] = torch.zeros(max(rows, 2 * len(old)), *start.shape)
                self._own[name][: len(old)] = old

    # ------------------------------------------------------------------------------------------ what is learnt from

    def _state_examples(self, scores: StateScores, devices: Ints, steps: Ints) -> TrainingExamples:
        window = self._settings.window
        positions = steps[:, None] - window + np.arange(window)  # [T, W]
        users = np.repeat(self._users[devices], window)
        states = torch.from_numpy(scores.states(users, np.maximum(positions, 0).reshape(-1))).float()
        return self._examples(scores, devices, steps, positions, states.view(len(devices), window, -1), positions >= 0)

    def _inside_examples(self, scores: StateScores, devices: Ints, steps: Ints) -> TrainingExamples:
        users = self._users[devices]
        log = self._histories
        windows = windows_at(log.offsets, log.items, users, steps - 1, self._max_length)
        positions = window_start(np.maximum(steps - 1, 0), self._max_length)[:, None] + np.arange(windows.shape[1])
        counts = (windows > 0) & (positions >= steps[:, None] - self._settings.window)
        return self._examples(scores, devices, steps, positions, torch.from_numpy(windows), counts)

    def _examples(
        self,
        scores: StateScores,
        devices: Ints,
        steps: Ints,
        positions: Ints,
        inputs: Tensor,
        counts: NDArray[np.bool_],
    ) -> TrainingExamples:
        """Of inputs at `positions` [T, W], those that count; nothing at or after the step itself is a target but the
        newest interaction."""
        count, width = positions.shape
        users = np.repeat(self._users[devices], width)
        following = np.where(counts, positions + 1, 0).reshape(-1)
        items = self._histories.item_at(users, following).reshape(count, width)
        counts = counts & scores.known[items]
        known = np.flatnonzero(scores.known)
        which = np.arange(self._settings.negatives)
        draws = self._draws.integers(len(known), "adapt.negatives", devices[:, None], steps[:, None], which)
        others = known[draws]  # [T, K]
        return TrainingExamples(
            inputs,
            torch.from_numpy(scores.vectors(items)).float(),
            torch.from_numpy(scores.vectors(others)).float(),
            torch.from_numpy(items[:, :, None] == others[:, None, :]),
            torch.from_numpy(counts.astype(np.float32)),
        )

    # ------------------------------------------------------------------------------------------ what comes out

    def encode(self, version: int, users: Ints, steps: Ints, weights: Ints) -> None:
        """Keep the states of these queries [M] ready where adapters are inside the encoder."""
        form = self._form_of(version)
        if form.inside:
            with self._encoding:
                self._encode(form, users, steps, weights)

    def _encode(self, form: AdapterForm, users: Ints, steps: Ints, weights: Ints) -> None:
        queries = dict.fromkeys(zip(weights.tolist(), steps.tolist(), users.tolist(), strict=True))
        lacking = np.array([query for query in queries if query[:2] not in self._states], dtype=np.int64).reshape(-1, 3)
        if not len(lacking):
            return
        by, at, who = lacking.T
        log = self._histories
        windows = torch.from_numpy(windows_at(log.offsets, log.items, who, at, self._max_length))
        own = {name: tensor[torch.from_numpy(by)] for name, tensor in self._own.items()}
        states = states_inside(form, own, windows, who * 37 + at)
        start = len(self._inside)
        self._inside = torch.cat((self._inside, states)) if start else states
        self._states.update({(w, s): start + i for i, (w, s) in enumerate(zip(by.tolist(), at.tolist(), strict=True))})

    def adapted(self, version: int, states: Floats, users: Ints, steps: Ints, weights: Ints) -> Floats:
        """States [M, d] by the parameters of `weights` [M]."""
        form = self._form_of(version)
        if form.inside:
            self.encode(version, users, steps, weights)
            rows = [self._states[key] for key in zip(weights.tolist(), steps.tolist(), strict=True)]
            return np.asarray(self._inside[torch.tensor(rows)].double().numpy())
        own = {name: tensor[torch.from_numpy(weights)] for name, tensor in self._own.items()}
        return np.asarray(apply_exactly(form, own, torch.from_numpy(states)).numpy())
