"""Tokens of a request, by how the LLM answers."""

import pytest

from fleetrec.simulator.cloud.tokens import llm_request_tokens
from fleetrec.simulator.scenario.sections import Llm, Prompt


@pytest.mark.parametrize(
    ("generation", "n_history", "expected"),
    [
        ("list", 10, (60 + 80, 400, 1)),
        ("list", 500, (60 + 800, 400, 1)),
        ("beam", 10, (60 + 80, 8, 20)),
        ("score", 10, (60 + 80 + 400, 0, 1)),
    ],
)
def test_the_way_of_answering_decides_the_tokens(generation, n_history, expected):
    llm = Llm(generation=generation, beams=20, list_length=50, prompt=Prompt(tokens_per_item=8, history=100))
    assert llm_request_tokens(llm, n_history) == expected


def test_an_empty_history_costs_the_instruction_only():
    assert llm_request_tokens(Llm(), 0).prompt_tokens == 60


def test_fractions_of_a_token_are_rounded_up():
    assert llm_request_tokens(Llm(prompt=Prompt(instruction_tokens=0, tokens_per_item=1.5)), 3).prompt_tokens == 5
