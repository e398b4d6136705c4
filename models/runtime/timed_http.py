"""HTTP requests with a deadline for the whole answer, however slowly a server lets it drip; redirects are errors."""

import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

_PIECE = 65_536


class TooLate(Exception):
    """The whole answer was not there in time."""


class Refused(Exception):
    """An answer whose status is no success. `said`: the beginning of its body; `retry_after`: its header, if any."""

    def __init__(self, code: int, said: bytes, retry_after: str | None):
        super().__init__(f"HTTP {code}")
        self.code, self.said, self.retry_after = code, said, retry_after


class BrokenOff(Exception):
    """The connection ended before the answer that it had announced was whole."""


class _Watch:
    """Shuts a connection once its time is over, in whatever it is then."""

    def __init__(self, seconds: float):
        self.late = False
        self._held: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Watch":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def hold(self, connected: socket.socket) -> None:
        with self._lock:
            self._held = connected
            self._shut()

    def _cut(self) -> None:
        with self._lock:
            self.late = True
            self._shut()

    def _shut(self) -> None:
        if self.late and self._held is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._held, socket.SHUT_RDWR)  # also below a TLS socket, whose own waits


class _Request(urllib.request.Request):
    watch: _Watch


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect is an error: what is sent is for the host that the user named."""


def _watched(make: Callable[..., Any], request: _Request) -> Callable[..., Any]:
    def made(host: str, **options: Any) -> Any:
        connection = make(host, **options)
        connect = connection.connect

        def connected() -> None:
            connect()
            request.watch.hold(connection.sock)

        connection.connect = connected
        return connection

    return made


class _Http(urllib.request.HTTPHandler):
    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        return super().do_open(_watched(http_class, req), req, **options)


class _Https(urllib.request.HTTPSHandler):
    def do_open(self, http_class: Any, req: Any, **options: Any) -> Any:
        return super().do_open(_watched(http_class, req), req, **options)


class TimedHttp:
    """Sends requests; may be shared by threads."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(_NoRedirects, _Http, _Https)

    def post(self, address: str, body: bytes, headers: Mapping[str, str], timeout_s: float, most: int) -> bytes:
        """The answer's body, up to `most` bytes of it.

        Raises TooLate, BrokenOff and Refused; OSError and HTTPException where there is no answer.
        """
        request = _Request(address, body, dict(headers), method="POST")
        with _Watch(timeout_s) as request.watch:
            try:
                with self._opener.open(request, timeout=timeout_s) as response:
                    body = _whole(response, most)
                if request.watch.late:
                    raise TooLate
                return body
            except urllib.error.HTTPError as error:
                raise Refused(error.code, _said(error, most), error.headers.get("Retry-After")) from None
            except (OSError, http.client.HTTPException, BrokenOff) as error:
                reason = getattr(error, "reason", error)
                if request.watch.late or isinstance(reason, TimeoutError):
                    raise TooLate from None
                raise


def pieces(response: Any, most: int) -> Iterator[bytes]:
    """The body of an answer as it comes, up to `most` bytes and never more at once, whatever length it announces."""
    while most > 0 and (piece := response.read1(min(most, _PIECE))):
        yield piece[:most]
        most -= len(piece)


def _whole(response: Any, most: int) -> bytes:
    body = b"".join(pieces(response, most))
    if len(body) < most and response.length:
        raise BrokenOff
    return body


def _said(error: Any, most: int) -> bytes:
    said = bytearray()
    with suppress(OSError, http.client.HTTPException):
        for piece in pieces(error, most):
            said += piece
    return bytes(said)
