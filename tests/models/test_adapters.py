"""Many devices' own parameters, trained and applied together, are what each would have had alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.adapters import (
    TILE,
    AdapterForm,
    LowRankMap,
    TrainingExamples,
    adapter_form,
    apply_exactly,
    states_inside,
    train_in_tiles,
)
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.gru4rec import Gru4Rec, plain_gru
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.simulator.scenario.sections import Adaptation

ITEMS, DIM, LENGTH, NEGATIVES = 50, 8, 6, 7
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("gru4rec", {"kind": "low_rank", "rank": 3}),
    ("sasrec", {"kind": "bias"}),
    ("gru4rec", {"kind": "last_layer"}),
    ("gru4rec", {"kind": "module", "name": "gru"}),
    ("sasrec", {"kind": "module", "name": "blocks.0"}),
    ("sasrec", {"kind": "module", "name": "norm_out"}),
]


def small_model(kind: str) -> StateModel:
    torch.manual_seed(5)
    model: StateModel = (
        Gru4Rec(ITEMS, DIM, LENGTH, 1, 0.0) if kind == "gru4rec" else SasRec(ITEMS, DIM, LENGTH, 1, 2, 0.0)
    )
    model.initialise(0.3)
    return model.eval()


def form_of(kind: str, adapter: dict[str, Any]) -> AdapterForm:
    return adapter_form(Adaptation.model_validate({"adapter": adapter}), small_model(kind))


def examples(form: AdapterForm, devices: int) -> TrainingExamples:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(devices, LENGTH, DIM, generator=generator)
    if form.inside:
        inputs = torch.randint(1, ITEMS + 1, (devices, LENGTH), generator=generator)
    trained = (torch.rand(devices, LENGTH, generator=generator) < 0.8).float()
    clash = torch.rand(devices, LENGTH, NEGATIVES, generator=generator) < 0.1
    positive = torch.randn(devices, LENGTH, DIM, generator=generator)
    return TrainingExamples(inputs, positive, torch.randn(devices, NEGATIVES, DIM, generator=generator), clash, trained)


def trained(form: AdapterForm, all_examples: TrainingExamples, devices: np.ndarray, softmax: bool) -> dict[str, Tensor]:
    own = {name: tensor[None].repeat(len(devices), *[1] * tensor.ndim) for name, tensor in form.initial.items()}
    return train_in_tiles(
        form, own, lambda places: all_examples.take(torch.from_numpy(devices[places])), devices, 4, 0.1, softmax
    )


def trained_alone(form: AdapterForm, example: TrainingExamples, softmax: bool) -> dict[str, Tensor]:
    """Ordinary autograd on the ordinary module, one device, losses as sums over positions in a loop."""
    parameters = dict(form.module.named_parameters())
    own = {name: parameters[name] for name in form.initial}
    for name, tensor in own.items():
        tensor.data.copy_(form.initial[name])
        tensor.requires_grad_(True)
    for _ in range(4):
        states = form.module(example.inputs[0])
        total = torch.zeros(())
        for position in range(LENGTH):
            if not example.trained[0, position]:
                continue
            right = states[position] @ example.positive[0, position]
            kept = [n for n in range(NEGATIVES) if not example.clash[0, position, n]]
            wrong = torch.stack([states[position] @ example.negative[0, n] for n in kept])
            if softmax:
                total = total - torch.log_softmax(torch.cat((right[None], wrong)), dim=0)[0]
            else:
                terms = -torch.nn.functional.logsigmoid(right) - torch.nn.functional.logsigmoid(-wrong).sum()
                total = total + terms / (1 + NEGATIVES)
        gradients = torch.autograd.grad(total / example.trained[0].sum(), list(own.values()))
        with torch.no_grad():
            for tensor, gradient in zip(own.values(), gradients, strict=True):
                tensor -= 0.1 * gradient
    result = {name: tensor.detach().clone() for name, tensor in own.items()}
    form.module.requires_grad_(False)
    for name, tensor in own.items():
        tensor.data.copy_(form.initial[name])
    return result


@pytest.mark.parametrize(("kind", "adapter"), KINDS)
@pytest.mark.parametrize("softmax", [True, False])
def test_stacked_training_is_each_device_trained_alone(kind: str, adapter: dict[str, Any], softmax: bool) -> None:
    form = form_of(kind, adapter)
    given = examples(form, 5)
    together = trained(form, given, np.arange(5), softmax)
    for device in range(5):
        alone = trained_alone(form, given.take(torch.tensor([device])), softmax)
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name][device], tensor, atol=5e-5, rtol=0)
    moved = max(float((together[name] - start).abs().max()) for name, start in form.initial.items())
    assert moved > 0.01


@pytest.mark.parametrize(("kind", "adapter"), KINDS)
def test_company_changes_no_bit_of_what_a_device_learns(kind: str, adapter: dict[str, Any]) -> None:
    form = form_of(kind, adapter)
    given = examples(form, TILE + 20)
    everyone = trained(form, given, np.arange(TILE + 20), True)
    few = np.array([TILE + 3, 7, 3])
    some = trained(form, given, few, True)
    for name in form.initial:
        assert torch.equal(some[name], everyone[name][torch.from_numpy(few)])


def test_adapted_states_are_exact_on_the_grid_whatever_the_company() -> None:
    generator = torch.Generator().manual_seed(1)
    grid = 2.0**-16
    states = (torch.randn(40, DIM, generator=generator).double() / grid).round() * grid
    for kind, adapter in KINDS[:3]:
        form = form_of(kind, adapter)
        own = trained(form, examples(form, 40), np.arange(40), True)
        adapted = apply_exactly(form, own, states)
        assert torch.equal((adapted / grid).round() * grid, adapted)
        for row in (0, 17):
            one = {name: tensor[row : row + 1] for name, tensor in own.items()}
            assert torch.equal(apply_exactly(form, one, states[row : row + 1])[0], adapted[row])
            if isinstance(form.module, LowRankMap):
                plain = states[row] + own["up"][row].double() @ (own["down"][row].double() @ states[row])
                torch.testing.assert_close(adapted[row], plain, atol=1e-3, rtol=0)


def test_an_adapter_that_has_not_learnt_changes_nothing() -> None:
    windows = torch.randint(1, ITEMS + 1, (9, LENGTH), generator=torch.Generator().manual_seed(2))
    windows[3, 4:] = 0
    for kind, adapter in KINDS[3:]:
        form = form_of(kind, adapter)
        own = {name: tensor[None].repeat(9, *[1] * tensor.ndim) for name, tensor in form.initial.items()}
        states = states_inside(form, own, windows, np.arange(9))
        last = (windows > 0).sum(dim=1) - 1
        torch.testing.assert_close(states, small_model(kind).states(windows)[torch.arange(9), last], atol=1e-4, rtol=0)


def test_the_written_out_gru_is_pytorchs() -> None:
    torch.manual_seed(4)
    gru = torch.nn.GRU(5, 5, 2, batch_first=True)
    x = torch.randn(3, 7, 5)
    torch.testing.assert_close(plain_gru(gru, x), gru(x)[0], atol=1e-6, rtol=1e-5)


def test_an_adapter_of_a_module_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InputError, match=r"no sub-module 'blocks\.7' to adapt; it has .*blocks\.0"):
        form_of("sasrec", {"kind": "module", "name": "blocks.7"})
    with pytest.raises(InputError, match="no sub-module 'embedding'"):
        form_of("sasrec", {"kind": "module", "name": "embedding"})


def test_threads_leave_attention_as_they_found_it() -> None:
    """Which attention PyTorch takes is a setting of the process: last bits of all that is computed later hang on it."""
    form, devices, before = form_of("sasrec", {"kind": "bias"}), np.arange(4 * TILE), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in range(5):
            trained(form, examples(form, len(devices)), devices, False)
            assert torch.backends.cuda.flash_sdp_enabled()
    finally:
        torch.set_num_threads(before)
