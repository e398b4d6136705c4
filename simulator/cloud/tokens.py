"""How many tokens one recommendation request costs, by how the LLM answers (design, section 4)."""

from math import ceil
from typing import Literal, NamedTuple

from fleetrec.simulator.scenario.sections import Llm, Prompt


class RequestTokens(NamedTuple):
    """Tokens of the prompt, tokens that each sequence generates, and how many sequences (beams) generate."""

    prompt_tokens: int
    output_tokens: int
    sequences: int


def history_window(prompt: Prompt, n_history: int) -> tuple[int, int]:
    """(first item, end) of a history of `n_history` items that a prompt holds.

    sliding: the newest `history` items, so the prompt's beginning changes with every item. blocks: the window grows to
    `history` items and then drops its older half, so that most prompts begin as the one before did.
    """
    beyond = n_history - prompt.history
    if beyond <= 0:
        return 0, n_history
    if prompt.window == "sliding":
        return beyond, n_history
    half = max(prompt.history // 2, 1)
    return ceil(beyond / half) * half, n_history


def history_tokens(prompt: Prompt, n_history: int) -> int:
    """Tokens of the instruction and of the history in a prompt."""
    first, end = history_window(prompt, n_history)
    return prompt.instruction_tokens + ceil((end - first) * prompt.tokens_per_item)


def history_prefix(prompt: Prompt, n_history: int) -> tuple[int, int]:
    """Where the history in a prompt begins, and the tokens up to its end: prompts of a device that begin alike share
    that prefix."""
    return history_window(prompt, n_history)[0], history_tokens(prompt, n_history)


def generation_of(llm: Llm) -> Literal["list", "beam", "score"]:
    """How requests are answered: as the scenario says, else as the candidates are made."""
    return llm.generation or llm.candidates.generation


def llm_request_tokens(llm: Llm, n_history: int) -> RequestTokens:
    """Tokens of a request that sends a history of `n_history` items.

    list: the answer spells out all items of the list, one after the other. beam: `beams` sequences of one item each.
    score: nothing is generated; one prefill reads the prompt and the text of every candidate.
    """
    prompt = history_tokens(llm.prompt, n_history)
    generation = generation_of(llm)
    if generation == "list":
        return RequestTokens(prompt, ceil(llm.list_length * llm.output_tokens_per_item), 1)
    if generation == "beam":
        return RequestTokens(prompt, ceil(llm.output_tokens_per_item), llm.beams)
    return RequestTokens(prompt + ceil(llm.list_length * llm.prompt.tokens_per_item), 0, 1)


def longest_request(llm: Llm) -> RequestTokens:
    """Tokens of the longest request that a scenario can make."""
    return llm_request_tokens(llm, llm.prompt.history)
