"""The three small models: causal, bounded, counted."""

import numpy as np
import pytest
import torch

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.flops import flops_of
from fleetrec.simulator.scenario.sections import Srm
from tests.models.srm_cases import KINDS, Config

FIRST = torch.zeros(1, dtype=torch.int64)
"""the first user, whom these models do not tell from others"""


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_padding_after_a_window_changes_nothing(config: Srm) -> None:
    model = config.network(20, 2).eval()
    short = torch.tensor([[3, 1, 7]])
    padded = torch.tensor([[3, 1, 7, 0, 0, 0, 0, 0]])
    candidates = torch.arange(20)[None]
    with torch.no_grad():
        found = model.window_logits(short, candidates, FIRST), model.window_logits(padded, candidates, FIRST)
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_training_scores_at_a_position_are_those_of_the_window_that_ends_there(config: Srm) -> None:
    model = config.network(20, 2).eval()
    windows = torch.tensor([[3, 1, 7, 7, 20], [2, 5, 0, 0, 0]])
    candidates = torch.randint(20, (2, 5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_once = model.position_logits(windows, candidates, torch.arange(2))
        for row, steps in ((0, 5), (1, 2)):
            for step in range(steps):
                so_far = windows[row : row + 1, : step + 1]
                alone = model.window_logits(so_far, candidates[row : row + 1, step], FIRST)
                assert torch.allclose(at_once[row, step], alone[0], atol=1e-5)


@pytest.mark.parametrize("config", [*KINDS[:2], Config("sasrec", layers=3)], ids=lambda c: f"{c.kind} {c.layers}")
def test_states_from_a_column_on_are_those_of_the_whole_window(config: Srm) -> None:
    model = config.network(20, 2).eval()
    assert isinstance(model, StateModel)
    with torch.no_grad():
        model.embedding.weight[1:] *= 20  # larger than at the start of training, so that history matters
        windows = torch.randint(1, 21, (50, 8), generator=torch.Generator().manual_seed(0))
        whole = model.states(windows)
        for since in range(8):
            assert torch.allclose(model.states(windows, since), whole[:, since:], atol=1e-5)
    assert whole.std() > 0.1


@pytest.mark.parametrize("config", KINDS[:2], ids=lambda config: config.kind)
def test_no_component_of_a_state_reaches_sixteen_whatever_the_weights(config: Srm) -> None:
    model = config.network(20, 2).eval()
    assert isinstance(model, StateModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1e3
        states = model.states(torch.randint(1, 21, (50, 8)))
    assert 2 < states.abs().max() < 16


def test_din_without_history_has_an_interest_of_zero() -> None:
    model = KINDS[2].network(20, 2).eval()
    with torch.no_grad():
        scores = model.window_logits(torch.zeros(1, 8, dtype=torch.int64), torch.arange(20)[None], FIRST)
        by_hand = torch.cat((torch.zeros(20, 16), model.item_vectors()), dim=1)
        for layer in (model.hidden_1, model.hidden_2):  # type: ignore[union-attr]
            by_hand = torch.relu(by_hand @ layer.weight.T + layer.bias)  # type: ignore[operator, union-attr]
        by_hand = by_hand @ model.out.weight.T + model.out.bias  # type: ignore[operator, union-attr]
    assert torch.allclose(scores[0], by_hand[:, 0], atol=1e-6)


def test_din_has_the_papers_layers_at_the_papers_dimension() -> None:
    model = Config("din", dim=32, loss="bce").network(20, 2)
    shapes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(128, 64), (64, 128), (1, 64)]


def test_flops_are_those_of_the_matrix_products() -> None:
    length, d = 8, 16
    sasrec = Config("sasrec").network(20, 2)
    # per block: q, k, v, out (4 d^2), feed-forward (8 d^2), scores and mixing over the full square (2 L d)
    assert flops_of(sasrec) == (2 * length * (12 * d * d + 2 * length * d), 2 * d)
    gru = Config("gru4rec").network(20, 2)
    assert flops_of(gru) == (2 * length * (6 * d * d + d * d), 2 * d)
    din = Config("din", loss="bce").network(20, 2)
    assert flops_of(din) == (0, 2 * (2 * length * d + 2 * d * 4 * d + 4 * d * 2 * d + 2 * d))


def test_odd_windows_are_rounded_down() -> None:
    assert Config(max_length=9).network(20, 2).max_length == 8


def test_a_model_that_cannot_be_built_names_its_key() -> None:
    with pytest.raises(InputError, match=r"srm\.heads"):
        Config(heads=3).network(20, 2)
    with pytest.raises(ValueError, match=r"unknown kind 'bert' \(kinds: .*sasrec"):
        Config("bert")


def test_item_vectors_are_the_rows_that_score() -> None:
    model = KINDS[0].network(20, 2).eval()
    assert isinstance(model, StateModel)
    window = torch.tensor([[3, 1, 7]])
    with torch.no_grad():
        expected = model.states(window)[0, -1].numpy() @ model.item_vectors().numpy().T
        found = model.window_logits(window, torch.arange(20)[None], FIRST)[0].numpy()
    assert np.allclose(found, expected, atol=1e-5)
