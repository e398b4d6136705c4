"""Requests sent to a server at given moments, whatever has become of those before (open loop), over one asyncio loop.

What is late is the sender's own: a request that goes out more than `LATE_S` after its moment is counted. The number
of requests under way is bounded: one that would be one too many is not sent, and is counted as held back, for to send
it later would let the server set the pace. Answers are read as streams, and each piece keeps the moment it came.
"""

import asyncio
import gc
import json
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from fleetrec.models.llm.api_key import ApiKey
from fleetrec.models.llm.chat_parameters import ChatParameters, chat_address
from fleetrec.models.llm.replies import NoReply, said_by
from fleetrec.models.llm.streams import Streamed, read_stream

LATE_S = 0.02
_MOST_BYTES = 2_000_000
_MOST_SAID = 300
_HOPELESS = 10
"""first answers, all of which are none, after which no more is sent"""
_GRACE_S = 0.05
"""before the first moment, so that the loop is ready"""

End = Literal["answered", "refused", "timed_out", "broken_off", "no_answer", "unreachable", "held_back", "unfinished"]


@dataclass(frozen=True)
class Server:
    """An OpenAI-compatible endpoint, and how it is asked."""

    url: str
    model: str
    key: ApiKey
    parameters: ChatParameters
    timeout_s: float

    @property
    def address(self) -> str:
        """Where answers are asked for."""
        return chat_address(self.url)

    def clean(self, said: object) -> str:
        """One line of what the server said, without the key."""
        return self.key.one_line(said, _MOST_SAID)


@dataclass(frozen=True)
class Due:
    """A request to send: when, counted from the first moment, what, and the most tokens of its answer."""

    due_s: float
    prompt: str
    limit: int


@dataclass
class Sent:
    """What became of a request; times in seconds since the first moment, NaN where it did not come so far."""

    due_s: float
    sent_s: float = float("nan")
    ended_s: float = float("nan")
    end: End = "unfinished"
    status: int = 0
    """of HTTP; 0: none"""
    why: str = ""
    """no answer, in the words of the server where it has some"""
    answer: Streamed | None = None


@dataclass
class Sending:
    """All that was sent, in order, and whether sending ended before all was."""

    sent: list[Sent] = field(default_factory=list)
    answered: int = 0
    failed: int = 0
    interrupted: bool = False

    @property
    def hopeless(self) -> bool:
        """Whether the first answers were all none."""
        return self.answered == 0 and self.failed >= _HOPELESS


def send(server: Server, due: Sequence[Due], most: int, ended: Callable[[int, Sent], None]) -> Sending:
    """Send each request at its moment; `most` at once. `ended` is told the number and the end of each as it comes.

    An interrupt ends it, with what was measured; a second one is raised.
    """
    sending = Sending()
    gc.freeze()  # to look through all that was simulated takes 0.2 s, in which nothing would be sent
    try:
        asyncio.run(_send(server, due, most, ended, sending))
    finally:
        gc.unfreeze()
    return sending


def ask(server: Server, due: Due) -> Sent:
    """One request, at once."""
    return send(server, [due], 1, lambda number, sent: None).sent[0]


async def _send(
    server: Server, due: Sequence[Due], most: int, ended: Callable[[int, Sent], None], sending: Sending
) -> None:
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=server.timeout_s)
    bodies = [json.dumps(server.parameters.body(server.model, one.prompt, one.limit)).encode() for one in due]
    under_way: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        begin_s = loop.time() + _GRACE_S

        async def one(number: int, sent: Sent) -> None:
            await _ask(session, server, bodies[number], sent, begin_s)
            ended(number, sent)
            sending.answered += sent.answer is not None
            sending.failed += sent.answer is None

        try:
            for number, request in enumerate(due):
                wait_s = begin_s + request.due_s - loop.time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if sending.hopeless:
                    break
                sent = Sent(request.due_s)
                sending.sent.append(sent)
                if len(under_way) >= most:
                    sent.end = "held_back"
                    ended(number, sent)
                    continue
                task = loop.create_task(one(number, sent))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            while under_way and not sending.hopeless:
                await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            sending.interrupted = True
        for task in under_way:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*under_way, return_exceptions=True)


async def _ask(session: aiohttp.ClientSession, server: Server, body: bytes, sent: Sent, begin_s: float) -> None:
    """Send one request and note what comes of it."""
    loop = asyncio.get_running_loop()
    pieces: list[tuple[float, bytes]] = []
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"} | server.key.header()
    sent.sent_s = loop.time() - begin_s
    try:
        async with session.post(server.address, data=body, headers=headers, allow_redirects=False) as response:
            sent.status, size = response.status, 0
            async for piece in response.content.iter_any():
                pieces.append((loop.time() - begin_s, piece))
                size += len(piece)
                if size > _MOST_BYTES:
                    break
    except TimeoutError:
        sent.end, sent.why = "timed_out", f"no whole answer within {server.timeout_s:g} s"
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        sent.end, sent.why = "unreachable", f"has a certificate that is not trusted ({server.clean(reason)})"
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError):
        sent.end, sent.why = "broken_off", "the answer broke off"
    except (aiohttp.ClientConnectorError, ssl.SSLError) as error:
        sent.end, sent.why = "unreachable", server.clean(getattr(error, "os_error", error))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        sent.end, sent.why = "no_answer", f"this is no HTTP: {server.clean(error)}"
    else:
        _read(server, pieces, sent)
    sent.ended_s = loop.time() - begin_s


def _read(server: Server, pieces: Sequence[tuple[float, bytes]], sent: Sent) -> None:
    body = b"".join(piece for _, piece in pieces)
    if sent.status != 200:
        said = said_by(body.decode("utf-8", "replace"))
        sent.end, sent.why = "refused", server.clean(f"HTTP {sent.status} {said}".strip())
        return
    try:
        answer = read_stream(pieces)
    except NoReply as error:
        if error.code is not None:
            sent.end, sent.status, sent.why = "refused", error.code, server.clean(error)
        elif body.lstrip().startswith(b"data:"):
            sent.end, sent.why = "broken_off", "the stream ended in the midst of an answer"
        else:
            sent.end, sent.why = "no_answer", server.clean(error)
        return
    if not answer.ended:
        sent.end, sent.why = "broken_off", "the stream ended before the answer did"
    elif not answer.events:
        sent.end, sent.why = "no_answer", "answers with nothing"
    else:
        sent.end, sent.answer = "answered", answer
