"""The endpoint against a local server that answers, fails, hangs, refuses and talks nonsense."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.cache import CachedCandidates
from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.runtime.timed_http import TimedHttp
from fleetrec.simulator.preparation.candidates.endpoint import Endpoint as Section

KEY = "sk-very-secret"
Reply = tuple[int, dict[str, str], bytes] | float  # or seconds of silence
Replies = Reply | Callable[[dict[str, Any]], Reply]  # or what it says to a body


class Server:
    """Replies in turn with what it was given, the last reply for ever; remembers what it was asked."""

    def __init__(self, *replies: Replies):
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.moments: list[float] = []
        lock, server = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    reply = replies[min(len(server.asked), len(replies) - 1)]
                    server.asked.append((dict(self.headers), body | {"path": self.path}))
                    server.moments.append(time.monotonic())
                if callable(reply):
                    reply = reply(body)
                if isinstance(reply, float):
                    time.sleep(reply)
                    return
                self.send_response(reply[0])
                for name, value in reply[1].items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply[2])

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[Server] = []

    def start(*replies: Replies) -> Server:
        servers.append(Server(*replies))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ok(text: str | None, **usage: int) -> Reply:
    answer = {"choices": [{"message": {"role": "assistant", "content": text}}]} | ({"usage": usage} if usage else {})
    return 200, {}, json.dumps(answer).encode()


def endpoint(server: Server, **changes: Any) -> Endpoint:
    base = {"url": server.url, "model": "m", "timeout": 0.3, "backoff": 0.01, "retries": 2, "parallel": 4}
    return Endpoint(Section.model_validate(base | changes), NullProgress())


def ask(source: Endpoint, *prompts: str) -> list[str]:
    return [answer.text for _, answer in sorted(source.answers(prompts), key=lambda told: told[0])]


def refused(source: Endpoint) -> str:
    with pytest.raises(InputError) as error:
        ask(source, "hello")
    assert "\n" not in str(error.value)
    assert KEY not in str(error.value)
    return str(error.value)


def test_an_answer_comes_with_its_tokens_and_the_key_goes_in_the_header_alone(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = serve(ok("Heat", prompt_tokens=12, completion_tokens=3))
    source = endpoint(server, key_variable="MY_KEY")
    ((_, answer),) = source.answers(["hello"])
    assert (answer.text, answer.prompt_tokens, answer.output_tokens) == ("Heat", 12, 3)
    headers, body = server.asked[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["path"] == "/v1/chat/completions"
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert body["temperature"] == 0
    assert KEY not in json.dumps(body)


def test_answers_come_in_the_order_of_their_prompts(serve: Callable[..., Server]) -> None:
    server = serve(ok("same"))
    assert ask(endpoint(server), *"abcdefgh") == ["same"] * 8
    assert sorted(body["messages"][0]["content"] for _, body in server.asked) == list("abcdefgh")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(serve: Callable[..., Server], status: int) -> None:
    server = serve((status, {}, b"busy"), (status, {}, b"busy"), ok("Heat"))
    assert ask(endpoint(server), "hello") == ["Heat"]
    assert len(server.asked) == 3


def test_the_server_may_say_how_long_to_wait(serve: Callable[..., Server]) -> None:
    server = serve((429, {"Retry-After": "0.4"}, b""), ok("Heat"))
    assert ask(endpoint(server), "hello") == ["Heat"]
    assert server.moments[1] - server.moments[0] >= 0.4


def test_a_server_that_keeps_failing_ends_after_the_given_number_of_tries(serve: Callable[..., Server]) -> None:
    server = serve((500, {}, b"internal\nerror"))
    assert "no answer in 3 tries: HTTP 500 internal" in refused(endpoint(server))
    assert len(server.asked) == 3


def test_a_server_that_hangs_is_left_after_the_timeout(serve: Callable[..., Server]) -> None:
    assert "no answer within 0.1 s" in refused(endpoint(serve(1.0), timeout=0.1, retries=0))


def test_nobody_at_the_address_is_said_so(serve: Callable[..., Server]) -> None:
    server = serve(ok("Heat"))
    server.close()
    assert "refused" in refused(endpoint(server, retries=1))


def test_a_refusal_is_not_tried_again_and_does_not_show_the_key(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = serve((401, {}, f"bad key {KEY}".encode()))
    assert "refuses with HTTP 401 bad key ***" in refused(endpoint(server, key_variable="MY_KEY"))
    assert len(server.asked) == 1


def test_a_redirect_is_not_followed_so_the_key_stays_with_its_host(serve: Callable[..., Server]) -> None:
    elsewhere = serve(ok("Heat"))
    server = serve((307, {"Location": elsewhere.url + "/chat/completions"}, b""))
    assert "HTTP 307" in refused(endpoint(server))
    assert elsewhere.asked == []


@pytest.mark.parametrize("body", [b"<html>hello", b"[]", b"{}", b""])
def test_nonsense_is_said_to_be_no_answer(serve: Callable[..., Server], body: bytes) -> None:
    assert "no answer of an OpenAI-compatible" in refused(endpoint(serve((200, {}, body))))


@pytest.mark.parametrize("length", ["abc", "-5", "", "1e3", "47, 47", "\xb2", "9" * 5000])
def test_a_length_that_is_none_is_not_heeded(serve: Callable[..., Server], length: str) -> None:
    body = ok("Heat")[2]  # type: ignore[index]
    assert ask(endpoint(serve((200, {"Content-Length": length}, body))), "hello") == ["Heat"]


def test_a_length_that_is_too_long_is_an_answer_that_broke_off_and_one_too_short_is_nonsense(
    serve: Callable[..., Server],
) -> None:
    body = ok("Heat")[2]  # type: ignore[index]
    server = serve((200, {"Content-Length": str(len(body) + 1)}, body), ok("Heat"))
    assert ask(endpoint(server), "hello") == ["Heat"]
    assert len(server.asked) == 2
    assert "no answer of an OpenAI-compatible" in refused(endpoint(serve((200, {"Content-Length": "9"}, body))))


def test_a_chunk_of_less_than_nothing_is_not_read_without_end(serve: Callable[..., Server]) -> None:
    server = serve((200, {"Transfer-Encoding": "chunked"}, b"-1\r\n" + b"x" * 3_000_000))
    assert len(TimedHttp().post(server.url, b"{}", {}, 5.0, 100_000)) == 100_000


def error(status: int, *, message: str, **more: Any) -> Reply:
    return status, {}, json.dumps({"error": {"message": message, **more}}, indent=2).encode()


GOOD = "Heat\nCasino"
ODD: dict[str, Reply] = {
    "an error of status 200": error(200, message="Provider returned error", code=429),
    "an error without a code": error(200, message="something"),
    "nothing in it": ok(None),
    "no choices": (200, {}, b'{"choices": []}'),
    "a page": (200, {}, b"<html>try again</html>"),
    "broken off": (200, {"Content-Length": "999"}, b'{"choices": [{"message"'),
    "half of it": (200, {}, b'{"choices": [{"message": {"content": "He'),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_one_odd_answer_among_good_ones_is_asked_for_again(serve: Callable[..., Server], odd: Reply) -> None:
    server = serve(ok(GOOD), odd, ok(GOOD))
    assert ask(endpoint(server, parallel=1), *"abcd") == [GOOD] * 4
    assert len(server.asked) == 5


@pytest.mark.parametrize("odd", ["an error without a code", "nothing in it", "no choices", "a page"])
def test_an_answer_that_stays_odd_is_one_without_titles(serve: Callable[..., Server], odd: str) -> None:
    server = serve(ok(GOOD), ODD[odd], ODD[odd], ok(GOOD))
    assert ask(endpoint(server, parallel=1), *"abcd") == [GOOD, "", GOOD, GOOD]


@pytest.mark.parametrize("refusal", [error(400, message="content_filter"), error(422, message="too long"), ok("", x=1)])
def test_a_prompt_that_is_refused_among_good_ones_is_one_without_titles(
    serve: Callable[..., Server], refusal: Reply
) -> None:
    server = serve(ok(GOOD), refusal, refusal, ok(GOOD))
    assert ask(endpoint(server, parallel=1, retries=1), *"abcd")[:2] == [GOOD, ""]


def test_a_run_ends_where_more_than_the_stated_share_fails(serve: Callable[..., Server]) -> None:
    replies = [ok(GOOD), *[error(400, message="no")] * 3]
    with pytest.raises(InputError, match=r"llm.candidates.max_failed: 3 of 4 answers .* hold no title, more than 25%"):
        ask(endpoint(serve(*replies), parallel=1), *"abcdefgh")
    assert ask(endpoint(serve(*replies), parallel=1, max_failed=0.3), *"abcd") == [GOOD, "", "", ""]
    with pytest.raises(InputError, match="max_failed: 1 of 2"):
        ask(endpoint(serve(*replies), parallel=1, max_failed=0), *"abcd")


def test_a_run_goes_on_where_no_share_ends_it(serve: Callable[..., Server]) -> None:
    assert ask(endpoint(serve(ok(GOOD), error(400, message="no")), max_failed=1, parallel=1), *"ab") == [GOOD, ""]
    assert ask(endpoint(serve(ok(None)), max_failed=1), *"ab") == ["", ""]


@pytest.mark.parametrize(
    ("text", "finish", "says"),
    [
        (None, "length", "answers without a title, cut off by max_new_tokens; raise max_new_tokens"),
        (
            "<think>\nSo many films",
            "length",
            "answers without a title, cut off by max_new_tokens; raise max_new_tokens",
        ),
        ("I'm sorry, but I can't help with that.", "stop", "answers without a title: \"I'm sorry, but I can't"),
        ("None", "stop", "answers without a title: 'None'; check model and instruction"),
    ],
)
def test_a_run_in_which_no_answer_holds_a_title_ends(
    serve: Callable[..., Server], text: str | None, finish: str, says: str
) -> None:
    choice = {"message": {"content": text}, "finish_reason": finish}
    assert says in refused(endpoint(serve((200, {}, json.dumps({"choices": [choice]}).encode()))))


UNSUPPORTED = {
    "renamed": ("max_tokens", "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
    "fixed": ("temperature", "'temperature' does not support 0 with this model. Only the default (1) is supported."),
    "deprecated": ("temperature", "`temperature` is deprecated for this model."),
    "strictly positive": ("temperature", "`temperature` must be strictly positive"),
    "only one": ("temperature", "invalid temperature: only 1 is allowed for this model"),
    "unknown": ("max_tokens", "Unrecognized request argument supplied: max_tokens"),
}


class Picky:
    """A server's replies: it refuses some parameters, and answers what is sent without them."""

    def __init__(self, **refusals: str):
        self.refusals = refusals

    def __call__(self, body: dict[str, Any]) -> Reply:
        named = [said for name, said in self.refusals.items() if name in body]
        return error(400, message=named[0]) if named else ok(GOOD)


@pytest.mark.parametrize(("name", "said"), UNSUPPORTED.values(), ids=list(UNSUPPORTED))
def test_a_parameter_that_a_model_refuses_is_left_out_from_then_on(
    serve: Callable[..., Server], name: str, said: str
) -> None:
    server = serve(Picky(**{name: said}))
    assert ask(endpoint(server, parallel=1, max_new_tokens=77), *"abc") == [GOOD] * 3
    assert [name in body for _, body in server.asked] == [True, False, False, False]
    renamed = [body.get("max_completion_tokens") for _, body in server.asked[1:]]
    assert renamed == ([77] * 3 if name == "max_tokens" else [None] * 3)


def test_all_parameters_may_be_refused_one_after_the_other_and_by_many_at_once(serve: Callable[..., Server]) -> None:
    fussy = Picky(
        max_tokens="no max_tokens", max_completion_tokens="nor max_completion_tokens", temperature="temperature"
    )
    server = serve(fussy)
    assert ask(endpoint(server), *"abcdefgh") == [GOOD] * 8
    assert set(server.asked[-1][1]) == {"model", "messages", "path"}


def test_a_limit_that_is_too_large_is_no_parameter_that_is_refused(serve: Callable[..., Server]) -> None:
    said = "max_tokens is too large: 9000. This model supports at most 4096 completion tokens."
    server = serve(Picky(max_tokens=said))
    assert f"refuses with HTTP 400 {said}" in refused(endpoint(server))
    assert len(server.asked) == 1


def test_the_reason_of_a_server_is_shown_whole_and_readable(serve: Callable[..., Server]) -> None:
    reason = "This model does not exist, " + ", ".join(f"but model-{place} does" for place in range(40))
    assert reason in refused(endpoint(serve(error(404, message=reason))))
    page = b"<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>"
    assert "HTTP 502 502 Bad Gateway nginx" in refused(endpoint(serve((502, {}, page))))
    assert len(refused(endpoint(serve((400, {}, b"x" * 60_000))))) < 3000


def test_an_address_that_is_none_and_a_key_that_is_not_set_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    for changes, message in (
        ({"url": "localhost:8000"}, "is no address"),
        ({"url": "https://user:pw@host/v1"}, "holds a user"),
        ({"url": "https://host/v1", "key_variable": "MY_KEY"}, "MY_KEY is not set"),
    ):
        with pytest.raises(InputError, match=message):
            Endpoint(Section.model_validate({"model": "m"} | changes), NullProgress())


class Failing:
    """Fails at the third portion."""

    name, list_length, content_hash = "failing", 1, "failing"

    def __init__(self) -> None:
        self.calls = 0

    def lists(self, users: Any, as_of: Any) -> CandidateLists:
        self.calls += 1
        if self.calls == 3:
            raise InputError("gone")
        return CandidateLists(np.zeros((len(users), 1), dtype=np.int32), np.ones(len(users), dtype=bool), as_of)


def test_answers_that_came_before_a_failure_are_kept(tmp_path: Any) -> None:
    offsets, store = np.array([0, 100]), ArtifactStore(tmp_path)
    first = CachedCandidates(Failing(), offsets, store, save_every=10)
    users, as_of = np.zeros(50, dtype=np.int64), np.arange(50)
    with pytest.raises(InputError):
        first.lists(users, as_of)
    again = Failing()
    CachedCandidates(again, offsets, store, save_every=10).lists(users[:20], as_of[:20])
    assert again.calls == 0
