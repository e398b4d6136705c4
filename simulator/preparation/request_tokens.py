"""Tokens of a request as the model behind the lists reads and writes them, where that is known.

Of a model on titles by a sample of its answers, of a P5 by its ids; of everything else by the scenario (`llm.prompt`,
`llm.generation`). A table's own columns go first; they are read where requests are served.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.llm.titles import prompt_of
from fleetrec.simulator.cloud.tokens import RequestTokens, llm_request_tokens
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

SAMPLE = 64
"""answers on which a title model's tokens are measured"""
CHARACTERS_PER_TOKEN = 4.0
"""where answers do not tell their tokens"""


@dataclass(frozen=True)
class RequestMeter:
    """Tokens of a request of a user (a place in the log) whose newest interaction is at a step."""

    of: Callable[[int, int], RequestTokens]
    own: bool
    """whether they are the model's own, not the scenario's `llm.prompt` and `llm.generation`"""
    notes: Callable[[], list[Note]]
    """where they come from; none where the scenario alone says them"""
    by_step: bool = True
    """whether they hang on the step alone"""


def request_meter(llm: sections.Llm, prepared: Prepared, source: CandidateSource) -> RequestMeter:
    """How the tokens of requests are counted."""
    prompt = llm.candidates.title_prompt()
    if prompt is not None:
        return _of_titles(prompt, prepared, source)
    ids = getattr(source, "id_tokens", None)
    if ids is not None and llm.generation is None:
        own = note("tokens", "tokens: those of the ids that the p5 reads and of a beam each that it writes")
        return RequestMeter(lambda user, step: RequestTokens(*ids(step + 1)), True, lambda: [own])
    by_scenario = cache(lambda n_history: llm_request_tokens(llm, n_history))
    said = "tokens: as llm.generation ({generation}) and llm.prompt say, not the p5's own; remove llm.generation"
    notes = [] if ids is None else [note("tokens_not_own", said, generation=llm.generation)]
    return RequestMeter(lambda user, step: by_scenario(step + 1), False, lambda: notes)


def _of_titles(section: sections.TitlePrompt, prepared: Prepared, source: CandidateSource) -> RequestMeter:
    log, repeats = prepared.trained.split.log, not prepared.inputs.lists.hides_seen
    numbers = prepared.trained.histories.numbers
    titles = log.titles or ()

    def characters(user: int, step: int) -> int:
        begin = int(log.offsets[user])
        return len(prompt_of(section, titles, log.items[begin : begin + step + 1].tolist(), repeats))

    @cache  # asked for with the first request: a policy that never asks needs no answer
    def sample() -> tuple[float, Ints, Note]:
        """Tokens a character of prompts, tokens of answers, and where both come from."""
        population = prepared.population
        _, device = np.unique(numbers[population.users], return_index=True)
        some = device[np.sort(Draws(0).first_of(SAMPLE, len(device), "llm.tokens.sample"))]
        users, as_of = population.users[some], np.maximum(population.first_step[some] - 1, 0)
        lists = source.lists(users, as_of)
        assert lists.prompt_tokens is not None
        assert lists.output_tokens is not None
        lengths = np.array([characters(int(u), int(k)) for u, k in zip(users, as_of, strict=True)], dtype=np.float64)
        read, wrote = np.isfinite(lists.prompt_tokens), np.isfinite(lists.output_tokens)
        rate = lists.prompt_tokens[read].sum() / lengths[read].sum() if read.any() else 1.0 / CHARACTERS_PER_TOKEN
        answers = np.maximum(lists.output_tokens[wrote], 1).astype(np.int64)
        where, measured = "answers measured: {measured}", len(answers)
        if not len(answers):
            line = np.mean([len(title) for title in titles if title]) + 1.0
            answers = np.array([ceil(section.titles * line / CHARACTERS_PER_TOKEN)])
            where = f"the answers do not tell theirs, so {CHARACTERS_PER_TOKEN:g} characters are taken for a token"
        told = note(
            "tokens_measured",
            f"tokens: a request reads about {{prompt:.0f}} and writes {{output:.0f}}; {where}",
            prompt=float((lengths * rate).mean()),
            output=float(answers.mean()),
            measured=measured,
        )
        return float(rate), answers, told

    def of(user: int, step: int) -> RequestTokens:
        rate, answers, _ = sample()
        drawn = int(Draws(0).uniform_one("llm.tokens", int(numbers[user]), step) * len(answers))
        return RequestTokens(ceil(characters(user, step) * rate), int(answers[drawn]), 1)

    return RequestMeter(of, True, lambda: [sample()[2]], by_step=False)
