"""What a threshold rests on: enough held-out decisions, or a line that says what is missing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.policies.counterfactual import Decisions
from fleetrec.simulator.preparation.held_out import HeldOut, enough, scarce, with_lists


class Half:
    """Lists of even positions, and of every position of user 1."""

    name, list_length, content_hash = "half", 2, "half"

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        found = (as_of % 2 == 0) | (users == 1)
        return CandidateLists(np.zeros((len(users), 2), dtype=np.int32), found, as_of)


def test_decisions_end_before_the_first_list_that_a_table_lacks() -> None:
    """User 0 has lists of 4, 6, ...; user 1 of all; user 2 none of 5, with which it would begin."""
    held_out = Decisions(np.array([0, 1, 2]), np.array([4, 4, 5]), np.array([3, 3, 3]), np.array([3, 3, 4]))
    left = with_lists(held_out, Half())
    assert left.users.tolist() == [0, 1]
    assert left.count.tolist() == [1, 3]
    assert left.begins_with.tolist() == [-1, 3]


def held_out(left: int, n_held_out: int) -> HeldOut:
    """So many decisions of those that were held out."""
    of_a_user: Any = SimpleNamespace(count=np.array([left]))
    unused: Any = None
    return HeldOut(of_a_user, unused, unused, unused, n_held_out)


def test_a_threshold_that_rests_on_little_is_refused_or_said() -> None:
    with pytest.raises(InputError, match=r"has lists for 3 of the 400 held-out decisions .* or give a threshold"):
        enough(held_out(3, 400), "policy.request.ratio", "give a threshold")
    with pytest.raises(InputError, match=r"the log holds out 3 decisions .* use a longer log, or give a threshold"):
        enough(held_out(3, 3), "policy.request.ratio", "give a threshold")
    enough(held_out(150, 400), "policy.request.ratio", "give a threshold")
    (found,) = scarce(held_out(150, 400))
    assert found.text.startswith("the policy is calibrated on 150 of 400 held-out decisions")
    assert scarce(held_out(250, 400)) == []
