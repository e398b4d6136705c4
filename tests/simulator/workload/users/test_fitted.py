"""A fitted model's utilities are those of its network, whatever else is asked with them."""

import numpy as np
import pytest
import torch

from fleetrec.models.users.choice_model import ChoiceModel, Had, Histories, block
from fleetrec.simulator.workload.users.fitted import FittedUsers
from fleetrec.simulator.workload.users.utility import Laws, Moments, Past, largest

N_ITEMS, USERS = 40, 30
RNG = np.random.default_rng(1)
LENGTHS = RNG.integers(1, 80, size=USERS)
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
ITEMS = RNG.integers(N_ITEMS, size=OFFSETS[-1])
TIMES = np.concatenate([np.cumsum(RNG.choice([0.0, 30, 600, 9_000], size=n)) for n in LENGTHS])
PAST = Past(np.arange(USERS), OFFSETS, ITEMS, TIMES)


@pytest.fixture(scope="module")
def network() -> ChoiceModel:
    torch.manual_seed(1)
    model = ChoiceModel(N_ITEMS, RNG.random(N_ITEMS) + 0.1)
    for parameter in (model.had, model.since, model.had_by_length, model.had_by_popularity):
        torch.nn.init.normal_(parameter, std=0.5)
    for buffer in (model.new_offset, model.had_offset):
        buffer.normal_(std=0.3)
    return model.eval()


@pytest.fixture(scope="module")
def model(network: ChoiceModel) -> FittedUsers:
    return FittedUsers({name: values.numpy() for name, values in network.state_dict().items()}, Laws())


def moments(users: np.ndarray, after_s: float = 100.0) -> Moments:
    nothing = np.zeros_like(users)
    return Moments(users, nothing, nothing, TIMES[OFFSETS[users + 1] - 1] + after_s)


def test_utilities_are_the_networks_to_its_rounding(network: ChoiceModel, model: FittedUsers) -> None:
    found = model.catalogue(model.initial(PAST), moments(np.arange(USERS)))
    for user in range(USERS):
        mine = slice(OFFSETS[user], OFFSETS[user + 1])
        items, away_s = np.append(ITEMS[mine], 0), np.append(np.diff(TIMES[mine], prepend=-np.inf), 100.0)
        one = block(Histories(np.array([0, len(items)]), items, away_s, N_ITEMS), 0, len(items) - 1, len(items))
        row, item, kind, log_length = map(torch.from_numpy, one.had)
        with torch.no_grad():
            states = network.states(torch.from_numpy(one.items)[None], torch.from_numpy(one.away)[None])[0]
            wanted = network.logits(states[one.first :], Had(row, item, kind, log_length.float()))[0]
        assert found[user] - np.log(N_ITEMS) == pytest.approx(wanted.numpy(), abs=0.01)


def test_a_utility_is_the_same_in_the_catalogue_and_in_any_company(model: FittedUsers) -> None:
    state, at = model.initial(PAST), moments(np.arange(USERS))
    whole = model.catalogue(state, at)
    items = RNG.integers(-1, N_ITEMS, size=(USERS, 7))
    some = model.of(state, at, items)
    assert (some[items < 0] == -np.inf).all()
    assert (np.take_along_axis(whole, np.maximum(items, 0), 1)[items >= 0] == some[items >= 0]).all()
    for users in ([3], [20, 3], list(range(29, -1, -1))):
        rows = np.array(users)
        assert (model.catalogue(state[rows], at.take(rows)) == whole[rows]).all()
        assert (model.of(state[rows], at.take(rows), items[rows]) == some[rows]).all()
    hidden = np.random.default_rng(2).random(whole.shape) < 0.4
    assert (model.best(state, at, hidden, 4) == largest(np.where(hidden, -np.inf, whole), 4)).all()


def test_a_history_that_grows_is_one_that_was_there(model: FittedUsers) -> None:
    users = np.flatnonzero((LENGTHS > 1) & (LENGTHS < 80))
    ends = OFFSETS[users + 1]
    kept = [np.arange(OFFSETS[u], OFFSETS[u + 1] - 1) for u in users]
    at = np.concatenate(kept)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in kept])])
    state = model.initial(Past(users, offsets, ITEMS[at], TIMES[at]))
    before, some, nothing = state.copy(), np.arange(1, len(users)), np.zeros(len(users) - 1, dtype=np.int64)
    at_ends = Moments(users[1:], nothing, nothing, TIMES[ends - 1][1:])
    model.advance(state, some, at_ends, ITEMS[ends - 1][1:])
    assert (state[some] == model.initial(PAST)[users[some]]).all()
    assert (state[some] != before[some]).all()
    assert (state[0] == before[0]).all()


def test_users_without_a_past_want_what_is_popular(network: ChoiceModel, model: FittedUsers) -> None:
    state = model.initial(Past(np.zeros(1, int), np.zeros(2, int), np.zeros(0, int), np.zeros(0)))
    nothing = np.zeros(1, dtype=np.int64)
    found = model.catalogue(state, Moments(nothing, nothing, nothing, np.zeros(1)))[0]
    popular = (network.before + network.since + network.new_offset).detach().numpy()
    assert found == pytest.approx(popular + np.log(N_ITEMS), abs=1e-3)
