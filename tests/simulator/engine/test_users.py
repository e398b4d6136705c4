"""Who has a device: a user of the log has its items at their rows, whatever is on the screen."""

import numpy as np

from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine.users import Replay
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import prepare
from tests.simulator.reacting import _store, lives, reacting, replayed


def test_a_user_of_the_log_has_an_item_at_every_row_of_a_moment_and_comes_to_the_next() -> None:
    scenario = reacting(policy={"slate": "srm", "request": "never"}, workload={"users": {"kind": "replay"}})
    device = build_world(scenario, prepare(scenario, "cpu", NullProgress(), _store()), Tuned(), None).devices[0]
    assert Replay().meet(device, device.row, device.row + 1, device.shown_slate) == (1, device.row + 1)
    assert Replay().meet(device, device.row, device.row + 4, device.shown_slate) == (4, device.row + 4)


def test_users_of_the_log_do_the_same_under_every_policy_and_users_who_choose_do_not() -> None:
    kinds = [{"request": {"kind": kind}} for kind in ("always", "never")]
    one, other = (replayed(reacting(policy=policy))["interactions"]["item"] for policy in kinds)
    assert one.equals(other)
    one, other = (lives(reacting(policy=policy))["interactions"]["item"] for policy in kinds)
    assert not np.array_equal(one, other)
