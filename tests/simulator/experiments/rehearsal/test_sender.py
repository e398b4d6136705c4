"""Requests go out at their moments whatever becomes of them, and every one ends in one way."""

import os
import signal
import socket
import threading
import time

import pytest

from benchmarks.chat_server import ChatServer, serving
from fleetrec.models.llm.api_key import ApiKey
from fleetrec.models.llm.chat_parameters import ChatParameters
from fleetrec.simulator.experiments.rehearsal.sender import Due, Sending, Server, send

KEY = "sk-very-secret-1234567890"


def to(server: ChatServer, timeout_s: float = 10.0, key: str = "") -> Server:
    parameters = ChatParameters(64, stream=True, stream_options={"include_usage": True})
    return Server(server.url, server.model, ApiKey(key), parameters, timeout_s)


def sent(server: Server, moments: list[float], most: int = 100) -> Sending:
    return send(
        server, [Due(at_s, f"prompt {number}", 64) for number, at_s in enumerate(moments)], most, lambda *_: None
    )


def test_an_answer_has_its_moments_and_its_tokens() -> None:
    told = []
    with serving(ChatServer()) as server:
        due = [Due(0.0, "a b c", 64), Due(0.2, "d", 5)]
        sending = send(to(server), due, 10, lambda number, one: told.append((number, one.end)))
    assert sorted(told) == [(0, "answered"), (1, "answered")]
    for one in sending.sent:
        assert one.answer is not None
        assert one.due_s <= one.sent_s <= one.answer.first_s <= one.answer.last_s <= one.ended_s
    assert sending.sent[0].answer is not None
    assert sending.sent[0].answer.reply.prompt_tokens == 3
    assert [body["messages"][0]["content"] for body in server.asked] == ["a b c", "d"]
    assert [body["max_tokens"] for body in server.asked] == [64, 5]
    assert all(body["stream"] and body["temperature"] == 0 for body in server.asked)


def test_a_server_that_hangs_holds_up_nobody_else() -> None:
    with serving(ChatServer(hangs=lambda number: number == 0)) as server:
        sending = sent(to(server, timeout_s=1.0), [0.0, 0.1, 0.2])
    assert [one.end for one in sending.sent] == ["timed_out", "answered", "answered"]
    assert "no whole answer within 1 s" in sending.sent[0].why


def test_a_stream_that_breaks_off_is_no_answer() -> None:
    with serving(ChatServer(drops=lambda number: number % 2 == 1)) as server:
        sending = sent(to(server), [0.0, 0.1, 0.2, 0.3])
    assert [one.end for one in sending.sent] == ["answered", "broken_off", "answered", "broken_off"]


@pytest.mark.parametrize(
    ("server", "end", "why"),
    [
        (ChatServer(status=429), "refused", "HTTP 429"),
        (ChatServer(status=307), "refused", "HTTP 307"),
        (ChatServer(nonsense=True), "no_answer", "It works"),
    ],
)
def test_refusals_redirects_and_nonsense_are_told_apart(server: ChatServer, end: str, why: str) -> None:
    with serving(server):
        [one] = sent(to(server), [0.0]).sent
    assert one.end == end
    assert why in one.why


def test_nobody_there_is_said_in_a_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        [one] = sent(to(ChatServer(port=free.getsockname()[1])), [0.0]).sent
    assert one.end == "unreachable"
    assert "\n" not in one.why


def test_requests_beyond_so_many_at_once_are_not_sent_later_but_counted() -> None:
    with serving(ChatServer(hangs=lambda number: True)) as server:
        sending = sent(to(server, timeout_s=0.5), [0.0, 0.01, 0.02], most=1)
    assert [one.end for one in sending.sent] == ["timed_out", "held_back", "held_back"]
    assert len(server.asked) == 1


def test_after_ten_answers_that_are_none_no_more_is_sent() -> None:
    with serving(ChatServer(status=500)) as server:
        sending = sent(to(server), [0.1 * number for number in range(30)])
    assert sending.hopeless
    assert 10 <= len(server.asked) <= 12


def test_an_interrupt_ends_it_with_what_was_measured() -> None:
    with serving(ChatServer(hangs=lambda number: number == 1)) as server:
        threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
        began_s = time.monotonic()
        sending = sent(to(server), [0.0, 0.1, 60.0])
    assert time.monotonic() - began_s < 10
    assert sending.interrupted
    assert [one.end for one in sending.sent] == ["answered", "unfinished"]


def test_the_key_goes_to_the_server_and_into_no_message() -> None:
    with serving(ChatServer(key="another")) as server:
        [one] = sent(to(server, key=KEY), [0.0]).sent
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert "wrong key: Bearer ***" in one.why
    assert KEY not in repr(one)
