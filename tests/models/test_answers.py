"""Answers of language models: what of them is a title, and why the rest is none."""

import json
import time
from typing import Any

import pytest

from fleetrec.models.llm.answers import parsed
from fleetrec.models.llm.replies import NoReply, read_reply, said_by
from tests.models.answer_bodies import THREE, Case, chat
from tests.models.answer_cases import CASES, ERRORS, NO_REPLIES


def raw(body: Any) -> bytes:
    return (body if isinstance(body, str) else json.dumps(body)).encode()


@pytest.mark.parametrize("case", CASES, ids=[f"{one.kind}-{place}" for place, one in enumerate(CASES)])
def test_titles_are_found_and_what_was_left_out_is_said(case: Case) -> None:
    reply = read_reply(raw(case.body))
    found = parsed(reply.text, 20, cut=reply.cut)
    assert list(found.titles) == case.titles
    assert sorted(one.why for one in found.dropped) == sorted(case.whys)
    assert all(one.text for one in found.dropped)
    assert reply.cut == case.cut


def test_the_table_holds_many_answers_of_many_kinds() -> None:
    assert len(CASES) >= 120
    assert len({case.kind for case in CASES}) >= 12


@pytest.mark.parametrize(("body", "code", "words"), ERRORS)
def test_an_error_in_a_reply_of_status_200_is_the_error_that_it_is(body: Any, code: int | None, words: str) -> None:
    with pytest.raises(NoReply, match=words) as found:
        read_reply(raw(body))
    assert found.value.code == code


@pytest.mark.parametrize("body", NO_REPLIES)
def test_a_body_in_no_known_form_is_no_reply(body: bytes) -> None:
    with pytest.raises(NoReply):
        read_reply(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            '{\n  "error": {\n    "message": "Unsupported parameter",\n    "param": null\n  }\n}',
            "Unsupported parameter",
        ),
        ('{"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs"}]}', "body.top_k: Extra inputs"),
        ('{"message": "The model does not exist", "code": 404}', "The model does not exist"),
        ('[{"error": {"message": "quota"}}]', "quota"),
        ('{"error": "no such model"}', "no such model"),
        ('{"errors": ["a", "b"]}', "a; b"),
        ('{"error": {"message": "Provider error", "metadata": {"raw": "too long"}}}', "Provider error (too long)"),
        ("<html><head><title>502</title></head><body>Bad\nGateway</body></html>", "502 Bad Gateway"),
        ("plain words", "plain words"),
        ('{"odd": 1}', '{"odd": 1}'),
    ],
)
def test_the_reason_of_an_error_is_its_words(body: str, said: str) -> None:
    assert said_by(body) == said


@pytest.mark.parametrize(
    "title", ["Sure Thing: A Film", "None", "1. FC Köln", "Here are the Titles:", "Enjoy!", "I'm sorry."]
)
def test_nothing_is_left_out_of_what_is_a_title_of_the_catalogue(title: str) -> None:
    for text in (title, f"Heat\n{title}", f"1. Heat\n2. Casino\n{title}"):
        assert title in parsed(text, 20, known=lambda line: line in (title, "Heat", "Casino")).titles


def test_commas_of_titles_that_are_known_do_not_part_them() -> None:
    known = {"Sex, Lies and Videotape", "Heat", "Good, the Bad and the Ugly, The (1966)"}
    found = parsed(
        "Heat, Sex, Lies and Videotape, Good, the Bad and the Ugly, The (1966), Fargo", 20, known.__contains__
    )
    assert found.titles == ("Heat", "Sex, Lies and Videotape", "Good, the Bad and the Ugly, The (1966)", "Fargo")


@pytest.mark.parametrize(
    "text", ["<think>" * 60_000, "[" * 400_000, "<li>" * 100_000, "1. a\n" * 80_000, '{"a":' * 80_000, "a, " * 100_000]
)
def test_an_answer_without_end_is_read_in_seconds(text: str) -> None:
    started = time.monotonic()
    parsed(text, 20)
    assert time.monotonic() - started < 30


def test_half_of_a_surrogate_pair_is_no_letter() -> None:
    read_reply(raw(chat("\ud800 Heat"))).text.encode()
    assert read_reply(json.dumps(chat(THREE[0])).encode("utf-8-sig")).text == THREE[0]
