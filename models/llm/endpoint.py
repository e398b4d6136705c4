"""An OpenAI-compatible endpoint (POST .../chat/completions) as an answerer of prompts.

Too many requests (429), errors of the server (5xx), broken connections and time-outs are tried again a bounded number
of times, after pauses that double and are spread by a hash of the prompt. An answer has a deadline for the whole of it.
A reply that is odd is asked for once more, then it is an answer without titles; a run ends where too many are. What a
model does not take of the request's parameters is left out from then on. The key comes from the environment, is sent
to that host only (redirects are not followed) and stands nowhere else.
"""

import json
import math
import queue
import ssl
import threading
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from typing import Protocol

from fleetrec.models.llm.answers import parsed
from fleetrec.models.llm.api_key import read_key
from fleetrec.models.llm.chat_parameters import ChatParameters, chat_address
from fleetrec.models.llm.replies import NoReply, read_reply, said_by
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.printable import printable
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.retries import pause_s
from fleetrec.models.runtime.timed_http import BrokenOff, Refused, TimedHttp, TooLate
from fleetrec.models.runtime.web_address import address_problem

_KEY = "llm.candidates"
_MAX_BYTES = 2_000_000
_MOST_SAID = 2_000
_MOST_SHOWN = 80  # of a body that is no answer
_NO_ANSWER = "this is no answer of an OpenAI-compatible /chat/completions"
_FEW = 10  # answers: of fewer, failures are counted as if there were so many
_OF_ONE_PROMPT = frozenset([400, 406, 413, 415, 422, 451])


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
    @property
    def max_failed(self) -> float: ...


class _Failed(Exception):
    """Why a prompt has no answer, and what may mend it."""

    def __init__(self, reason: str, mend: str):
        super().__init__(reason)
        self.mend = mend


class _Passing(_Failed):
    """A failure that may pass; `after_s`: how long the server asks to wait, `tries`: how often it is worth it."""

    def __init__(self, reason: str, after_s: float = 0.0, tries: int = 20, mend: str = ""):
        super().__init__(reason, mend)
        self.after_s, self.tries = after_s, tries


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
        self._address = chat_address(config.url)
        self._http = TimedHttp()
        self._parameters = ChatParameters(config.max_new_tokens)
        self._asked, self._failed = 0, 0
        self.content_hash = content_hash("endpoint", config.url, config.model, config.max_new_tokens)

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
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
                    if not isinstance(error, _Failed):
                        stopped.set()

        before, self._asked = self._asked, self._asked + len(prompts)
        with self._progress.task("asking the endpoint", len(prompts)) as task:
            for _ in range(min(self._config.parallel, len(prompts))):
                threading.Thread(target=work, daemon=True).start()  # none of them holds up an interrupt
            try:
                for answered in range(1, len(prompts) + 1):
                    number, answer = done.get()
                    if isinstance(answer, Exception) and not isinstance(answer, _Failed):
                        raise answer
                    lack = _lack_of(answer)
                    if lack is not None:
                        self._failed += 1
                        self._check(lack, before + answered, min(self._config.parallel, len(prompts)))
                    task.advance()
                    yield number, Answer("", lack=str(answer)) if isinstance(answer, _Failed) else answer
            finally:
                stopped.set()

    def _check(self, last: _Failed, answered: int, first: int) -> None:
        """InputError where too many answers have failed, or each of the `first` that were asked for at once."""
        none = self._failed == answered >= first
        share = self._config.max_failed
        if share == 1 or (self._failed <= share * max(self._asked, _FEW) and not none):
            return
        if none:
            raise InputError(f"{_KEY}.url: {self._address} {self._clean(last)}; {last.mend}")
        raise InputError(
            f"{_KEY}.max_failed: {self._failed:,} of {answered:,} answers of {self._address} hold no title, more than "
            f"{share:.0%} of {self._asked:,} (the last one {self._clean(last)}); {last.mend}, or raise max_failed"
        )

    def _answer(self, prompt: str, stopped: threading.Event) -> Answer:
        for attempt in range(self._config.retries + 1):
            try:
                return self._ask(prompt)
            except _Passing as failure:
                if attempt >= min(
                    self._config.retries, self._config.retries if failure.tries is None else failure.tries
                ):
                    if failure.mend:
                        raise
                    tries = "1 try" if attempt == 0 else f"{attempt + 1} tries"
                    raise _Failed(
                        f"gave no answer in {tries}: {failure}",
                        "what was answered is kept: start again later, or raise timeout or retries, or lower parallel",
                    ) from None
                spread = int(content_hash(prompt, attempt)[:8], 16) / 16**8
                if stopped.wait(pause_s(self._config.backoff, attempt, spread, failure.after_s)):
                    break
        raise InputError(f"{_KEY}.url: {self._address} is not asked any more")

    def _ask(self, prompt: str) -> Answer:
        while True:
            body = self._parameters.body(self._config.model, prompt)
            try:
                return self._read(self._post(json.dumps(body).encode()))
            except NoReply as error:
                said = self._clean(error)
                if error.code is None:
                    shown = f"says {said[:_MOST_SHOWN]!r}, and {_NO_ANSWER}"
                    raise _Passing(shown, tries=1, mend="check url") from None
                code, after_s = error.code, 0.0
            except Refused as error:
                said = self._clean(said_by(error.said.decode("utf-8", "replace")))
                code, after_s = error.code, _seconds(error.retry_after)
            if code in (408, 409, 429) or code >= 500:
                raise _Passing(f"HTTP {code} {said}".strip(), after_s) from None
            if code in _OF_ONE_PROMPT and self._parameters.leave_out(said, body):
                continue
            reason = f"refuses with HTTP {code} {said}".strip()
            if code in _OF_ONE_PROMPT:
                raise _Failed(reason, "check model, instruction, history and max_new_tokens")
            raise InputError(f"{_KEY}.url: {self._address} {reason}; check url, model and key_variable")

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"} | self._key.header()
        timeout_s = self._config.timeout
        try:
            return self._http.post(self._address, body, headers, timeout_s, _MAX_BYTES)
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
            raise _Passing(self._clean(str(reason) or type(error).__name__)) from None

    def _read(self, body: bytes) -> Answer:
        reply = read_reply(body)
        if not (reply.text.strip() or reply.cut or reply.refused):
            raise _Passing("answers with nothing", tries=1, mend="check model")
        return Answer(reply.text, reply.prompt_tokens, reply.output_tokens, reply.cut, reply.refused)

    def _clean(self, said: object) -> str:
        return self._key.one_line(said, _MOST_SAID)


def _lack_of(answer: Answer | Exception) -> _Failed | None:
    """Why there is no title in an answer; None where there is one."""
    if isinstance(answer, _Failed):
        return answer
    assert isinstance(answer, Answer)
    if parsed(answer.text, 1, cut=answer.cut).titles:
        return None
    if answer.cut:
        return _Failed("answers without a title, cut off by max_new_tokens", "raise max_new_tokens, or think less")
    said = f": {answer.text[:_MOST_SHOWN]!r}" if answer.text.strip() else ""
    return _Failed(f"answers without a title{said}", "check model and instruction")


def _seconds(header: str | None) -> float:
    try:
        seconds = float(header or 0)
    except ValueError:
        return 0.0  # a date: the pause of its own will do
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
