"""Language models on titles: the prompt shows a user's recent titles, the answer is titles, which are then grounded.

Whoever answers (a checkpoint here, an endpoint elsewhere) is a function of prompts; what comes before and after is the
same and lives here. Answers that no item of the catalogue is near are counted, not guessed; what a list lacks is
filled with popular items, or left missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.answers import Parsed, Why, parsed
from fleetrec.models.llm.grounding import Grounding
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet

INSTRUCTION = (
    "A user has chosen these items, oldest first:\n{history}\n\nName {titles} other items that this user is most "
    "likely to choose next, most likely first. Write one title a line and nothing else."
)
WITH_REPEATS = INSTRUCTION.replace("other items", "items, old ones or new ones,")
"""where a user may have an item again"""

Ints = NDArray[np.int64]


class TitlePromptConfig(Protocol):
    """How titles are asked for and taken; the text kinds of `llm.candidates` have these fields."""

    @property
    def instruction(self) -> str | None: ...
    @property
    def history(self) -> int: ...
    @property
    def titles(self) -> int: ...
    @property
    def min_similarity(self) -> float: ...
    @property
    def fill(self) -> Literal["popular", "none"]: ...


class TitledLog(Protocol):
    """What prompts are made of: the log and its titles (simulator.workload.log.InteractionLog is one)."""

    @property
    def offsets(self) -> Ints: ...
    @property
    def items(self) -> NDArray[np.int32]: ...
    @property
    def titles(self) -> tuple[str, ...] | None: ...


class Outcome(IntEnum):
    """How an answer ended; those after CUT_OFF hold no title."""

    WHOLE = 0
    CUT_OFF = 1
    CUT_OFF_EMPTY = 2
    REFUSED = 3
    NO_TITLE = 4
    NO_ANSWER = 5


@dataclass(frozen=True)
class Answer:
    """What a model wrote, and the tokens it took where they are known (else NaN)."""

    text: str
    prompt_tokens: float = float("nan")
    output_tokens: float = float("nan")
    cut: bool = False
    """whether it ended before the model had"""
    refused: bool = False
    """whether the server says that it was refused"""
    lack: str = ""
    """why there is no answer at all"""


class Answerer(Protocol):
    """A model that continues prompts."""

    @property
    def name(self) -> str: ...
    @property
    def content_hash(self) -> str:
        """Of everything that determines its answers."""
        ...

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        """The answer to each prompt, with the prompt's number, as they come: each a function of its prompt alone."""
        ...


def prompt_of(config: TitlePromptConfig, names: Sequence[str], history: Sequence[int], repeats: bool) -> str:
    """The prompt of a user who has had the items `history`, oldest first; of them the newest named ones are shown.

    `repeats`: whether items that the user has had may be named too.
    """
    shown = [names[item] for item in history if names[item]][-config.history :]
    listed = "\n".join(f"{place}. {name}" for place, name in enumerate(shown, start=1))
    instruction = config.instruction or (WITH_REPEATS if repeats else INSTRUCTION)
    return instruction.replace("{titles}", str(config.titles)).replace("{history}", listed)


def popular_items(data: TrainingSet) -> Ints:
    """[I]: all items, those with most events of the training part first, ties by item."""
    counts = np.bincount(data.items[data.events_before(data.valid_end)], minlength=data.n_items)
    return np.argsort(-counts, kind="stable")


class TitleCandidates:
    """Candidate lists of a model that writes titles."""

    def __init__(
        self,
        answerer: Answerer,
        config: TitlePromptConfig,
        log: TitledLog,
        popular: Ints,
        list_length: int,
        exclude_seen: bool,
    ):
        """Raises InputError for a log without titles."""
        if log.titles is None:
            raise InputError(
                "llm.candidates: the log has no titles to show to a language model; give workload.interactions.items, "
                "a CSV of item_id,title, or use kind item_lm or p5"
            )
        self.name, self.list_length, self.answerer = answerer.name, list_length, answerer
        self._config, self._titles = config, log.titles
        self._offsets, self._items, self._popular = log.offsets, log.items, popular
        self._exclude_seen = exclude_seen
        self._grounding = Grounding(log.titles, config.min_similarity)
        asked = config.instruction or (INSTRUCTION if exclude_seen else WITH_REPEATS)
        wording = [asked, config.history, config.titles, config.min_similarity, config.fill]
        used = [wording, list_length, exclude_seen, log.titles, popular if config.fill == "popular" else None]
        self.content_hash = content_hash("titles, parsed", answerer.content_hash, used, log.offsets, log.items)

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        """See CandidateSource.lists. No list is found at as_of = -1."""
        items = np.full((len(users), self.list_length), -1, dtype=np.int32)
        asked = as_of >= 0
        figures = {name: np.full(len(users), np.nan) for name in ("prompt_tokens", "output_tokens")}
        counts = {name: np.full(len(users), np.nan) for name in ("written", "ungrounded", "outcome")}
        rows = np.flatnonzero(asked)
        histories = [
            self._items[self._offsets[user] : self._offsets[user] + newest + 1].tolist()
            for user, newest in zip(users[rows], as_of[rows], strict=True)
        ]
        repeats = not self._exclude_seen
        prompts = [prompt_of(self._config, self._titles, history, repeats) for history in histories]
        for number, answer in self.answerer.answers(prompts):
            row, history = rows[number], histories[number]
            found = parsed(answer.text, self._config.titles, self._grounding.knows, answer.cut)
            titles = found.titles
            grounded = self._grounding.find(titles)
            items[row] = self._list(grounded, set(history) if self._exclude_seen else set())
            figures["prompt_tokens"][row], figures["output_tokens"][row] = answer.prompt_tokens, answer.output_tokens
            counts["written"][row], counts["ungrounded"][row] = len(titles), (grounded < 0).sum()
            counts["outcome"][row] = _outcome(answer, found)
        return CandidateLists(items=items, found=asked, as_of=as_of.copy(), **figures, **counts)

    def _list(self, grounded: Ints, seen: set[int]) -> NDArray[np.int32]:
        """The answers in their order, each item once, then popular items that are not `seen`.

        A seen item that was written stays, as in a table of answers: it leaves at display, whoever answered.
        """
        chosen = dict.fromkeys(item for item in grounded.tolist() if item >= 0)
        if self._config.fill == "popular":
            for item in self._popular.tolist():
                if len(chosen) >= self.list_length:
                    break
                if item not in seen:
                    chosen.setdefault(item)
        result = np.full(self.list_length, -1, dtype=np.int32)
        kept = list(chosen)[: self.list_length]
        result[: len(kept)] = kept
        return result


def _outcome(answer: Answer, found: Parsed) -> Outcome:
    whys = {one.why for one in found.dropped}
    if found.titles:
        return Outcome.CUT_OFF if answer.cut else Outcome.WHOLE
    if answer.lack:
        return Outcome.NO_ANSWER
    if answer.cut:
        return Outcome.CUT_OFF_EMPTY
    return Outcome.REFUSED if answer.refused or Why.REFUSAL in whys else Outcome.NO_TITLE
