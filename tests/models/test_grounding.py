"""Grounding and title lists against hand-made catalogues and a language model that says what it is told to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fleetrec.models.llm.grounding import Grounding, answers_of
from fleetrec.models.llm.title_forms import plain
from fleetrec.models.llm.titles import Answer, Outcome, TitleCandidates, popular_items, prompt_of
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

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        self.asked += prompts
        return enumerate([Answer(self.text, 7.0, 3.0) for _ in prompts])


def candidates(text: str, exclude_seen: bool = False, length: int = 4, **changes: Any) -> TitleCandidates:
    popular = np.array([5, 0, 1, 2, 3, 4, 6])
    return TitleCandidates(Parrot(text), TitlePrompt(**changes), Log(), popular, length, exclude_seen)


def test_titles_are_found_whatever_their_case_and_punctuation() -> None:
    found = Grounding(TITLES, 0.6).find(["toy story, 1995", "JUMANJI (1995)!", "  Father of   the bride. "])
    assert found.tolist() == [0, 1, 2]
    assert plain("Ｔoy—Story_(1995)") == "toy story 1995"


def test_of_equal_titles_the_lower_item_is_meant_and_items_without_one_are_never_found() -> None:
    assert Grounding(TITLES, 0.0).find(["Heat", ""]).tolist() == [5, -1]


def test_an_answer_close_to_a_title_means_it_and_one_far_from_all_means_nothing() -> None:
    grounding = Grounding(TITLES, 0.5)
    assert grounding.find(["Jumanji", "The Father of the Bride", "Quarterly report of sales"]).tolist() == [1, 2, -1]


FOUND = [
    (
        ["Programming in C", "Programming in C++", "Programming in C#"],
        {"Programming in C#": 2, "programming in c++": 1},
    ),
    (["Objective-C", "F#", "A♯", "Grade A+"], {"f#": 1, "A#": 2, "Grade A": None, "objective c": 0}),
    (["दिल", "दाल", "दूल"], {"दाल": 1, "दूल": 2}),
    (["มา", "มี", "มู"], {"มี": 1, "มู": 2, "ม": None}),
    (["가나", "가노"], {"가노": 1, "가": None}),
    (["÷", "×", "+", "25"], {"÷": 0, "+": 2, "25": 3, "26": None}),
    (
        ["24: The Movie", "The Movie", "300: Rise of an Empire", "Rise of an Empire", "24"],
        {"24: The Movie": 0, "24": 4},
    ),
    (["Amélie", "Pokémon", "The Godfather", "Shrek (2001)"], {"Amelie": 0, "Pokemon": 1, "Godfather": 2, "Shrek": 3}),
    (["Matrix, The (1999)", "Misérables, Les (1998)"], {"The Matrix": 0, "matrix": 0, "Les Miserables (1998)": 1}),
    (["Rocky II", "Ocean's Eleven", "Naked Gun 33 1/3", "8½"], {"Rocky 2": 0, "Oceans 11": 1, "8 1/2": 3}),
    (["Godfather, The (1972)", "Godfather: Part II, The (1974)"], {"The Godfather Part 2": 1, "Godfather II": 1}),
    (
        ["Mr. & Mrs. Smith", "AT&amp;T Shop", "M*A*S*H", "L.A. Story"],
        {"Mr and Mrs Smith": 0, "AT&T Shop": 1, "MASH": 2},
    ),
    (["Spider-Man", "Schindler's List", "WALL·E"], {"Spiderman": 0, "Schindlers List": 1, "wall-e": 2}),
    (["Shanghai Triad (Yao a yao) (1995)", "Seven (a.k.a. Se7en)"], {"Shanghai Triad": 0, "Se7en": 1, "Seven": 1}),
    (["Terminator 2: Judgment Day (1991)"], {"Terminator 2": 0, "Terminator": None, "Terminator 3": None}),
    (["Willy Wonka and the Chocolate Factory"], {"Willy Wonka and the Chocolate Factroy": 0, "Wily Wonka": None}),
    (["Casablanca", "Gladiator"], {"Casablnaca": 0, "Gladiators": None, "Gladiador": 1}),
    (["mother!", "Mother"], {"mother!": 0, "Mother": 1}),
    (["The Ring", "Ring"], {"ring": 1, "ring, the": 0, "The Ring": 0}),
    (["Sabrina (1954)", "Sabrina (1995)"], {"Sabrina (1995)": 1, "Sabrina": None, "Sabrina (1970)": None}),
    (["Heat (1995)"], {"Heat (1996)": 0, "Heat (1986)": None, "Heat 1995": 0}),
]
INVENTED = [
    (
        ["Ghost", "Alien", "Heat", "Speed"],
        ["Ghost Rider", "Alien Resurrection", "Heat Wave Summer Party", "like Speed"],
    ),
    (
        ["Rocky", "Rocky II", "Final Fantasy VII", "Toy Story (1995)"],
        ["Rocky 3", "Rocky V", "Final Fantasy IX", "Toy Story 3"],
    ),
    (["No Time to Die", "Alien: Resurrection"], ["Time to Die", "Alien", "Resurrection", "No Time"]),
    (["Batman Forever", "Star Wars: Episode IV"], ["Batman Returns", "Batman", "Star Wars: Episode V", "Star Wars"]),
    (["Apollo 13", "Area 51", "1984"], ["Apollo 11", "Apollo", "Area 52", "1985"]),
    (["Alien", "Fargo", "The Hours"], ["Aliens", "Cargo", "Hour"]),
    (["Casino", "Now and Then"], ["Casino Royale", "Now or Then", ""]),
    (["iPhone 13 Case", "USB-C Cable 2 m"], ["iPhone 14 Case", "USB-C Cable 3 m", "USB Cable 2 m"]),
]


@pytest.mark.parametrize(("titles", "written"), FOUND)
def test_a_title_written_otherwise_is_the_item_whose_title_it_is(
    titles: list[str], written: dict[str, int | None]
) -> None:
    for least in (0.6, 0.85):
        places = Grounding(titles, least).find(list(written)).tolist()
        assert dict(zip(written, places, strict=True)) == {
            text: -1 if at is None else at for text, at in written.items()
        }


@pytest.mark.parametrize(("titles", "written"), INVENTED)
def test_a_title_with_a_word_or_a_number_more_or_less_is_no_item(titles: list[str], written: list[str]) -> None:
    assert Grounding(titles, 0.0).find(written).tolist() == [-1] * len(written)


def test_a_misspelling_less_similar_than_is_asked_for_is_no_item() -> None:
    """One letter of 9 dropped: of the 17 letters of both 16 are in both."""
    assert Grounding(["Gladiator"], 16 / 17 - 0.01).find(["Gladiaor"]).tolist() == [0]
    assert Grounding(["Gladiator"], 16 / 17 + 0.01).find(["Gladiaor"]).tolist() == [-1]


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
    asked = source.answerer.asked  # type: ignore[attr-defined]
    assert "Toy Story 2" not in asked[0]
    assert "Toy Story 2" in asked[1]
    assert "Jumanji" not in asked[1]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Heat", Outcome.WHOLE),
        ("I am sorry, but I cannot help with that.", Outcome.REFUSED),
        ("", Outcome.NO_TITLE),
        ("<think>Heat</think>", Outcome.NO_TITLE),
    ],
)
def test_how_an_answer_ended_is_kept_and_one_without_titles_is_filled(text: str, outcome: Outcome) -> None:
    lists = candidates(text).lists(np.array([0]), np.array([0]))
    assert lists.items[0].tolist() == [5, 0, 1, 2]
    assert lists.outcome is not None
    assert lists.ungrounded is not None
    assert (lists.outcome[0], lists.ungrounded[0]) == (outcome, 0)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer("Heat\nJuma", cut=True), Outcome.CUT_OFF),
        (Answer("<think>Heat", cut=True), Outcome.CUT_OFF_EMPTY),
        (Answer("", refused=True), Outcome.REFUSED),
        (Answer("", lack="HTTP 500"), Outcome.NO_ANSWER),
    ],
)
def test_what_a_server_says_of_an_answer_is_kept(answer: Answer, outcome: Outcome) -> None:
    source = candidates("")
    source.answerer.answers = lambda prompts: enumerate([answer])  # type: ignore[method-assign]
    lists = source.lists(np.array([0]), np.array([0]))
    assert lists.outcome is not None
    assert lists.outcome[0] == outcome
    assert lists.items[0, 0] == 5


def test_popular_items_are_counted_in_the_training_part_alone() -> None:
    data = training_set([0, 3, 7], [0, 1, 2, 2, 2, 1, 1], 4, [1, 1], [2, 2])
    assert popular_items(data).tolist() == [2, 0, 1, 3]


def test_a_log_without_titles_is_refused() -> None:
    with pytest.raises(InputError, match="no titles"):
        TitleCandidates(Parrot(""), TitlePrompt(), Log(titles=None), np.arange(7), 4, False)
