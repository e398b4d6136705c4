"""The endpoint's key is shown nowhere, whatever is wrong with it and whatever a server does with it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from fleetrec.models.llm.api_key import ApiKey, read_key
from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.runtime.web_address import address_problem
from fleetrec.simulator.preparation.candidates.endpoint import Endpoint as Section

KEY = "sk-SECRET" + "0123456789abcdef" * 4
ROOT = Path(__file__).parents[2]


class Hostile(BaseHTTPRequestHandler):
    """Does with a request what its path says."""

    asked: dict[str, int]

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        mode, said = self.path.split("/")[1], str(self.headers["Authorization"])
        with contextlib.suppress(OSError):
            if mode == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.05)
            elif mode == "drip_head":
                for letter in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400:
                    self.wfile.write(bytes([letter]))
                    time.sleep(0.05)
            elif mode == "half":
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choices')
            elif mode == "deep":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 900_000)
            elif mode == "many_digits":
                usage = b'"usage":{"prompt_tokens":' + b"9" * 400 + b',"completion_tokens":-7}'
                self.wfile.write(b'HTTP/1.1 200 OK\r\n\r\n{"choices":[{"message":{"content":"x"}}],' + usage + b"}")
            elif mode == "reason":
                self.wfile.write(f"{said} 200 OK\r\n\r\n".encode())
            elif mode == "escapes":
                self.wfile.write(b"HTTP/1.1 401 no\r\n\r\n\x1b[2J\x1b]0;title\x07" + said.encode())
            else:
                code = int(mode)
                self.wfile.write(f"HTTP/1.1 {code} no\r\n\r\n{'x' * 150} {said}".encode())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(url: str, **changes: object) -> list[tuple[str, float, float]]:
    base = {"url": url, "model": "m", "key_variable": "MY_KEY", "timeout": 0.3, "retries": 1, "backoff": 0.01}
    found = list(Endpoint(Section.model_validate(base | changes), NullProgress()).answers(["p"]))
    return [(one.text, one.prompt_tokens, one.output_tokens) for _, one in found]


def longest_shown(text: str) -> int:
    """Characters of the key in a row that a text shows."""
    return max(n for n in range(len(KEY) + 1) if any(KEY[at : at + n] in text for at in range(len(KEY) - n + 1)))


@pytest.mark.parametrize("mode", ["401", "500", "200", "reason", "escapes", "half", "deep"])
def test_no_failure_shows_the_key_or_a_longer_piece_of_it(url: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(InputError) as found:
        ask(f"{url}/{mode}")
    message = str(found.value)
    assert message == printable(message)
    assert longest_shown("".join(traceback.format_exception(found.value))) < 8


@pytest.mark.parametrize("value", [f"{KEY}\n", f"  {KEY}\r\n", f"{KEY}\t"])
def test_a_key_is_used_without_the_white_space_around_it(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    assert read_key("MY_KEY", "here").header() == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("value", [f"{KEY[:20]}\n{KEY[20:]}", f"{KEY}€", f"{KEY} x", KEY * 200, "\U0001f511"])
def test_a_key_that_cannot_be_sent_is_refused_where_it_is_read(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(InputError, match=r"the environment variable MY_KEY holds no key") as found:
        read_key("MY_KEY", "llm.candidates.key_variable")
    assert longest_shown(str(found.value)) < 4


def test_a_key_shows_itself_neither_in_its_words_nor_in_pieces() -> None:
    key = ApiKey(KEY)
    assert longest_shown(repr(vars(key)) + repr(key) + str(key)) < 4
    assert key.masked(f"a {KEY} b {KEY[:40]} c {KEY[30:]}") == "a *** b *** c ***"
    assert ApiKey("").masked("text") == "text"


@pytest.mark.parametrize("mode", ["drip", "drip_head"])
def test_an_answer_that_drips_is_left_when_its_time_is_over(
    url: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"gave no answer in 1 try: no answer within 0.3 s"):
        ask(f"{url}/{mode}", retries=0)
    assert time.monotonic() - started < 2


def test_an_answer_that_breaks_off_is_asked_for_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(InputError, match=r"no answer in 2 tries: the answer broke off"):
        ask(f"{url}/half")


def test_counts_that_cannot_be_are_no_counts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    ((text, prompt, output),) = ask(f"{url}/many_digits")
    assert text == "x"
    assert np.isnan([prompt, output]).all()


def test_an_interrupt_acts_though_a_server_is_silent() -> None:
    code = (
        "import numpy as np\n"
        "from fleetrec.models.llm.endpoint import Endpoint\n"
        "from fleetrec.models.runtime.progress import NullProgress\n"
        "from fleetrec.simulator.preparation.candidates.endpoint import Endpoint as Section\n"
        "import sys\n"
        "section = Section.model_validate({'url': sys.argv[1], 'model': 'm', 'timeout': 60})\n"
        "print('ready', flush=True)\n"
        "list(Endpoint(section, NullProgress()).answers(['p'] * 9))\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process = subprocess.Popen(
            [sys.executable, "-c", code, url],
            cwd=ROOT,
            env={**os.environ, "no_proxy": "*"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout is not None
        process.stdout.readline()
        silent.settimeout(60)
        silent.accept()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(30)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://h:99999/v1",
        "http://h:abc/v1",
        "http://h:0/v1",
        "http://a..b/v1",
        f"http://{'a' * 70}.x/v1",
        "http://host/ü",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h\\@x/",
        "ftp://x",
        "http://u:p@h/",
        "http://h/#f",
        "",
        f"http://{'y' * 100_000}",
    ],
)
def test_an_address_that_cannot_be_asked_is_told_when_it_is_read(address: str) -> None:
    assert address_problem(address)
    with pytest.raises(InputError, match=r"^llm.candidates.url: "):
        ask(address, key_variable=None)


def test_an_address_that_can_be_asked_is_none_of_these() -> None:
    for address in ("http://localhost:8000/v1", "https://api.example.org/v1/", "http://[::1]:80/v1", "HTTP://H/%20"):
        assert address_problem(address) is None


@pytest.mark.parametrize("kind", ["AutoTokenizer", "AutoConfig"])
def test_no_code_of_a_checkpoint_is_run_nor_is_anyone_asked(kind: str, tmp_path: Path) -> None:
    checkpoint, mark = tmp_path / "checkpoint", tmp_path / "was_here"
    checkpoint.mkdir()
    (checkpoint / "evil.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nclass Evil: ...\nclass EvilConfig: ...\n", encoding="utf-8"
    )
    auto = '"auto_map": {"AutoTokenizer": ["evil.Evil", null], "AutoConfig": "evil.EvilConfig"}'
    (checkpoint / "config.json").write_text(f'{{"model_type": "evil", {auto}}}', encoding="utf-8")
    (checkpoint / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "Evil", {auto}}}', encoding="utf-8")
    call = f"read_auto({kind!r}, Path({str(checkpoint)!r}))"
    code = f"from fleetrec.models.llm.checkpoints import read_auto\nfrom pathlib import Path\n{call}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        input="y\n" * 9,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "fleetrec.models.runtime.errors.InputError: llm.candidates.checkpoint" in done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert not mark.exists()
