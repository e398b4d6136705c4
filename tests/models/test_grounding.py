"""Grounding and title lists against hand-made catalogues and a language model that says what it is told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fleetrec.models.llm.grounding import Grounding, answers_of, normalised
from fleetrec.models.llm.titles import Answer, TitleCandidates, popular_items, prompt_of
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import training_set
from fleetrec.simulator.scenario.sections import TitlePrompt

TITLES = ("Toy Story (1995)", "Jumanji (1995)", "Father of the Bride", "Toy Story 2", "", "Heat", "Heat")
HISTORIES = [[0, 1, 2], [5, 3, 5, 1]]


@dataclass
class Log:
    offsets: Any = field(default_factory=lambda: np.array([0, 3, 7]))
    items: Any = field(default_factory=lambda: np.array([0, 1, 2, 5, 3, 5, 1], dtype=np.int32))
    titles: Any = TITLES


class Parrot:
    """Says the same to everybody, and remembers what it was asked."""

    name, content_hash = "parrot", "parrot"

    def __init__(self, text: str):
        self.text = text
        self.asked: list[str] = []

    def answers(self, prompts: Sequence[str], users: object, as_of: object) -> list[Answer]:
        self.asked += prompts
        return [Answer(self.text, 7.0, 3.0) for _ in prompts]


def candidates(text: str, exclude_seen: bool = False, length: int = 4, **changes: Any) -> TitleCandidates:
    popular = np.array([5, 0, 1, 2, 3, 4, 6])
    return TitleCandidates(Parrot(text), TitlePrompt(**changes), Log(), popular, length, exclude_seen)


def test_titles_are_found_whatever_their_case_and_punctuation() -> None:
    found = Grounding(TITLES, 0.6).find(["toy story, 1995", "JUMANJI (1995)!", "  Father of   the bride. "])
    assert found.tolist() == [0, 1, 2]
    assert normalised("Ｔoy—Story_(1995)") == "toy story 1995"


def test_of_equal_titles_the_lower_item_is_meant_and_items_without_one_are_never_found() -> None:
    assert Grounding(TITLES, 0.0).find(["Heat", ""]).tolist() == [5, -1]


def test_an_answer_close_to_a_title_means_it_and_one_far_from_all_means_nothing() -> None:
    grounding = Grounding(TITLES, 0.5)
    assert grounding.find(["Jumanji", "The Father of the Bride", "Quarterly report of sales"]).tolist() == [1, 2, -1]


def test_similarity_is_the_cosine_of_tf_idf_vectors_worked_out_by_hand() -> None:
    """Titles `a b` and `a c`: of their terms a is in both (idf 1), b, c, `a b` and `a c` in one (idf 1 + ln 3/2)."""
    once = 1 + np.log(3 / 2)
    norm = np.sqrt(1 + 2 * once**2)
    cosine = (1 + once**2) / (norm * np.sqrt(1 + once**2))  # of `b a`, which has a and b but not the pair
    assert Grounding(("a b", "a c"), cosine - 1e-6).find(["b a"]).tolist() == [0]
    assert Grounding(("a b", "a c"), cosine + 1e-6).find(["b a"]).tolist() == [-1]


def test_numbers_bullets_and_quotes_around_titles_are_not_part_of_them() -> None:
    text = '1. "Heat"\n2) Toy Story 2\n\n- *Jumanji*\n• 12 Monkeys\n---\n300'
    assert answers_of(text, 10) == ["Heat", "Toy Story 2", "Jumanji", "12 Monkeys", "300"]
    assert answers_of(text, 2) == ["Heat", "Toy Story 2"]


def test_a_prompt_shows_the_newest_titles_in_order_and_skips_items_without_one() -> None:
    section = TitlePrompt(instruction="had:\n{history}\nname {titles}", history=2, titles=9)
    prompt = prompt_of(section, TITLES, [5, 0, 4, 1], repeats=False)
    assert prompt == "had:\n1. Toy Story (1995)\n2. Jumanji (1995)\nname 9"


def test_a_prompt_asks_for_other_items_only_where_a_user_has_nothing_twice() -> None:
    section = TitlePrompt(titles=9)
    assert "Name 9 other items that" in prompt_of(section, TITLES, [0], repeats=False)
    assert "Name 9 items, old ones or new ones, that" in prompt_of(section, TITLES, [0], repeats=True)


def test_a_list_is_what_was_written_then_popular_items_each_once() -> None:
    lists = candidates("1. Jumanji (1995)\n2. Utter nonsense\n3. Toy Story 2\n4. Jumanji 1995").lists(
        np.array([0]), np.array([2])
    )
    assert lists.items[0].tolist() == [1, 3, 5, 0]
    assert lists.written is not None
    assert lists.ungrounded is not None
    assert (lists.written[0], lists.ungrounded[0]) == (4, 1)
    assert lists.prompt_tokens is not None
    assert lists.prompt_tokens[0] == 7


def test_without_filling_a_list_ends_where_the_answers_do() -> None:
    lists = candidates("Jumanji (1995)", fill="none").lists(np.array([0]), np.array([2]))
    assert lists.items[0].tolist() == [1, -1, -1, -1]


def test_seen_items_that_were_written_stay_until_display_and_none_is_filled_in() -> None:
    """As in a table of the same answers; the popular items 5, 0, 1, 2, 3 of whom 0 to 2 are seen fill the rest."""
    lists = candidates("Jumanji (1995)\nHeat\nToy Story 2", exclude_seen=True, length=5)
    assert lists.lists(np.array([0]), np.array([2])).items.tolist() == [[1, 5, 3, 4, 6]]


def test_the_prompt_holds_nothing_later_than_as_of() -> None:
    source = candidates("Heat")
    source.lists(np.array([1, 1]), np.array([0, 2]))
    asked = source._answerer.asked  # type: ignore[attr-defined]
    assert "Toy Story 2" not in asked[0]
    assert "Toy Story 2" in asked[1]
    assert "Jumanji" not in asked[1]


def test_a_refusal_in_words_is_counted_as_ungrounded_and_the_list_is_filled() -> None:
    lists = candidates("I am sorry, but I cannot help with that.").lists(np.array([0]), np.array([0]))
    assert lists.items[0].tolist() == [5, 0, 1, 2]
    assert lists.ungrounded is not None
    assert lists.ungrounded[0] == 1


def test_popular_items_are_counted_in_the_training_part_alone() -> None:
    data = training_set([0, 3, 7], [0, 1, 2, 2, 2, 1, 1], 4, [1, 1], [2, 2])
    assert popular_items(data).tolist() == [2, 0, 1, 3]


def test_a_log_without_titles_is_refused() -> None:
    with pytest.raises(InputError, match="no titles"):
        TitleCandidates(Parrot(""), TitlePrompt(), Log(titles=None), np.arange(7), 4, False)
