"""A server of an OpenAI-compatible endpoint over real sockets, for tests and for the sender's own speed: instant,
batching by a known law, or in one of the ways in which servers go wrong. Written from the protocol alone.

    python benchmarks/chat_server.py [--port 8001]      # the instant one, until it is interrupted
"""

import argparse
import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

TITLES = "\n".join(f"{place}. item {place + 3}" for place in range(1, 11))


@dataclass
class Law:
    """Seconds of a step of a batch: `fixed_s`, and for each token that it reads or writes."""

    fixed_s: float
    per_token_s: float
    budget: int = 10_000
    """tokens of a step"""


@dataclass
class ChatServer:
    """What it does with a request for an answer; `asked` holds every body that came, `headers` theirs."""

    model: str = "m"
    text: str = TITLES
    law: Law | None = None
    status: int = 200
    """other than 200: refuses with it"""
    key: str | None = None
    drops: Callable[[int], bool] = lambda number: False
    """whether the answer to that request breaks off half-way"""
    hangs: Callable[[int], bool] = lambda number: False
    nonsense: bool = False
    counts_tokens: bool = True
    refuses_parameter: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0
    _waiting: list[tuple[int, int, "asyncio.Queue[int]"]] = field(default_factory=list)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """What a client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Answer whoever comes, until `stop`."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        steps = asyncio.create_task(self._steps()) if self.law is not None else None
        started.set()
        await stop.wait()
        if steps is not None:
            steps.cancel()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if first.startswith("GET"):
                    self._json(writer, 200, {"object": "list", "data": [{"id": self.model}]})
                    continue
                number = len(self.asked)
                self.asked.append(json.loads(body))
                self.headers.append(headers)
                if not await self._answer(number, self.asked[-1], headers, writer):
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    def _json(self, writer: asyncio.StreamWriter, status: int, held: Any) -> None:
        text = json.dumps(held).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        )
        writer.write(text)

    async def _answer(
        self, number: int, asked: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may go on."""
        if self.hangs(number):
            await asyncio.sleep(3600)
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            said = headers.get("authorization", "nothing")
            self._json(writer, 401, {"error": {"message": f"wrong key: {said}"}})
            return True
        if self.refuses_parameter in asked:
            self._json(writer, 400, {"error": {"message": f"unknown parameter {self.refuses_parameter}"}})
            return True
        if self.status != 200:
            self._json(writer, self.status, {"error": {"message": f"model {asked['model']} does not exist"}})
            return True
        if self.nonsense:
            page = b"<html><body>It works!</body></html>"
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page)
            )
            return True
        await self._stream(number, asked, writer)
        return not self.drops(number)

    async def _stream(self, number: int, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        prompt = asked["messages"][0]["content"]
        pieces = self.text.splitlines(keepends=True)
        if self.law is not None:
            pieces = re.findall(r"\S+\s*", self.text)
        limit = asked.get("max_tokens", asked.get("max_completion_tokens", len(pieces)))
        written = pieces[:limit]
        prompt_tokens = len(prompt.split())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        tokens: asyncio.Queue[int] = asyncio.Queue()
        if self.law is not None:
            self._waiting.append((prompt_tokens, len(written), tokens))
            self._came.set()
        for place, piece in enumerate(written):
            if self.law is not None:
                await tokens.get()
            if self.drops(number) and place >= len(written) // 2:
                return
            self._event(writer, {"choices": [{"index": 0, "delta": {"content": piece}}]})
        reason = "length" if len(written) == limit else "stop"
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": len(written)}
        last: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        self._event(writer, last | ({"usage": usage} if self.counts_tokens else {}))
        self._chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    def _event(self, writer: asyncio.StreamWriter, held: dict[str, Any]) -> None:
        self._chunk(writer, b"data: " + json.dumps({"model": self.model, **held}).encode() + b"\n\n")

    @staticmethod
    def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _steps(self) -> None:
        """Continuous batching: each step reads a prompt or more, within the budget, and gives all others a token."""
        law = self.law
        assert law is not None
        running: list[tuple[int, asyncio.Queue[int]]] = []
        loop = asyncio.get_running_loop()
        now = loop.time()
        while True:
            if not running and not self._waiting:
                self._came.clear()
                await self._came.wait()
                now = loop.time()
            new_tokens = len(running)
            joined: list[tuple[int, asyncio.Queue[int]]] = []
            while self._waiting and (not joined or new_tokens + self._waiting[0][0] <= law.budget):
                prompt, output, tokens = self._waiting.pop(0)
                new_tokens += prompt
                joined.append((output, tokens))
            now = max(now, loop.time() - 0.005) + law.fixed_s + law.per_token_s * new_tokens
            await asyncio.sleep(max(now - loop.time(), 0.0))
            for _, tokens in running + joined:
                tokens.put_nowait(1)
            running = [(left - 1, tokens) for left, tokens in running + joined if left > 1]


@contextmanager
def serving(server: ChatServer) -> Iterator[ChatServer]:
    """The server at its address, until the block ends."""
    started, stop, loops = threading.Event(), asyncio.Event(), list[asyncio.AbstractEventLoop]()

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(started, stop)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield server
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8001)
    server = ChatServer(port=parser.parse_args().port)
    asyncio.run(server.serve(threading.Event(), asyncio.Event()))


if __name__ == "__main__":
    main()
