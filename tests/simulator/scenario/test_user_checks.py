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
        ({"llm": {"quality": {"blend": 0.5, "knows_next": 0.1}}}, "llm.quality.knows_next"),
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


@pytest.mark.parametrize(
    "llm",
    [
        {},
        {"quality": {"blend": 0.5}},
        {"candidates": {"kind": "table", "path": "answers.parquet"}},
        {"candidates": {"kind": "text_lm", "checkpoint": "gpt2"}},
        {"candidates": {"kind": "endpoint", "url": "http://localhost:8000/v1", "model": "m"}},
    ],
    ids=str,
)
def test_lists_of_every_kind_are_fine(llm: dict[str, Any]) -> None:
    check_scenario(reacting(llm=llm))
