"""Users who replay are written as the word that they are."""

from fleetrec.simulator.scenario.sections import Workload
from fleetrec.simulator.workload.user_kinds.replay import ReplayUsers


def test_users_replay_the_log_where_nobody_says_otherwise() -> None:
    assert Workload().users == ReplayUsers() == Workload.model_validate({"users": "replay"}).users
    assert not Workload().users.reacts
