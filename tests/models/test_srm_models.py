"""The three small models: causal, bounded, counted."""

import numpy as np
import pytest
import torch

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.flops import flops_encode, flops_per_candidate
from fleetrec.models.srm.training import build_model
from tests.models.srm_cases import KINDS, Config


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_padding_after_a_window_changes_nothing(config: Config) -> None:
    model = build_model(config, 20).eval()
    short = torch.tensor([[3, 1, 7]])
    padded = torch.tensor([[3, 1, 7, 0, 0, 0, 0, 0]])
    candidates = torch.arange(20)[None]
    with torch.no_grad():
        found = model.window_logits(short, candidates), model.window_logits(padded, candidates)
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
def test_training_scores_at_a_position_are_those_of_the_window_that_ends_there(config: Config) -> None:
    model = build_model(config, 20).eval()
    windows = torch.tensor([[3, 1, 7, 7, 20], [2, 5, 0, 0, 0]])
    candidates = torch.randint(20, (2, 5, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_once = model.position_logits(windows, candidates)
        for row, steps in ((0, 5), (1, 2)):
            for step in range(steps):
                alone = model.window_logits(windows[row : row + 1, : step + 1], candidates[row : row + 1, step])
                assert torch.allclose(at_once[row, step], alone[0], atol=1e-5)


@pytest.mark.parametrize("config", [*KINDS[:2], Config("sasrec", layers=3)], ids=lambda c: f"{c.kind} {c.layers}")
def test_states_from_a_column_on_are_those_of_the_whole_window(config: Config) -> None:
    model = build_model(config, 20).eval()
    assert isinstance(model, StateModel)
    with torch.no_grad():
        model.embedding.weight[1:] *= 20  # larger than at the start of training, so that history matters
        windows = torch.randint(1, 21, (50, 8), generator=torch.Generator().manual_seed(0))
        whole = model.states(windows)
        for since in range(8):
            assert torch.allclose(model.states(windows, since), whole[:, since:], atol=1e-5)
    assert whole.std() > 0.1


@pytest.mark.parametrize("config", KINDS[:2], ids=lambda config: config.kind)
def test_no_component_of_a_state_reaches_sixteen_whatever_the_weights(config: Config) -> None:
    model = build_model(config, 20).eval()
    assert isinstance(model, StateModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1e3
        states = model.states(torch.randint(1, 21, (50, 8)))
    assert 2 < states.abs().max() < 16


def test_din_without_history_has_an_interest_of_zero() -> None:
    model = build_model(KINDS[2], 20).eval()
    with torch.no_grad():
        scores = model.window_logits(torch.zeros(1, 8, dtype=torch.int64), torch.arange(20)[None])
        by_hand = torch.cat((torch.zeros(20, 16), model.item_vectors()), dim=1)
        for layer in (model.hidden_1, model.hidden_2):  # type: ignore[union-attr]
            by_hand = torch.relu(by_hand @ layer.weight.T + layer.bias)  # type: ignore[operator, union-attr]
        by_hand = by_hand @ model.out.weight.T + model.out.bias  # type: ignore[operator, union-attr]
    assert torch.allclose(scores[0], by_hand[:, 0], atol=1e-6)


def test_din_has_the_papers_layers_at_the_papers_dimension() -> None:
    model = build_model(Config("din", dim=32, loss="bce"), 20)
    shapes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(128, 64), (64, 128), (1, 64)]


def test_flops_are_those_of_the_matrix_products() -> None:
    length, d = 8, 16
    sasrec = build_model(Config("sasrec"), 20)
    # per block: q, k, v, out (4 d^2), feed-forward (8 d^2), scores and mixing over the full square (2 L d)
    assert flops_encode(sasrec) == 2 * length * (12 * d * d + 2 * length * d)
    gru = build_model(Config("gru4rec"), 20)
    assert flops_encode(gru) == 2 * length * (6 * d * d + d * d)
    din = build_model(Config("din", loss="bce"), 20)
    assert flops_encode(din) == 0
    assert flops_per_candidate(din) == 2 * (2 * length * d + 2 * d * 4 * d + 4 * d * 2 * d + 2 * d)
    assert flops_per_candidate(sasrec) == flops_per_candidate(gru) == 2 * d


def test_odd_windows_are_rounded_down() -> None:
    assert build_model(Config(max_length=9), 20).max_length == 8


@pytest.mark.parametrize(("config", "names"), [(Config(heads=3), "srm.heads"), (Config("bert"), "srm.kind")])
def test_a_model_that_cannot_be_built_names_its_key(config: Config, names: str) -> None:
    with pytest.raises(InputError, match=names):
        build_model(config, 20)


def test_item_vectors_are_the_rows_that_score() -> None:
    model = build_model(KINDS[0], 20).eval()
    assert isinstance(model, StateModel)
    window = torch.tensor([[3, 1, 7]])
    with torch.no_grad():
        expected = model.states(window)[0, -1].numpy() @ model.item_vectors().numpy().T
        found = model.window_logits(window, torch.arange(20)[None])[0].numpy()
    assert np.allclose(found, expected, atol=1e-5)
