"""What answers of models are made of: bodies as servers send them, lists as models write them, and reasons."""

import json
from dataclasses import dataclass, field
from typing import Any

THINKING, AFTER, OUTSIDE, HEADING = "thinking", "after the end of the turn", "outside of the list", "a heading"
OPENING, CLOSING, NOTE, PROSE = "words before the list", "words after the list", "a note on a title", "prose"
REFUSAL, NOTHING, CUT = "a refusal", "says that there is none", "cut off"
BEYOND = "beyond the titles asked for"

THREE = ["Heat (1995)", "Casino (1995)", "Fargo (1996)"]
LINES = "\n".join(THREE)
NUMBERED = "\n".join(f"{place}. {title}" for place, title in enumerate(THREE, start=1))
QUOTED = json.dumps(THREE)
RANKED = json.dumps([{"rank": place, "title": title} for place, title in enumerate(THREE, start=1)])


@dataclass
class Case:
    """A body, the titles in it, and the reasons why pieces of it are none, in any order."""

    kind: str
    body: Any
    titles: list[str] = field(default_factory=lambda: list(THREE))
    whys: list[str] = field(default_factory=list)
    cut: bool = False


def chat(content: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """A reply of OpenAI's /chat/completions."""
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }


def events(*pieces: str, finish: str = "stop") -> str:
    """A reply as a stream of events."""
    sent = [{"choices": [{"delta": {"content": piece}, "finish_reason": None}]} for piece in pieces]
    sent.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    return "".join(f"data: {json.dumps(one)}\n\n" for one in sent) + "data: [DONE]\n\n"


def tool(arguments: Any) -> dict[str, Any]:
    """A reply that calls a tool."""
    return chat(
        None, "tool_calls", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": arguments}}]
    )
