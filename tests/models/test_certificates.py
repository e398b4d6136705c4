"""An endpoint by TLS: a server whose certificate is no good is sent nothing, and that is told at once in one line.

The certificates are of one key, signed by itself, for 127.0.0.1 unless the name says otherwise, until 2120.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.candidates.endpoint import Endpoint as Section

HELD = Path(__file__).parent / "certificates"
KEY = "sk-very-secret"
Ask = Callable[[str, str], str]


class Server(BaseHTTPRequestHandler):
    """Answers with one title."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(str(self.headers["Authorization"]))
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"choices": [{"message": {"content": "Heat"}}]}')

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    """The answer of a server with a certificate, where another one is the file of trusted authorities."""
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Server, "asked", [], raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    plain = server.socket

    def asked(certificate: str, trusted: str) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(HELD / certificate)
        server.socket = context.wrap_socket(plain, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("SSL_CERT_FILE", trusted)
        url = f"https://127.0.0.1:{server.server_port}/v1"
        given = {"url": url, "model": "m", "key_variable": "MY_KEY", "timeout": 5, "retries": 5, "backoff": 60}
        return next(Endpoint(Section.model_validate(given), NullProgress()).answers(["hello"]))[1].text

    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("certificate", "trusted", "said"),
    [
        ("trusted.pem", "/dev/null", "self-signed certificate"),
        ("other_host.pem", str(HELD / "other_host.pem"), "IP address mismatch"),
        ("expired.pem", str(HELD / "expired.pem"), "certificate has expired"),
    ],
)
def test_a_server_with_a_bad_certificate_is_sent_nothing_and_is_told_at_once(
    ask: Ask, certificate: str, trusted: str, said: str
) -> None:
    with pytest.raises(InputError, match=rf"a certificate that is not trusted \(.*{said}.*SSL_CERT_FILE$") as found:
        ask(certificate, trusted)
    assert "\n" not in str(found.value)
    assert Server.asked == []


def test_a_certificate_of_an_authority_of_ones_own_is_trusted_once_its_file_is_named(ask: Ask) -> None:
    assert ask("trusted.pem", str(HELD / "trusted.pem")) == "Heat"
    assert Server.asked == [f"Bearer {KEY}"]
