"""User states in machine code are PyTorch's, to the last bit: one test drives both."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fleetrec.models.prefixes import prefix_states
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.simulator.core.machine_code import machine_code
from fleetrec.simulator.ranking import quick_states
from tests.models.srm_cases import random_log

ITEMS = 60
MODELS = {
    "sasrec, two layers": lambda: SasRec(ITEMS, 64, 50, 2, 2, 0.1),
    "sasrec, one head, short windows": lambda: SasRec(ITEMS, 32, 14, 1, 1, 0.1),
    "gru4rec": lambda: Gru4Rec(ITEMS, 32, 20, 1, 0.1),
    "gru4rec, two layers": lambda: Gru4Rec(ITEMS, 64, 16, 2, 0.1),
}

with_lanes = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="machine code of states is for AVX-512"
)


def _model(name: str) -> StateModel:
    """Weights as large as trained ones are, all of them different."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model: StateModel = MODELS[name]()
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights) * 0.1)
    return model.eval()


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine code, however few states are asked for."""
    monkeypatch.setattr(quick_states, "_TRIED", {})
    for demand in quick_states.DEMANDS.values():
        monkeypatch.setattr(demand, "_code", machine_code(demand._name, ""))


@with_lanes
@pytest.mark.parametrize("name", MODELS)
def test_states_in_machine_code_are_those_of_pytorch(name: str, at_hand: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_states, "_PER_CALL", 40)
    model = _model(name)
    offsets, items = random_log(users=90, n_items=ITEMS, longest=120, seed=2)
    first = np.random.default_rng(3).integers(0, np.diff(offsets) + 1)  # some at the end of their log
    users = np.flatnonzero(np.arange(90) % 7)
    expected, rows = prefix_states(model, offsets, items, first, users)
    found, quick_rows = prefix_states(model, offsets, items, first, users, quick=quick_states.quick_states)
    assert list(quick_states._TRIED.values()) == [True]
    np.testing.assert_array_equal(quick_rows, rows)
    assert len(found) > 1_000
    assert torch.equal(found, expected)


@with_lanes
@pytest.mark.parametrize("name", ["sasrec, one head, short windows", "gru4rec"])
def test_a_state_that_is_too_large_is_said(name: str, at_hand: None) -> None:
    model = _model(name)
    assert quick_states.quick_states(model, 10) is not None
    with torch.no_grad():
        next(model.norm_out.parameters()).fill_(torch.nan)
    offsets, items = random_log(users=3, n_items=ITEMS, longest=20, seed=2)
    with pytest.raises(InputError, match="not below 16"):
        prefix_states(model, offsets, items, np.zeros(3, dtype=np.int64), quick=quick_states.quick_states)


@with_lanes
def test_where_one_bit_differs_pytorch_computes_all(at_hand: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("gru4rec")
    code = quick_states.DEMANDS[Gru4Rec]._code
    assert code is not None

    def nearly(*given: object) -> bool:
        good, states = code.encode(*given), given[-2]
        assert isinstance(states, np.ndarray)
        one = np.flatnonzero(states)[:1]
        states[one] = np.nextafter(states[one], np.float32(np.inf))
        return bool(good)

    monkeypatch.setattr(quick_states.DEMANDS[Gru4Rec], "_code", SimpleNamespace(encode=nearly))
    assert quick_states.quick_states(model, 10) is None


def test_networks_of_other_forms_are_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    for demand in quick_states.DEMANDS.values():
        monkeypatch.setattr(demand, "code", lambda more: pytest.fail("machine code was asked for"))
    written_out = Gru4Rec(ITEMS, 32, 10, 1, 0.1)
    written_out.written_out()
    others = Gru4Rec(ITEMS, 24, 10, 1, 0.1), SasRec(ITEMS, 64, 50, 1, 4, 0.1), SasRec(ITEMS, 32, 10, 1, 1, 0.1)
    for model in (written_out, *others):
        assert quick_states.quick_states(model, 1_000_000) is None
