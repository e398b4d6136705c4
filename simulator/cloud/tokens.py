"""How many tokens one recommendation request costs, by how the LLM answers (design, section 4)."""

from math import ceil
from typing import NamedTuple

from simulator.scenario.sections import Llm


class RequestTokens(NamedTuple):
    """Tokens of the prompt, tokens that each sequence generates, and how many sequences (beams) generate."""

    prompt_tokens: int
    output_tokens: int
    sequences: int


def llm_request_tokens(llm: Llm, n_history: int) -> RequestTokens:
    """Tokens of a request that sends a history of `n_history` items (the prompt holds the newest `prompt.history`).

    list: the answer spells out all items of the list, one after the other. beam: `beams` sequences of one item each.
    score: nothing is generated; one prefill reads the prompt and the text of every candidate.
    """
    prompt = llm.prompt.instruction_tokens + ceil(min(n_history, llm.prompt.history) * llm.prompt.tokens_per_item)
    if llm.generation == "list":
        return RequestTokens(prompt, ceil(llm.list_length * llm.output_tokens_per_item), 1)
    if llm.generation == "beam":
        return RequestTokens(prompt, ceil(llm.output_tokens_per_item), llm.beams)
    return RequestTokens(prompt + ceil(llm.list_length * llm.prompt.tokens_per_item), 0, 1)
