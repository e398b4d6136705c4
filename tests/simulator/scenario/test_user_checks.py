"""What makes no sense with users who react, or is not simulated with them, is one line."""

from typing import Any

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import check_scenario
from tests.simulator.reacting import reacting


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"policy": {"request": {"kind": "oracle_dp", "ratio": 0.2}}}, "policy.request"),
        ({"llm": {"candidates": {"kind": "table", "path": "answers.parquet"}}}, "llm.candidates"),
        ({"workload": {"users": {"kind": "choice", "organic": 0, "skip": 99}}}, "workload.users.skip"),
        (
            {"workload": {"users": {"kind": "choice", "patience": 1e6, "returns": 99, "churns": -99}}},
            "workload.users.patience",
        ),
    ],
    ids=str,
)
def test_it_is_refused_with_the_key_that_says_it(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(InputError) as told:
        check_scenario(reacting(**changes))
    assert str(told.value).startswith(f"{key}: ")
    assert "\n" not in str(told.value)


def test_the_world_itself_is_fine() -> None:
    check_scenario(reacting())
