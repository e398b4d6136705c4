"""The body of a server's reply, read as what the model wrote; OpenAI's form, and those of the servers behind gateways.

Text stands in `content` as a string, in parts or as data, in the arguments of a tool call, in `text` of an older form,
in the events of a stream. Thinking that comes apart from it is no answer. A reply of status 200 may be an error.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CUT = frozenset(["length", "max_tokens", "max_output_tokens", "limit", "model_length", "incomplete"])
_REFUSED = frozenset(["content_filter", "safety", "refusal", "prohibited_content", "recitation", "blocklist"])
_PASSING = ("rate", "overload", "unavailable", "server", "timeout", "busy", "quota", "capacity", "internal")
_MOST_TOKENS = 1e9
_TAG = re.compile(r"<[^<>]*>")
_PROMPT_TOKENS = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens", "prompt_eval_count")
_OUTPUT_TOKENS = ("completion_tokens", "output_tokens", "candidatesTokenCount", "outputTokens", "eval_count")
_TOO_MANY, _FAILING = 429, 500


class NoReply(Exception):
    """A body that holds no answer, and why; `code`: the HTTP status that says it best, where it is an error."""

    def __init__(self, reason: str, code: int | None = None, known: bool = True):
        super().__init__(reason)
        self.code = code
        self.known = known
        """whether it is in the form of an answer at all"""


@dataclass(frozen=True)
class Reply:
    """What a model wrote. `cut`: it had not ended; `refused`: it, or a filter behind it, would not answer."""

    text: str
    cut: bool = False
    refused: bool = False
    prompt_tokens: float = math.nan
    output_tokens: float = math.nan


def read_reply(body: bytes) -> Reply:
    """The reply in a body. Raises NoReply where there is none."""
    text = body.decode("utf-8-sig", "replace").strip()
    if not text:
        raise NoReply("nothing", known=False)
    try:
        held = json.loads(text)
        if isinstance(held, str):
            held = json.loads(held)
    except (ValueError, RecursionError):
        held = _streamed(text)
    if isinstance(held, list) and len(held) == 1 and isinstance(held[0], Mapping):
        held = held[0]
    if not isinstance(held, Mapping):
        raise NoReply(text, known=False)
    return _reply(held, text)


def read_events(events: Sequence[Mapping[str, Any]]) -> Reply:
    """The reply that a stream's events make up. Raises NoReply where there is none."""
    return _reply(_joined(events), json.dumps(events[:1], ensure_ascii=False))


def _reply(held: Mapping[str, Any], text: str) -> Reply:
    error = _error(held)
    if error is not None:
        raise error
    found = _found(held)
    if found is None:
        raise NoReply(text, known=False)
    return found


def said_by(body: str) -> str:
    """The reason in the body of an error, out of the JSON or HTML that it comes in."""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError):
        return " ".join(_TAG.sub(" ", body).split()) if body.lstrip().startswith("<") else body
    return _message(held) or body


def _message(held: Any) -> str:
    """The words in an error, whatever they are called; several of them joined."""
    if isinstance(held, str):
        return held
    if isinstance(held, Sequence):
        return "; ".join(filter(None, map(_message, held)))
    if not isinstance(held, Mapping):
        return ""
    for name in ("error", "errors", "message", "msg", "detail", "details", "error_description", "reason", "title"):
        if held.get(name):
            said = _message(held[name])
            place = held.get("loc") or held.get("param")
            where = ".".join(map(str, place)) if isinstance(place, list) else str(place or "")
            more = _message(held.get("metadata", {}).get("raw")) if isinstance(held.get("metadata"), Mapping) else ""
            shown = f"{where}: {said}" if where and where not in said else said
            if said:
                return f"{shown} ({more})" if more else shown
    return ""


def _error(held: Mapping[str, Any]) -> NoReply | None:
    """The error that a reply of status 200 may be."""
    choices = held.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    status = held.get("base_resp") if isinstance(held.get("base_resp"), Mapping) else {}
    assert isinstance(status, Mapping)
    if status.get("status_code"):
        return NoReply(str(status.get("status_msg") or status), _TOO_MANY)
    error = held.get("error") or held.get("errors") or first.get("error")
    is_one = held.get("object") == "error" or held.get("type") == "error" or held.get("success") is False
    told = not choices and "choices" not in held and not _found(held) and ("detail" in held or "message" in held)
    if not (error or is_one or (told and not isinstance(held.get("message"), Mapping))):
        return None
    source = error if isinstance(error, Mapping) else held
    codes = [source.get(name) for name in ("code", "status", "type", "status_code")]
    return NoReply(_message(error or held) or json.dumps(held, ensure_ascii=False), _status(codes))


def _status(codes: Sequence[Any]) -> int | None:
    for code in codes:
        digits = str(code) if isinstance(code, int | str) else ""
        if digits.isdigit() and 400 <= int(digits[:3]) < 600 and len(digits) == 3:
            return int(digits)
    words = " ".join(str(code).lower() for code in codes if isinstance(code, str))
    if "rate" in words:
        return _TOO_MANY
    return _FAILING if any(word in words for word in _PASSING) else None


def _streamed(text: str) -> Any:
    """The whole of a stream of events, or of lines of JSON; None where it is neither."""
    pieces: list[Any] = []
    for line in text.splitlines():
        part = line.removeprefix("data:").strip()
        if not part.startswith("{"):
            continue
        try:
            pieces.append(json.loads(part))
        except (ValueError, RecursionError):
            return None
    if not pieces or not (text.startswith(("data:", "event:", ":")) or len(pieces) > 1):
        return None
    return _joined(pieces)


def _joined(pieces: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The pieces of a stream as one reply, or as the error that is among them."""
    for piece in pieces:
        if piece.get("error"):
            return piece
    replies = [found for piece in pieces if (found := _found(piece))]
    usage = next((piece["usage"] for piece in reversed(pieces) if isinstance(piece.get("usage"), Mapping)), None)
    reason = "length" if any(reply.cut for reply in replies) else "stop"
    text = "".join(reply.text for reply in replies)
    return {"choices": [{"message": {"content": text}, "finish_reason": reason}], "usage": usage}


def _found(held: Mapping[str, Any]) -> Reply | None:
    """What was written, in whichever form; None where it is none of those known."""
    usage = next((held[key] for key in ("usage", "usageMetadata") if isinstance(held.get(key), Mapping)), held)
    for message, reason in _messages(held):
        text = _text(message)
        refusal = message.get("refusal") if isinstance(message, Mapping) else None
        ended = str(reason or "").lower()
        return Reply(
            text.encode("utf-8", "replace").decode(),  # no half of a surrogate pair
            cut=ended in _CUT,
            refused=ended in _REFUSED or (not text.strip() and bool(refusal)),
            prompt_tokens=_tokens(usage, _PROMPT_TOKENS),
            output_tokens=_tokens(usage, _OUTPUT_TOKENS),
        )
    return None


def _messages(held: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(message, why it ended): of the first choice that has one, in the forms of OpenAI, Google and others."""
    choices = held.get("choices", held.get("candidates"))
    if isinstance(choices, list):
        having = [one for one in choices if isinstance(one, Mapping)]
        messages = [
            (
                one.get("message") or one.get("delta") or one.get("content") or one,
                one.get("finish_reason", one.get("finishReason")),
            )
            for one in having
        ]
        yield from sorted(messages, key=lambda pair: not _text(pair[0]).strip())
        if not having:
            blocked = isinstance(held.get("promptFeedback"), Mapping)
            yield {}, "safety" if blocked else None
        return
    output = held.get("output")
    ended = held.get("stop_reason", held.get("stopReason", held.get("done_reason", held.get("finish_reason"))))
    if isinstance(output, list):  # OpenAI's responses
        parts = [one for one in output if isinstance(one, Mapping)]
        why = held.get("incomplete_details")
        reason = why.get("reason") if isinstance(why, Mapping) else held.get("status")
        said = [one for one in parts if one.get("type") in ("message", "function_call")]
        yield (
            {"content": [piece for one in said for piece in _pieces(one)], "reasoning": len(said) < len(parts)},
            reason,
        )
    elif isinstance(output, Mapping):  # Bedrock, DashScope
        yield from _messages(output) if "choices" in output else [(output.get("message", output), ended)]
    elif isinstance(held.get("message"), Mapping):  # Ollama, Cohere
        yield held["message"], ended
    elif held.get("stopped_limit") or held.get("stop_type") == "limit":  # llama.cpp
        yield held, "length"
    elif any(name in held for name in ("content", "response", "generated_text", "completion")):
        yield held, ended


def _pieces(item: Mapping[str, Any]) -> list[Any]:
    content = item.get("content")
    if isinstance(content, list):
        return content
    return [content if content is not None else {"text": item.get("arguments", "")}]


def _text(message: Any) -> str:
    """The text of a message: its content, else what it passes to a tool."""
    if isinstance(message, str):
        return message
    if not isinstance(message, Mapping):
        return ""
    for name in ("content", "parts", "text", "response", "generated_text", "completion", "output_text"):
        text = _of_content(message.get(name))
        if text.strip():
            return text
    calls = message.get("tool_calls") or [message.get("function_call")]
    functions = (
        [call.get("function", call) for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    )
    passed = [one.get("arguments", one.get("input")) for one in functions if isinstance(one, Mapping)]
    text = "\n".join(_of_content(one) for one in passed if one)
    if text.strip():
        return text
    thought = message.get("reasoning_content") or message.get("reasoning") or message.get("thinking")
    if isinstance(thought, str) and "</think>" in thought:  # a server that did not tell the answer from the thinking
        return thought.rpartition("</think>")[2]
    return ""


def _of_content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [_of_part(part) for part in content]
        plain = all(isinstance(part, str) for part in content)
        return ("\n" if plain else "").join(parts)
    if isinstance(content, Mapping):
        text = content.get("text", content.get("value", content.get("parts")))
        return _of_content(text) if text is not None else json.dumps(content, ensure_ascii=False)
    return ""


def _of_part(part: Any) -> str:
    """The text of a part; none of one that is thinking."""
    if not isinstance(part, Mapping):
        return _of_content(part)
    if part.get("thought") is True or str(part.get("type", "")).startswith(("thinking", "reasoning", "redacted")):
        return ""
    if part.get("type") in ("tool_use", "tool_call", "function_call") or "functionCall" in part:
        call = part.get("functionCall", part)
        return _of_content(call.get("input", call.get("arguments", call.get("args"))))
    return _of_content(part.get("text", part.get("content")))


def _tokens(usage: Mapping[str, Any], names: Sequence[str]) -> float:
    """A number of tokens; NaN for what cannot be one, and for the 0 that servers write where they do not count."""
    count = next((usage[name] for name in names if name in usage), None)
    if isinstance(count, bool) or not isinstance(count, int | float) or not 1 <= count <= _MOST_TOKENS:
        return math.nan
    return float(count)
