"""Encoders over rows without padding against the same encoders over windows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fleetrec.models.llm.network import TrainableItemLm, new_llama
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.batches import Batch, Windows
from fleetrec.models.srm.rows import Rows, attended, dropped, rows_of
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.models.srm.trained import train_or_load_srm
from tests.models.srm_cases import Config, Training, cycle_log

N_ITEMS, LONGEST = 40, 12
HALF_BITS = 2**-7  # a bfloat16 has 8


def sasrec() -> StateModel:
    return SasRec(N_ITEMS, dim=16, max_length=LONGEST, layers=2, heads=2, dropout=0.0)


def item_lm() -> StateModel:
    words = tuple((f"genre {item % 5}", f"decade {item % 3}") for item in range(N_ITEMS))
    model = TrainableItemLm(new_llama(N_ITEMS, 16, 2, 2, LONGEST), N_ITEMS, LONGEST, 0.0, words)
    for layer in model.lm.model.layers:  # gains of 1 would hide where they are multiplied in
        torch.nn.init.uniform_(layer.input_layernorm.weight, 0.5, 1.5)
        torch.nn.init.uniform_(layer.post_attention_layernorm.weight, 0.5, 1.5)
    return model


def windows(*lengths: int) -> Windows:
    """Random items in windows of these lengths."""
    inside = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    inputs = torch.where(inside, torch.randint(1, N_ITEMS + 1, inside.shape), 0)
    return Windows(inputs, inputs.clamp(min=1) - 1, inside.flatten().nonzero()[:, 0], torch.arange(len(lengths)))


def padded_states(model: StateModel, batch: Batch) -> Tensor:
    return torch.cat([one.of_filled(model.states(one.inputs)) for one in batch])


def states_and_gradients(
    model: StateModel, states: Callable[[], Tensor], ahead: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    found = states()
    found.backward(ahead)  # type: ignore[no-untyped-call]
    return found.detach(), {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("made", [sasrec, item_lm])
def test_rows_have_the_states_and_gradients_of_windows(made: Callable[[], StateModel]) -> None:
    torch.manual_seed(5)
    model = made().train()
    batch = [windows(3, 1, 4), windows(LONGEST, LONGEST), windows(7, 12, 9)]
    ahead = torch.randn(sum(len(one.filled) for one in batch), model.dim)
    expected, gradients = states_and_gradients(model, lambda: padded_states(model, batch), ahead)
    wide = rows_of(batch, torch.float32)
    found, of_rows = states_and_gradients(model, lambda: model.row_states(wide), ahead)
    assert torch.allclose(found, expected, atol=1e-5)
    assert of_rows.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(of_rows[name], gradient, atol=2e-5 * float(gradient.abs().max())), name
    found, of_rows = states_and_gradients(model, lambda: model.row_states(rows_of(batch)), ahead)
    assert (found - expected).norm() < HALF_BITS * expected.norm()
    for name, gradient in gradients.items():
        assert (of_rows[name] - gradient).norm() < 4 * HALF_BITS * gradient.norm(), name  # through two layers, twice


def test_attention_that_drops_weights_has_the_gradient_of_what_it_computes() -> None:
    torch.manual_seed(6)
    rows = rows_of([windows(2, 4), windows(3, 3)], torch.float64)
    inputs = [torch.randn(12, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def drawn_alike(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        torch.manual_seed(7)
        return attended(query, key, value, rows, rate=0.25)

    assert torch.autograd.gradcheck(drawn_alike, inputs)


def test_rows_see_nothing_of_what_comes_after_them_or_of_other_windows() -> None:
    torch.manual_seed(8)
    model, one, other = sasrec().eval(), windows(6, 9), windows(6, 9)
    kept = torch.tensor([0, 1, 2, 3])  # of the first window
    other.inputs[0, :4] = one.inputs[0, :4]
    both = [model.row_states(rows_of([some], torch.float32))[kept] for some in (one, other)]
    assert torch.equal(*both)


def test_dropout_keeps_the_mean_and_drops_the_share_that_it_says_in_steps_of_a_256th() -> None:
    torch.manual_seed(9)
    found = dropped(torch.ones(1000, 401), rate=0.2)
    assert set(found.unique().tolist()) == {0.0, np.float32(256 / 205)}
    share = float((found == 0).float().mean())
    assert share == pytest.approx(51 / 256, abs=5 * (0.2 * 0.8 / found.numel()) ** 0.5)
    ones = torch.ones(3, 3)
    assert dropped(ones, rate=0.001) is ones


def test_a_model_whose_encoder_is_in_half_the_bits_learns_a_walk_round_the_catalogue(tmp_path: Path) -> None:
    training = Training(learning_rate=1e-2, dropout=0.1, softmax_precision="bfloat16", encoder_precision="bfloat16")
    data = cycle_log(users=60, n_items=20, length=12)
    config = Config("sasrec", epochs=12, training=training)
    trained = [train_or_load_srm(config, data, ArtifactStore(tmp_path / name), threads=1) for name in "ab"]
    assert trained[0].validation["hr@10"] > 0.9
    assert trained[0].content_hash == trained[1].content_hash


def test_places_of_rows_begin_anew_in_each_window() -> None:
    rows: Rows = rows_of([windows(2, 3), windows(4)])
    assert rows.columns[:9].tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert rows.count == 9
    assert len(rows.items) % 8 == 0
