"""Answers to prompts kept on disk by the hash of the prompt: for histories that nobody knows before they arise.

An answer is a function of its prompt alone, so what is kept changes the time a run takes and what it costs, and nothing
else. Where asking ends in an error, the answers that had come by then are kept.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from fleetrec.models.llm.titles import Answer, Answerer
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash

FORMAT = 1  # of the artifact: raise it when it changes
_ARTIFACT = "answers"
_FILE = "answers.json"


class KeptAnswers:
    """An Answerer that asks another one for each prompt once, ever."""

    def __init__(self, answerer: Answerer, store: ArtifactStore, at_once: int | None):
        """`at_once`: prompts after whose answers these are saved; None: those that are asked for together."""
        self.name, self.content_hash = answerer.name, answerer.content_hash
        self._answerer, self._store, self._at_once = answerer, store, at_once
        self._key = {"format": FORMAT, "answerer": answerer.content_hash}
        with store.locked(_ARTIFACT, self._key):
            self._known = self._on_disk()

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        """See Answerer.answers."""
        keys = [content_hash(prompt) for prompt in prompts]
        new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._known}
        asked, size = list(new.items()), self._at_once or max(len(new), 1)
        for at in range(0, len(asked), size):
            self._ask(dict(asked[at : at + size]))
        yield from ((number, self._known[key]) for number, key in enumerate(keys))

    def _ask(self, new: dict[str, str]) -> None:
        names, fresh = list(new), {}
        try:
            for number, answer in self._answerer.answers(list(new.values())):
                fresh[names[number]] = answer
        except BaseException:  # an interrupt too: what has come has been paid for
            self._save({key: answer for key, answer in fresh.items() if not answer.lack})
            raise
        self._save(fresh)

    def _save(self, fresh: dict[str, Answer]) -> None:
        """Keeps these answers, beside those that another process has saved meanwhile: the first to a prompt stands."""
        if not fresh:
            return
        with self._store.locked(_ARTIFACT, self._key):
            self._known = fresh | self._known | self._on_disk()
            text = json.dumps({key: _told(self._known[key]) for key in sorted(self._known)})
            with self._store.creating(_ARTIFACT, self._key) as folder:
                (folder / _FILE).write_text(text, encoding="utf-8")

    def _on_disk(self) -> dict[str, Answer]:
        found: dict[str, Any] = self._store.load_json(_ARTIFACT, self._key, _FILE) or {}
        return {key: _read(told) for key, told in found.items()}


def _told(answer: Answer) -> list[Any]:
    tokens = (None if math.isnan(count) else count for count in (answer.prompt_tokens, answer.output_tokens))
    return [answer.text, *tokens, answer.cut, answer.refused, answer.lack]


def _read(told: list[Any]) -> Answer:
    text, *tokens, cut, refused, lack = told
    read, wrote = (math.nan if count is None else float(count) for count in tokens)
    return Answer(text, read, wrote, cut, refused, lack)
