"""Where an endpoint is asked, and what is sent beside the messages: what its model does not take is left out then."""

import re
import threading
from collections.abc import Mapping
from typing import Any

LIMIT = "max_tokens"
_OTHER_LIMIT = "max_completion_tokens"
_TOO_LARGE = re.compile(
    r"too (?:large|long|many|big|high)|maximum|at most|exceed|context|less than|reduce", re.IGNORECASE
)


def chat_address(url: str) -> str:
    """Where the endpoint of an address is asked."""
    return url.rstrip("/") + "/chat/completions"


class ChatParameters:
    """The parameters of requests to one model; may be shared by threads."""

    def __init__(self, limit: int, **others: Any):
        """`limit`: most tokens of an answer; `others` as the protocol calls them."""
        self._held: dict[str, Any] = {"temperature": 0, LIMIT: limit} | others
        self._lock = threading.Lock()

    def body(self, model: str, prompt: str, limit: int | None = None) -> dict[str, Any]:
        """A request; `limit` instead of the one for all."""
        sent = dict(self._held)
        if limit is not None:
            sent |= {name: limit for name in (LIMIT, _OTHER_LIMIT) if name in sent}
        return {"model": model, "messages": [{"role": "user", "content": prompt}]} | sent

    def leave_out(self, said: str, body: Mapping[str, Any]) -> bool:
        """Whether the refusal of a body is of parameters that are not sent from now on; most tokens go by another name
        first."""
        named = [name for name in body if name not in ("model", "messages") and re.search(rf"\b{name}\b", said)]
        if not named or _TOO_LARGE.search(said):
            return False
        with self._lock:
            for name in named:
                if name in self._held:
                    limit = self._held.pop(name)
                    if name == LIMIT:
                        self._held[_OTHER_LIMIT] = limit
        return True
