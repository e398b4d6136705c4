"""Before a load is sent: whose address it is, and one line that says what is wrong with who answers there."""

import socket

import pytest

from benchmarks.chat_server import ChatServer, serving
from fleetrec.models.llm.api_key import ApiKey
from fleetrec.models.llm.chat_parameters import ChatParameters
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.rehearsal.reaching import check_address, check_answers, is_own
from fleetrec.simulator.experiments.rehearsal.sender import Due, Sent, Server

REQUEST = Due(3.0, "one two three", 16)


def first(server: ChatServer, model: str = "m", key_variable: str | None = None, key: str = "") -> Sent:
    parameters = ChatParameters(16, stream=True, stream_options={"include_usage": True})
    return check_answers(Server(server.url, model, ApiKey(key), parameters, 1.0), REQUEST, key_variable)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://127.3.2.1/v1", True),
        ("http://192.0.2.7/v1", False),  # of documentation alone
        ("http://0.0.0.0/v1", False),
        ("http://no-such-host.invalid/v1", False),
    ],
)
def test_an_address_is_this_machines_where_all_that_it_stands_for_is(url: str, own: bool) -> None:
    assert is_own(url) == own


@pytest.mark.parametrize("url", ["ftp://host/v1", "http://user:word@host/v1", "host:8000"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="--url"):
        check_address(url)


def test_a_server_that_answers_is_asked_once_and_with_a_beginning_that_no_later_prompt_has() -> None:
    with serving(ChatServer()) as server:
        assert first(server).answer is not None
    assert [body["messages"][0]["content"] for body in server.asked] == ["three two one"]


def test_a_parameter_that_it_does_not_take_is_left_out() -> None:
    with serving(ChatServer(refuses_parameter="stream_options")) as server:
        assert first(server).answer is not None
    assert ["stream_options" in body for body in server.asked] == [True, False]


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (
            ChatServer(hangs=lambda number: True),
            "no whole answer within 1 s; see whether the server hangs, or raise --time",
        ),
        (ChatServer(status=503), "refuses with HTTP 503 model m does not exist; it serves m: check --url and --model"),
        (ChatServer(nonsense=True), "It works.*; check --url"),
        (ChatServer(drops=lambda number: True), "broke off; see the server's own log"),
        (ChatServer(key="k" * 20), "HTTP 401 wrong key: nothing; give --key-variable with the environment variable"),
        (ChatServer(model="other"), "answers as 'other', which is another model"),
    ],
)
def test_what_is_wrong_with_a_server_is_one_line_that_says_how_to_mend_it(server: ChatServer, said: str) -> None:
    with serving(server), pytest.raises(InputError, match=said) as error:
        first(server)
    assert "\n" not in str(error.value)


def test_a_key_that_is_wrong_is_not_shown() -> None:
    with (
        serving(ChatServer(key="k" * 20)) as server,
        pytest.raises(InputError, match="check the key in MY_KEY") as error,
    ):
        first(server, key_variable="MY_KEY", key="sk-secret-0123456789")
    assert "sk-secret" not in str(error.value)


def test_nobody_there_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match="start the server, or mend --url") as error:
            first(ChatServer(port=free.getsockname()[1]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [("acme/m", "m"), ("m", "m@main"), ("gpt-9", "gpt-9-2026-11-01"), ("m:latest", "m"), ("./m/", "m")],
)
def test_names_that_may_be_of_one_model_are_taken_as_one(asked: str, said: str) -> None:
    with serving(ChatServer(model=said)) as server:
        assert first(server, model=asked).answer is not None
