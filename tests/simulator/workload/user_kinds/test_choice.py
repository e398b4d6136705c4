"""Keys of users who choose stand in for what their model knows."""

from fleetrec.simulator.workload.user_kinds.choice import ChoiceUsers
from fleetrec.simulator.workload.users.utility import Laws


def test_a_key_that_is_given_stands_in_for_the_models_and_no_other_does() -> None:
    known = Laws(skip=1.5, patience=9.0)
    laws = ChoiceUsers(organic=0.0, skip=3.0).laws(known)
    assert (laws.organic, laws.skip, laws.patience) == (0.0, 3.0, 9.0)


def test_sessions_end_after_the_pause_that_the_scenario_names() -> None:
    assert ChoiceUsers(pause=60.0).pause_s() == 60.0
