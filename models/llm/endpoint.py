"""An OpenAI-compatible endpoint (POST .../chat/completions) as an answerer of prompts.

Too many requests (429), errors of the server (5xx), broken connections and time-outs are tried again a bounded number
of times, after pauses that double and are spread by a hash of the prompt. An answer has a deadline for the whole of it.
The key comes from the environment, is sent to that host only (redirects are not followed) and stands nowhere else.
"""

import json
import math
import queue
import ssl
import threading
from collections.abc import Sequence
from http.client import HTTPException
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.api_key import read_key
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.timed_http import BrokenOff, Refused, TimedHttp, TooLate
from fleetrec.models.runtime.web_address import address_problem

_KEY = "llm.candidates"
_LONGEST_PAUSE_S = 60.0
_MAX_BYTES = 2_000_000
_MOST_SAID = 65_536
_MOST_TOKENS = 1e9
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
        problem = address_problem(config.url)
        if problem is not None:
            raise InputError(f"{_KEY}.url: {printable(config.url)[:80]!r} {problem}")
        self._key = read_key(config.key_variable, f"{_KEY}.key_variable")
        self._config, self._progress = config, progress
        self._address = config.url.rstrip("/") + "/chat/completions"
        self._http = TimedHttp()
        self.content_hash = content_hash("endpoint", config.url, config.model, config.max_new_tokens)

    def answers(self, prompts: Sequence[str], users: Ints, as_of: Ints) -> list[Answer]:
        """See Answerer.answers, as far as the endpoint is deterministic. InputError where it does not answer."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, Answer | Exception]] = queue.SimpleQueue()
        for number in range(len(prompts)):
            waiting.put(number)
        stopped = threading.Event()

        def work() -> None:
            while not stopped.is_set():
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    done.put((number, self._answer(prompts[number], stopped)))
                except Exception as error:  # told to who waits
                    done.put((number, error))

        result: dict[int, Answer] = {}
        with self._progress.task("asking the endpoint", len(prompts)) as task:
            for _ in range(min(self._config.parallel, len(prompts))):
                threading.Thread(target=work, daemon=True).start()  # none of them holds up an interrupt
            try:
                while len(result) < len(prompts):
                    number, answer = done.get()
                    if isinstance(answer, Exception):
                        raise answer
                    result[number] = answer
                    task.advance()
            finally:
                stopped.set()
        return [result[number] for number in range(len(prompts))]

    def _answer(self, prompt: str, stopped: threading.Event) -> Answer:
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
                if stopped.wait(min(max(pause_s, failure.after_s), _LONGEST_PAUSE_S)):
                    break
        raise InputError(f"{_KEY}.url: {self._address} is not asked any more")

    def _ask(self, prompt: str) -> Answer:
        body = {
            "model": self._config.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": self._config.max_new_tokens,
        }
        headers = {"Content-Type": "application/json"} | self._key.header()
        timeout_s = self._config.timeout
        try:
            return self._read(self._http.post(self._address, json.dumps(body).encode(), headers, timeout_s, _MAX_BYTES))
        except Refused as error:
            said = self._clean(error.said[:_MOST_SAID].decode("utf-8", "replace"))
            if error.code in (408, 409, 429) or error.code >= 500:
                raise _Passing(f"HTTP {error.code} {said}".strip(), _seconds(error.retry_after)) from None
            raise InputError(
                f"{_KEY}.url: {self._address} refuses with HTTP {error.code} {said}; check url, model and key_variable"
            ) from None
        except TooLate:
            raise _Passing(f"no answer within {timeout_s:g} s") from None
        except BrokenOff:
            raise _Passing("the answer broke off") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise InputError(
                    f"{_KEY}.url: {self._address} has a certificate that is not trusted "
                    f"({self._clean(reason.verify_message)}), so nothing was sent; mend url, or name the file of its "
                    "authority in the environment variable SSL_CERT_FILE"
                ) from None
            raise _Passing(str(reason) or type(error).__name__) from None

    def _read(self, body: bytes) -> Answer:
        try:
            answer = json.loads(body)
            text = answer["choices"][0]["message"]["content"]
            usage = answer.get("usage") or {}
            tokens = [_tokens(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            said = self._clean(body[:_MOST_SAID].decode("utf-8", "replace"))[:80]
            raise InputError(f"{_KEY}.url: {self._address} says {said!r}, and {_NO_ANSWER}; check url") from None
        # A refusal comes without content: an answer without titles.
        text = text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""  # no half of a surrogate pair
        return Answer(text, *tokens)

    def _clean(self, said: object) -> str:
        """One line of what the server said: the key is masked before anything is cut, and what is unseen goes."""
        return printable(" ".join(self._key.masked(str(said)).split()))[:200]


def _tokens(count: object) -> float:
    """A number of tokens; NaN for what cannot be one, and for the 0 that servers write where they do not count."""
    if isinstance(count, bool) or not isinstance(count, int | float) or not 1 <= count <= _MOST_TOKENS:
        return math.nan
    return float(count)


def _seconds(header: str | None) -> float:
    try:
        seconds = float(header or 0)
    except ValueError:
        return 0.0  # a date: the pause of its own will do
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
