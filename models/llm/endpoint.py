"""An OpenAI-compatible endpoint (POST .../chat/completions) as an answerer of prompts.

Too many requests (429), errors of the server (5xx), broken connections and time-outs are tried again a bounded number
of times, after pauses that double and are spread by a hash of the prompt. The key comes from the environment, is sent
to that host only (redirects are not followed) and stands in no message, hash or file.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from models.artifacts import content_hash
from models.errors import InputError
from models.llm.titles import Answer
from models.progress import Progress

_KEY = "llm.candidates"
_LONGEST_PAUSE_S = 60.0
_MAX_BYTES = 2_000_000
_NO_ANSWER = "this is no answer of an OpenAI-compatible /chat/completions"

Ints = NDArray[np.int64]


class EndpointConfig(Protocol):
    """Which endpoint, and how patiently; the `llm.candidates` section of a scenario has these fields."""

    @property
    def url(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def key_variable(self) -> str | None: ...
    @property
    def max_new_tokens(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def retries(self) -> int: ...
    @property
    def backoff(self) -> float: ...
    @property
    def parallel(self) -> int: ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect is an error: the key is for the host that the user named."""


class _Passing(Exception):
    """A failure that may pass; `after_s`: how long the server asks to wait."""

    def __init__(self, reason: str, after_s: float = 0.0):
        super().__init__(reason)
        self.after_s = after_s


class Endpoint:
    """A model behind a URL."""

    name = "endpoint"

    def __init__(self, config: EndpointConfig, progress: Progress):
        """Raises InputError for a URL that is none, or a key variable that is not set."""
        parts = urlsplit(config.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{_KEY}.url: {config.url!r} is no address; give one like https://host/v1")
        if parts.username or parts.query:
            raise InputError(f"{_KEY}.url: it holds a user or a query; give https://host/v1 and key_variable instead")
        self._key = ""
        if config.key_variable is not None:
            self._key = os.environ.get(config.key_variable, "")
            if not self._key:
                raise InputError(
                    f"{_KEY}.key_variable: the environment variable {config.key_variable} is not set; "
                    "set it to the endpoint's key, or leave key_variable out where no key is needed"
                )
        self._config, self._progress = config, progress
        self._address = config.url.rstrip("/") + "/chat/completions"
        self._opener = urllib.request.build_opener(_NoRedirects)
        self.content_hash = content_hash("endpoint", config.url, config.model, config.max_new_tokens)

    def answers(self, prompts: Sequence[str], users: Ints, as_of: Ints) -> list[Answer]:
        """See Answerer.answers, as far as the endpoint is deterministic. InputError where it does not answer."""
        with (
            self._progress.task("asking the endpoint", len(prompts)) as task,
            ThreadPoolExecutor(self._config.parallel) as pool,
        ):
            result = []
            try:
                for answer in pool.map(self._answer, prompts):
                    result.append(answer)
                    task.advance()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return result

    def _answer(self, prompt: str) -> Answer:
        for attempt in range(self._config.retries + 1):
            try:
                return self._ask(prompt)
            except _Passing as failure:
                if attempt == self._config.retries:
                    tries = "1 try" if attempt == 0 else f"{attempt + 1} tries"
                    raise InputError(
                        f"{_KEY}.url: {self._address} gave no answer in {tries}: {self._clean(failure)}; what was "
                        "answered is kept, so start again later, or raise timeout or retries, or lower parallel"
                    ) from None
                spread = int(content_hash(prompt, attempt)[:8], 16) / 16**8
                pause_s = self._config.backoff * 2**attempt * (0.5 + spread)
                time.sleep(min(max(pause_s, failure.after_s), _LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    def _ask(self, prompt: str) -> Answer:
        body = {
            "model": self._config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": self._config.max_new_tokens,
        }
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        request = urllib.request.Request(self._address, json.dumps(body).encode(), headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._config.timeout) as response:
                return self._read(response.read(_MAX_BYTES))
        except urllib.error.HTTPError as error:
            said = error.read(200).decode("utf-8", "replace").split("\n")[0]
            if error.code in (408, 409, 429) or error.code >= 500:
                raise _Passing(
                    f"HTTP {error.code} {said}".strip(), _seconds(error.headers.get("Retry-After"))
                ) from None
            raise InputError(
                f"{_KEY}.url: {self._address} refuses with HTTP {error.code} {self._clean(said)}; "
                "check url, model and key_variable"
            ) from None
        except TimeoutError:
            raise _Passing(f"no answer within {self._config.timeout:g} s") from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise _Passing(f"no answer within {self._config.timeout:g} s") from None
            raise _Passing(str(reason) or type(error).__name__) from None

    def _read(self, body: bytes) -> Answer:
        try:
            answer = json.loads(body)
            text = answer["choices"][0]["message"]["content"]
            usage = answer.get("usage") or {}
            tokens = [float(usage.get(name, "nan")) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, TypeError, LookupError, AttributeError):
            said = self._clean(body[:80].decode("utf-8", "replace"))
            raise InputError(f"{_KEY}.url: {self._address} says {said!r}, and {_NO_ANSWER}; check url") from None
        # A refusal comes without content: an answer without titles.
        return Answer(text if isinstance(text, str) else "", *tokens)

    def _clean(self, said: object) -> str:
        """One line of what the server said, without the key."""
        text = " ".join(str(said).split())[:200]
        return text.replace(self._key, "***") if self._key else text


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0  # a date: the pause of its own will do
