"""Answers by prompt: each is asked for once, ever, and none that has come is lost."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fleetrec.models.llm.kept_answers import KeptAnswers
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError


class Upper:
    """Answers in capitals, the last prompt first, and fails at some; it remembers what it is asked."""

    name, content_hash = "upper", "upper"

    def __init__(self, fails_at: str = "", error: type[BaseException] = InputError):
        self.asked: list[str] = []
        self._fails_at, self._error = fails_at, error

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        for number in reversed(range(len(prompts))):
            self.asked.append(prompts[number])
            if prompts[number] == self._fails_at:
                raise self._error("gone")
            lack = "silent" if prompts[number] == "mute" else ""
            yield number, Answer(prompts[number].upper(), 3.0, cut=prompts[number] == "cut", lack=lack)


def texts(kept: KeptAnswers, *prompts: str) -> list[str]:
    return [answer.text for _, answer in sorted(kept.answers(prompts), key=lambda told: told[0])]


def test_a_prompt_is_asked_once_whoever_has_it_and_in_later_runs_not_at_all(tmp_path: Path) -> None:
    first, later = Upper(), Upper()
    kept = KeptAnswers(first, ArtifactStore(tmp_path), None)
    assert texts(kept, "a", "b", "a") == ["A", "B", "A"]
    assert texts(kept, "b", "c") == ["B", "C"]
    assert sorted(first.asked) == ["a", "b", "c"]
    assert texts(KeptAnswers(later, ArtifactStore(tmp_path), None), "c", "b", "a") == ["C", "B", "A"]
    assert later.asked == []


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    prompts = ["a", "cut", "mute", "é\ud800"]
    before = dict(KeptAnswers(Upper(), ArtifactStore(tmp_path), None).answers(prompts))
    after = dict(KeptAnswers(Upper(), ArtifactStore(tmp_path), None).answers(prompts))
    assert repr(before) == repr(after)  # NaN, for tokens that are not known, is no number that equals itself
    assert [before[number].cut for number in range(4)] == [False, True, False, False]
    assert before[2].lack == "silent"


@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_what_had_come_before_a_failure_is_kept_and_what_had_not_is_asked_again(
    tmp_path: Path, error: type[BaseException]
) -> None:
    kept, again = KeptAnswers(Upper("b", error), ArtifactStore(tmp_path), 4), Upper()
    with pytest.raises(error):
        texts(kept, *"stuv", "a", "b", "mute", "d")  # eight in two portions, of which the second is asked backwards
    assert texts(KeptAnswers(again, ArtifactStore(tmp_path), 4), *"stuv", "a", "b", "mute", "d")[4:6] == ["A", "B"]
    assert sorted(again.asked) == ["a", "b", "mute"]


def test_of_two_processes_that_ask_the_same_the_answer_that_was_saved_first_is_used_by_both(tmp_path: Path) -> None:
    class Lower(Upper):
        def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
            yield from ((number, Answer(prompt.lower())) for number, prompt in enumerate(prompts))

    one, other = (KeptAnswers(model, ArtifactStore(tmp_path), None) for model in (Upper(), Lower()))
    assert texts(one, "Ab") == ["AB"]
    assert texts(other, "Ab", "Cd") == ["AB", "cd"]
    assert texts(KeptAnswers(Upper(), ArtifactStore(tmp_path), None), "Ab", "Cd") == ["AB", "cd"]
