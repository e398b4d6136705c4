"""A run whose lists are a user's own LLM's answers: every row of the table and every gap in it shows in the records."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec import RunResult, Scenario, simulate
from fleetrec.models.runtime.errors import InputError
from tests.small import noted

USERS, EVENTS, LAST = 12, 20, 8
SCENARIO = """
name: answers
workload:
  interactions: {path: "${ANSWERS}/log.csv"}
  split: {kind: per_user, last: 8, min_history: 5}
  arrivals: {kind: poisson, per_day: 20}
fleet:
  devices: 12
  preloaded: false
  classes: [{name: phone, share: 1, link: {kind: constant, loss: 0}}]
srm: {kind: gru4rec, dim: 8, layers: 1, max_length: 10, epochs: 0}
llm:
  candidates: {kind: table, path: "${ANSWERS}/answers.parquet"}
  list_length: 5
  served_as: llama-3.1-8b
policy: {request: always}
engine: {threads: 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANSWERS", str(tmp_path))
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path / "cache"))
    items = [np.random.default_rng(user).permutation(40)[:EVENTS] for user in range(USERS)]
    rows = [(f"u{user}", f"i{items[user][k]}", 1.6e9 + 100 * k + user) for user in range(USERS) for k in range(EVENTS)]
    pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    return tmp_path


def run(folder: Path, answered: list[int], *settings: str) -> RunResult:
    """A run with answers for positions `answered` of every user, which took 1.5 s, 77 tokens read, 11 written."""
    rows = [
        (f"u{user}", as_of, f"i{(7 * user + 3 * as_of + rank) % 40}", rank, 77, 11, 1.5)
        for user in range(USERS)
        for as_of in answered
        for rank in range(5)
    ]
    columns = ["user_id", "as_of", "item_id", "rank", "prompt_tokens", "output_tokens", "latency_s"]
    frame = pd.DataFrame(rows, columns=columns)
    known = set(pd.read_csv(folder / "log.csv")["item_id"])
    frame[frame["item_id"].isin(known)].to_parquet(folder / "answers.parquet")
    return simulate(Scenario.load(folder / "scenario.yaml", settings))


EVERY = list(range(EVENTS))
EVEN = [step for step in EVERY if step % 2 == 0]


def test_answers_take_the_time_and_the_tokens_that_the_table_says(folder: Path) -> None:
    requests = run(folder, EVERY).requests
    served = requests[requests["outcome"] == "completed"]
    assert len(served) > 50
    np.testing.assert_allclose(served["t_finished_s"] - served["t_started_s"], 1.5, atol=1e-9)
    assert set(served["prompt_tokens"]) == {77}
    assert set(served["output_tokens"]) == {11}


def test_where_the_table_has_no_answer_the_request_fails_and_is_counted(folder: Path) -> None:
    result = run(folder, EVEN, "llm.candidates.missing=fail_request")
    requests = result.requests[result.requests["outcome"].isin(["completed", "rejected"])]
    assert (requests["outcome"] == "rejected").equals(requests["step"] % 2 == 1)
    rejected = (requests["step"] % 2 == 1).sum()
    assert result.summary["requests"]["rejected"] == result.summary["cloud"]["missing_answers"] == rejected > 20
    assert noted(result.summary["notes"])["missing_answers"] == {"requests": rejected, "then": "rejected"}


def test_an_older_answer_stands_in_with_its_true_age(folder: Path) -> None:
    result = run(folder, EVEN, "llm.candidates.missing=previous")
    shown, asked = result.interactions["as_of"], result.requests
    reached = asked["t_arrived_s"].notna()
    assert result.summary["cloud"]["missing_answers"] == (asked[reached]["step"] % 2 == 1).sum() > 20
    assert set(shown[shown >= 0] % 2) == {0}
    assert (shown >= 0).sum() > 50


def test_where_there_is_no_older_answer_either_the_request_fails_and_the_device_keeps_what_it_has(folder: Path) -> None:
    late = [step for step in EVERY if step >= 15]
    result = run(folder, late, "llm.candidates.missing=previous")
    requests = result.requests[result.requests["outcome"].isin(["completed", "rejected"])]
    assert (requests["outcome"] == "rejected").equals(requests["step"] < 15)
    shown = result.interactions[result.interactions["step"] <= 15]
    assert set(shown["as_of"]) == {-1}
    assert (shown["rank"] >= 0).any()  # the SRM's own slate is still on screen


def test_a_gap_that_is_not_allowed_ends_the_run_with_the_user_and_the_place(folder: Path) -> None:
    with pytest.raises(InputError, match=r"no list for user 'u\d+' as of \d+ .*missing to previous or fail_request"):
        run(folder, EVEN)
