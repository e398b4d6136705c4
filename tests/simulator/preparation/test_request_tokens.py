"""What the language model wrote is what is charged."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fleetrec import RunResult, Scenario, simulate
from fleetrec.models.llm.titles import INSTRUCTION
from fleetrec.models.runtime.artifacts import ArtifactStore
from tests.models.test_endpoint import Server, ok, serve
from tests.simulator.test_evaluation import ITEMS, USERS, circle
from tests.small import noted

__all__ = ["circle", "serve"]  # fixtures


def run(circle: Path, *changes: str) -> RunResult:
    """All devices ask at every decision."""
    settings = ["policy.request=always", f"fleet.devices={USERS}", *changes]
    return simulate(Scenario.load(circle, settings), store=ArtifactStore(circle.parent / "store"))


def asked(result: RunResult) -> pd.DataFrame:
    """Requests that reached the node."""
    return result.requests[result.requests["t_arrived_s"].notna()]


def test_the_usage_of_an_endpoints_answers_is_charged(circle: Path, serve: Callable[..., Server]) -> None:
    url = serve(ok("1. Film 3", prompt_tokens=330, completion_tokens=165)).url
    result = run(circle, f"llm.candidates={{kind: endpoint, url: {url}, model: m}}")
    requests = asked(result)
    assert len(requests) > USERS
    assert set(requests["output_tokens"]) == {165}
    assert requests["prompt_tokens"].between(250, 420).all()  # more where a longer history is shown
    told = noted(result.summary["notes"])["tokens_measured"]
    assert 300 <= told["prompt"] < 400
    assert (told["output"], told["measured"]) == (165.0, 40)
    long = run(circle, f"llm.candidates={{kind: endpoint, url: {url}, model: m}}", "llm.output_tokens_per_item=99")
    assert long.summary["cost"]["usd_marginal"] == result.summary["cost"]["usd_marginal"]


def test_without_usage_four_characters_are_a_token(circle: Path, serve: Callable[..., Server]) -> None:
    url = serve(ok("1. Film 3")).url
    requests = asked(run(circle, f"llm.candidates={{kind: endpoint, url: {url}, model: m, titles: 8}}"))
    line = sum(len(f"Film {n}") for n in range(ITEMS)) / ITEMS + 1
    assert set(requests["output_tokens"]) == {-(-8 * line // 4)}
    shortest = len(INSTRUCTION.replace("{titles}", "8").replace("{history}", ""))
    assert requests["prompt_tokens"].between(shortest / 4, shortest / 4 + 25).all()


def test_a_p5_is_charged_for_its_ids_and_its_beams(circle: Path) -> None:
    p5 = "llm.candidates={kind: p5, dim: 16, layers: 1, heads: 2, epochs: 0, beams: 5}"
    requests = asked(run(circle, p5))
    # Twenty items have ids of two tokens: a history of n items is 2 n of them, an answer 2 on each of 5 beams.
    assert set(requests["output_tokens"]) == {10}
    assert (requests["prompt_tokens"] == 2 * (requests["step"] + 1)).all()
    told = run(circle, p5, "llm.generation=list").summary["notes"]
    assert noted(told)["tokens_not_own"] == {"generation": "list"}
