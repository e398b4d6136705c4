"""The world of users who react: it knows the log up to their first step, and becomes the log that they lived."""

import numpy as np
import pytest

from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import World, build_world
from fleetrec.simulator.preparation.closed_loop import grown, lived, past_of
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.scenario import Scenario
from tests.simulator.reacting import _store, reacting

DEVICES, USERS = 24, 16


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """More devices than users, who rank the catalogue themselves."""
    return reacting(fleet={"devices": DEVICES}, policy={"slate": "srm", "request": "never"})


@pytest.fixture(scope="module")
def before(scenario: Scenario) -> Prepared:
    return prepare(scenario, "cpu", NullProgress(), _store())


@pytest.fixture(scope="module")
def now(before: Prepared) -> Prepared:
    return grown(before, "cpu", NullProgress())


@pytest.fixture(scope="module")
def world(scenario: Scenario, before: Prepared, now: Prepared) -> World:
    """After its run."""
    made = build_world(scenario, now, Tuned(), None, before=before)
    run(made, scenario, now, NullProgress())
    return made


def test_devices_that_share_a_user_have_a_history_each(before: Prepared, now: Prepared) -> None:
    users, places = now.population.users, before.population.users
    assert len(np.unique(users)) == DEVICES > len(np.unique(places))
    kept = users < before.trained.split.log.n_users
    assert (users[kept] == places[kept]).all()
    assert (now.trained.split.log.user_ids[users] == before.trained.split.log.user_ids[places]).all()


def test_nothing_is_known_of_what_comes_next(before: Prepared, now: Prepared) -> None:
    log, histories = before.trained.split.log, now.trained.histories
    for device, (user, place) in enumerate(zip(now.population.users, before.population.users, strict=True)):
        known, start = now.population.first_step[device], histories.offsets[user]
        begun = log.offsets[place]
        assert (histories.items[start : start + known] == log.items[begun : begun + known]).all()
        assert (histories.items[start + known : histories.offsets[user + 1]] == -1).all()


def test_what_users_had_before_is_in_order_and_before_the_run(before: Prepared) -> None:
    past = past_of(before)
    assert np.diff(past.offsets).tolist() == before.population.first_step.tolist()
    assert (past.times <= 0).all()
    owner = np.repeat(np.arange(DEVICES), np.diff(past.offsets))
    assert (np.diff(past.times)[np.diff(owner) == 0] >= 0).all()


def test_after_a_run_the_log_is_what_its_users_did(before: Prepared, now: Prepared, world: World) -> None:
    assert world.reactions is not None
    told = world.recorder.finish()["interactions"].to_pandas()
    after = lived(before, now, world.reactions.streamed)
    log, users = after.trained.split.log, after.population.users[told["device"]]
    assert len(told) > 40
    assert (log.items[log.offsets[users] + told["step"]] == told["item"]).all()
    assert log.n_events == now.trained.histories.lengths.sum()
    assert (after.population.stream.t_s == told["t_s"]).all()
