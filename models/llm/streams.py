"""The events of an answer that is streamed as it is written: when its first and its last token came, and its whole."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetrec.models.llm.replies import NoReply, Reply, read_events, read_reply

_WRITTEN = ("content", "text", "reasoning_content", "reasoning", "tool_calls", "refusal")
_DONE = b"[DONE]"


@dataclass(frozen=True)
class Streamed:
    """An answer in pieces; times are of the clock that the pieces have, NaN where nothing is written."""

    reply: Reply
    written_s: tuple[float, ...]
    """when each event came that brought something written, thinking included"""
    ended: bool
    """whether the model had come to an end, and not only the connection"""
    model: str
    """that the server says it is"""

    @property
    def first_s(self) -> float:
        """When its first token came."""
        return self.written_s[0] if self.written_s else math.nan

    @property
    def last_s(self) -> float:
        """When its last token came."""
        return self.written_s[-1] if self.written_s else math.nan

    @property
    def events(self) -> int:
        """Events that brought something written: as many tokens, where the server does not count them."""
        return len(self.written_s)


def read_stream(pieces: Sequence[tuple[float, bytes]]) -> Streamed:
    """The answer in pieces [(when each came, what it held)]. NoReply where there is none, or where it is no stream."""
    times: list[float] = []
    events, ended, model = [], False, ""
    for came_s, line in _lines(pieces):
        data = line.removeprefix(b"data:").strip()
        ended |= data == _DONE
        if not (line.startswith(b"data:") and data.startswith(b"{")):
            continue
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise NoReply(data.decode("utf-8", "replace"), known=False) from None
        events.append(event)
        model = str(event.get("model") or model)
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping):
                ended |= bool(choice.get("finish_reason"))
                times += [came_s] * _writes(choice)
    if not events:
        whole = read_reply(b"".join(piece for _, piece in pieces))
        raise NoReply(f"an answer in one piece, though a stream was asked for: {whole.text[:80]}")
    return Streamed(read_events(events), tuple(times), ended, model)


def _lines(pieces: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, bytes]]:
    """Each line, with when its end came."""
    rest, came_s = b"", 0.0
    for came_s, piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield came_s, line.strip()
    if rest:
        yield came_s, rest.strip()


def _writes(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta")
    return any(held.get(name) for held in (choice, delta) if isinstance(held, Mapping) for name in _WRITTEN)
