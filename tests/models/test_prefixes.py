"""All prefixes in one pass: the same as one prefix at a time, and the same whoever asks."""

import numpy as np
import pytest
import torch

from fleetrec.models.prefixes import pair_logits, prefix_states, rounded, rounded_item_vectors
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import windows_at
from fleetrec.models.srm.base import SmallModel, StateModel
from fleetrec.simulator.scenario.sections import Srm
from tests.models.srm_cases import KINDS, random_log

N_ITEMS = 40
STATE_KINDS = [config for config in KINDS if config.kind != "din"]


def _model(config: Srm) -> SmallModel:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = config.network(N_ITEMS, 2)
        with torch.no_grad():  # larger than at the start of training, so that history matters
            model.embedding.weight[1:] *= 20
    return model.eval()


@pytest.mark.parametrize("config", STATE_KINDS, ids=lambda config: config.kind)
def test_states_of_one_pass_equal_those_of_one_prefix_at_a_time_across_re_anchorings(config: Srm) -> None:
    offsets, items = random_log(users=12, n_items=N_ITEMS, longest=25)
    assert np.diff(offsets).max() > 2 * config.max_length
    model = _model(config)
    assert isinstance(model, StateModel)
    first = np.minimum(np.arange(12) % 4, np.diff(offsets))
    states, rows = prefix_states(model, offsets, items, first, tile=8)
    assert rows[-1] == len(states) == (np.diff(offsets) - first).sum()
    for user in range(12):
        for position in range(first[user], offsets[user + 1] - offsets[user]):
            # the window by hand: as many items as fit, dropped in blocks of half a window
            start = 0
            while position - start >= 8:
                start += 4
            window = torch.from_numpy(items[offsets[user] + start : offsets[user] + position + 1].astype(np.int64) + 1)
            with torch.no_grad():
                alone = model.states(window[None])[0, -1].numpy()
            assert np.abs(states[rows[user] + position - first[user]].numpy() - alone).max() < 1e-4


def test_din_scores_of_one_window_equal_those_of_many() -> None:
    offsets, items = random_log(users=6, n_items=N_ITEMS, longest=25)
    model = _model(KINDS[2])
    users = np.repeat(np.arange(6), np.diff(offsets))
    positions = np.arange(offsets[-1]) - offsets[users]
    windows = windows_at(offsets, items, users, positions, 8)
    candidates = np.random.default_rng(1).integers(0, N_ITEMS, (len(windows), 10))
    together = pair_logits(model, windows, candidates, users)
    for row in range(len(windows)):
        size = int((windows[row] > 0).sum())
        unpadded = torch.from_numpy(windows[row : row + 1, :size])
        with torch.no_grad():
            of = torch.from_numpy(candidates[row : row + 1]), torch.from_numpy(users[row : row + 1])
            alone = model.window_logits(unpadded, *of)[0].numpy()
        assert np.abs(together[row] - alone).max() < 1e-4
        only = windows[row : row + 1], candidates[row : row + 1], users[row : row + 1]
        assert (pair_logits(model, *only) == together[row]).all()
    assert together.std() > 0.01


@pytest.mark.parametrize("config", STATE_KINDS, ids=lambda config: config.kind)
def test_states_do_not_depend_on_who_else_is_asked_nor_from_where(config: Srm) -> None:
    offsets, items = random_log(users=50, n_items=N_ITEMS, longest=30, seed=4)
    model = _model(config)
    everyone, rows = prefix_states(model, offsets, items, np.zeros(50, dtype=np.int64), tile=16)
    first = np.minimum(np.diff(offsets), 5)
    for asked in ([7], [49, 3, 20], list(range(0, 50, 2))):
        some, some_rows = prefix_states(model, offsets, items, first, np.array(asked), tile=16)
        assert some_rows[-1] == sum(int(np.diff(offsets)[u] - first[u]) for u in asked)
        for user in asked:
            mine = some[some_rows[user] : some_rows[user + 1]]
            assert torch.equal(mine, everyone[rows[user] + first[user] : rows[user + 1]])


def test_states_do_not_depend_on_what_follows_them() -> None:
    offsets, items = random_log(users=10, n_items=N_ITEMS, longest=30, seed=5)
    model = _model(KINDS[0])
    changed = items.copy()
    last = offsets[1:] - 1
    changed[last] = (items[last] + 1) % N_ITEMS
    first = np.zeros(10, dtype=np.int64)
    (before, rows), (after, _) = (prefix_states(model, offsets, log, first) for log in (items, changed))
    before, after = before.numpy(), after.numpy()
    same = np.ones(len(items), dtype=bool)
    same[rows[1:] - 1] = False
    assert np.array_equal(before[same], after[same])
    assert (before[~same] != after[~same]).any(axis=1).all()


def test_dot_products_of_rounded_vectors_are_exact_in_any_order() -> None:
    model = _model(KINDS[0])
    offsets, items = random_log(users=5, n_items=N_ITEMS, longest=20)
    states = prefix_states(model, offsets, items, np.zeros(5, dtype=np.int64))[0].numpy()
    vectors = rounded_item_vectors(model).numpy()
    assert (np.rint(states * 2.0**16) == states * 2.0**16).all()
    order = np.random.default_rng(0).permutation(model.dim)
    forward = states.astype(np.float64) @ vectors.T.astype(np.float64)
    shuffled = states[:, order].astype(np.float64) @ vectors[:, order].T.astype(np.float64)
    assert np.array_equal(forward, shuffled)


def test_a_value_of_sixteen_or_no_number_is_refused() -> None:
    assert rounded(torch.tensor([15.9999, -15.9999]), "a state").dtype == torch.float32
    for bad in (16.0, -17.0, np.nan, np.inf):
        with pytest.raises(InputError, match="not below 16"):
            rounded(torch.tensor([0.0, bad]), "a state")


def test_nobody_asked_gives_no_rows() -> None:
    offsets, items = random_log(users=4, n_items=N_ITEMS, longest=9)
    states, rows = prefix_states(_model(KINDS[0]), offsets, items, np.diff(offsets))
    assert states.shape == (0, 16)
    assert rows.tolist() == [0, 0, 0, 0, 0]


def test_memory_that_ends_while_users_are_encoded_is_one_line_that_says_what_to_lower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    offsets, items = random_log(users=4, n_items=N_ITEMS, longest=9)
    model = _model(KINDS[0])
    monkeypatch.setattr(model, "states", no_memory)
    with pytest.raises(InputError, match="user states of sasrec: out of memory; lower its dim") as error:
        prefix_states(model, offsets, items, np.zeros(4, dtype=np.int64))
    assert "\n" not in str(error.value)
