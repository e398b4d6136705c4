"""Answers that are streamed: when their tokens came, and whether they had come to an end."""

import json
import math

import pytest

from fleetrec.models.llm.replies import NoReply
from fleetrec.models.llm.streams import read_stream


def event(**delta: object) -> bytes:
    return b"data: " + json.dumps({"model": "m", "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


END = b'data: {"choices":[{"delta":{},"finish_reason":"length"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'


def test_the_first_and_the_last_token_come_with_what_is_written_and_not_with_the_rest() -> None:
    found = read_stream(
        [(1.0, event(role="assistant")), (2.0, event(content="a")), (3.5, event(content="b")), (4.0, END)]
    )
    assert (found.first_s, found.last_s, found.events) == (2.0, 3.5, 2)
    assert (found.reply.text, found.reply.prompt_tokens, found.reply.output_tokens) == ("ab", 7, 3)
    assert found.ended
    assert found.reply.cut
    assert found.model == "m"


def test_an_event_that_is_cut_in_two_by_the_network_comes_when_its_end_does() -> None:
    first = event(content="a")
    found = read_stream([(1.0, first[:20]), (2.0, first[20:] + END)])
    assert (found.first_s, found.events) == (2.0, 1)


def test_thinking_is_written_too() -> None:
    found = read_stream([(1.0, event(reasoning_content="hm")), (2.0, event(content="a")), (3.0, END)])
    assert (found.first_s, found.reply.text) == (1.0, "a")


@pytest.mark.parametrize("ending", [b"", b"data: [DONE]\n\n"])
def test_a_stream_has_ended_where_it_says_so(ending: bytes) -> None:
    assert read_stream([(1.0, event(content="a") + ending)]).ended == bool(ending)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"choices":[{"message":{"content":"a"}}]}', "in one piece"),
        (b"<html>It works</html>", "It works"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (event(content="a")[:30] + b"\n\n", "data|choices|model"),
        (b"", "nothing"),
    ],
)
def test_what_is_no_stream_of_tokens_is_no_answer(body: bytes, said: str) -> None:
    with pytest.raises(NoReply, match=said):
        read_stream([(1.0, body)])


def test_a_stream_in_which_nothing_is_written_has_no_first_token() -> None:
    found = read_stream([(1.0, event(role="assistant")), (2.0, END)])
    assert found.events == 0
    assert math.isnan(found.first_s)
    assert found.ended
