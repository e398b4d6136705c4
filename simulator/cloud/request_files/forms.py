"""Rows of requests: which keys or columns say when a request came, its tokens, and when they were written.

A form is known by its keys alone, whatever their case and signs. A time has the unit that its form or its name's end
says (arrival_ms); a number of no said unit is a time since 1970 of the unit that its size tells, or is refused.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fleetrec.models.runtime.dates import LAST_DATE_S
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.text_files import number

TIMES = ("arrival", "first", "last")
ROLES = ("arrival", "prompt", "output", "sequences", "first", "last")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
UNITS = (*_SECONDS, "iso")
_LEAST_DATE_S = 1e9  # in 2001: smaller numbers may be of any clock


class Request(NamedTuple):
    """A row: where it stands, and its values; times in seconds, NaN where they are not told."""

    row: int
    arrival: float
    prompt: float
    output: float
    sequences: float = 1.0
    first: float = float("nan")
    last: float = float("nan")
    gaps: tuple[float, ...] = ()
    """from the first token to the last: seconds between the events that brought them; none where they are not told"""


@dataclass(frozen=True)
class Said:
    """What the user says of a file of requests; what is not said is known by names."""

    columns: Mapping[str, str | int] = field(default_factory=dict)
    """by role, their names or places"""
    where: str | None = None
    """which rows count"""
    unit: str | None = None
    """of times: s, ms, us, ns, iso, or a form as strptime reads it"""


@dataclass(frozen=True)
class Form:
    """What the keys of a request are called, several in the order in which they are looked for."""

    name: str
    keys: Mapping[str, tuple[str, ...]]
    unit: str | None = None
    """of its times; None: as their names say"""
    has: str | None = None
    """a key that this form alone has"""
    failed: Callable[[Request], bool] = field(default=lambda request: False)
    """whether a request got no answer, so that its tokens are none"""

    def found(self, names: Collection[str]) -> dict[str, str]:
        """The key among `names` of each thing that it says."""
        found = {role: next((key for key in keys if key in names), "") for role, keys in self.keys.items()}
        return {role: key for role, key in found.items() if key}

    def lacking(self, names: Collection[str]) -> list[str]:
        """Keys that a request needs and `names` lacks."""
        found = self.found(names)
        lacks = [self.keys[role][0] for role in ("arrival", "prompt", "output") if role not in found]
        return lacks + ([self.has] if self.has and self.has not in names else [])


NOTHING_SAID = Said()
_PLAIN = Form(
    "plain columns",
    {
        "arrival": tuple(
            f"{name}{end}"
            for name in ("arrival", "arrival_time", "timestamp", "arrived_at", "request_time", "start_time")
            for end in ("_s", "_ms", "_us", "_ns", "")
        ),
        "prompt": ("prompt_tokens", "input_tokens", "context_tokens", "input_length", "prompt_len", "input_len"),
        "output": ("output_tokens", "completion_tokens", "generated_tokens", "output_length", "output_len"),
        "sequences": ("sequences",),
        "first": tuple(f"first_token{name}{end}" for name in ("", "_time") for end in ("_s", "_ms", "_us", "_ns", "")),
        "last": tuple(f"last_token{name}{end}" for name in ("", "_time") for end in ("_s", "_ms", "_us", "_ns", "")),
        "gaps": ("gaps_s",),
    },
)

FORMS = (
    Form(
        "the log of LLMServingSim's vLLM bench",
        {
            "arrival": ("queued_ts",),
            "prompt": ("input_toks",),
            "output": ("output_toks",),
            "first": ("first_token_ts",),
            "last": ("last_token_ts",),
        },
        "s",
    ),
    Form(
        "SGLang's request metrics",
        {
            "arrival": ("request_received_ts",),
            "prompt": ("prompt_tokens",),
            "output": ("completion_tokens",),
            "first": ("prefill_finished_ts", "prefill_finished_time"),
            "last": ("decode_finished_ts", "request_finished_ts", "response_sent_to_client_ts"),
        },
        "s",
    ),
    Form(
        "Azure's LLM inference trace",
        {"arrival": ("timestamp",), "prompt": ("contexttokens",), "output": ("generatedtokens",)},
    ),
    Form(
        "BurstGPT",
        {"arrival": ("timestamp",), "prompt": ("request_tokens",), "output": ("response_tokens",)},
        "s",
        failed=lambda request: request.output == 0,
    ),
    Form(
        "a Qwen-Bailian trace",
        {"arrival": ("timestamp",), "prompt": ("input_length",), "output": ("output_length",)},
        "s",
        has="chat_id",
    ),
    Form(
        "Mooncake's trace",
        {"arrival": ("timestamp",), "prompt": ("input_length",), "output": ("output_length",)},
        "ms",
        has="hash_ids",
    ),
    Form(
        "a trace of Vidur",
        {"arrival": ("arrived_at",), "prompt": ("num_prefill_tokens",), "output": ("num_decode_tokens",)},
        "s",
    ),
    _PLAIN,
)

KNOWN = (
    "arrival_s, prompt_tokens, output_tokens[, sequences][, first_token_s, last_token_s]; TIMESTAMP, ContextTokens, "
    "GeneratedTokens (Azure); results of vllm bench serve, guidellm, genai-perf and AIPerf; logs of SGLang; BurstGPT; "
    "Mooncake"
)


SAY = "say which columns they are: --columns arrival=NAME,prompt=NAME,output=NAME"


def plain(name: str) -> str:
    """A key without case, blanks and signs."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


class Reader:
    """Reads rows of one form; the keys of the first row say which."""

    def __init__(self, names: Collection[str], where: str, said: Said = NOTHING_SAID):
        """`names` are plain, and so are those of `said`. InputError where no form has them, or two of them say the
        same."""
        keys = {role: (str(name),) for role, name in said.columns.items()}
        known = (_PLAIN,) if "arrival" in keys else FORMS  # of another form, times have its unit
        forms = (
            [replace(form, keys={**form.keys, **keys}, unit=said.unit or form.unit) for form in known]
            if keys or said.unit
            else known
        )
        self.form = next((form for form in forms if not form.lacking(names)), None) or _nearest(names, where, forms)
        self.keys = self.form.found(names)
        if self.form.name == _PLAIN.name:
            for role, called in self.form.keys.items():
                both = [key for key in called if key in names]
                if len(both) > 1:
                    raise InputError(
                        f"{where}: {both[0]} and {both[1]} both say the {_WORDS[role]}; leave one, or give the other "
                        "another name"
                    )
        self._zoned: tuple[bool, str] | None = None

    def read(self, values: Mapping[str, Any], row: int, where: str) -> Request:
        """The request of a row with those values by plain key. InputError where one is missing or no number."""
        read: dict[str, Any] = {}
        for role, key in self.keys.items():
            value = values.get(key)
            if role == "gaps":
                read[role] = _gaps(value, f"{where}: {key}")
                continue
            if value is None or value == "":
                if role in ("first", "last"):
                    continue
                raise InputError(f"{where}: no {key}; mend or remove the row")
            if isinstance(value, bool):
                raise InputError(f"{where}: {key}: expected a number, got {value}; mend or remove the row")
            read[role] = self._time(value, key, where) if role in TIMES else number(str(value), f"{where}: {key}")
        return Request(row, **read)

    def _time(self, value: Any, key: str, where: str) -> float:
        """Seconds, of a number or of a date and time; fractions finer than a microsecond are cut."""
        unit = self.form.unit or (key.rsplit("_", 1)[-1] if "_" in key else "")
        try:
            time = math.nan if "%" in unit else float(value)
        except (TypeError, ValueError):
            time = math.nan
        if math.isnan(time):
            return self._moment(str(value), unit, where)
        time = number(str(value), f"{where}: {key}")
        if unit in _SECONDS:
            seconds = time * _SECONDS[unit] if unit != "ns" else time // 10**9 + time % 10**9 / 1e9
            if seconds >= LAST_DATE_S:
                raise InputError(
                    f"{where}: {key} {value} is no time in {unit}, for it lies beyond the year 5000; give seconds, or "
                    "say the unit in the name (arrival_ms, arrival_us, arrival_ns)"
                )
            return seconds
        for scale in _SECONDS.values():
            if _LEAST_DATE_S <= time * scale < 4 * _LEAST_DATE_S:
                return time * scale
        raise InputError(
            f"{where}: {key} {value} is a time of no said unit: call it {key}_s where it is seconds, {key}_ms where it "
            "is milliseconds"
        )

    def _moment(self, text: str, unit: str, where: str) -> float:
        try:
            if "%" in unit:
                moment = datetime.strptime(text, unit)
            else:
                moment = datetime.fromisoformat(re.sub(r"\s*UTC$", "Z", text))
        except ValueError:
            form = f" like {unit}" if "%" in unit else ""
            raise InputError(f"{where}: expected a date and time{form}, got {text!r}; mend or remove the row") from None
        zoned = moment.tzinfo is not None
        if self._zoned is None:
            self._zoned = (zoned, where)
        elif self._zoned[0] != zoned:
            has, lacks = (self._zoned[1], where) if self._zoned[0] else (where, self._zoned[1])
            raise InputError(f"{has}: its time has a zone, and that of {lacks.split(': ')[-1]} none; write it in all")
        return (moment if zoned else moment.replace(tzinfo=UTC)).timestamp()


def _gaps(value: Any, where: str) -> tuple[float, ...]:
    """Seconds between the events of an answer. InputError for what is no list of such."""
    if value is None:
        return ()
    gaps = value if isinstance(value, list) else [value]
    if any(isinstance(gap, bool) or not isinstance(gap, int | float) or not 0 <= gap < math.inf for gap in gaps):
        raise InputError(f"{where}: expected a list of seconds from 0 on; mend or remove the row")
    return tuple(map(float, gaps))


_WORDS = {
    "arrival": "arrival",
    "prompt": "prompt tokens",
    "output": "output tokens",
    "sequences": "sequences",
    "first": "time of the first token",
    "last": "time of the last token",
    "gaps": "seconds between tokens",
}


def _nearest(names: Collection[str], where: str, forms: Sequence[Form]) -> Form:
    """Only ever an InputError: what the form lacks that has most of these names."""
    lacking = {form.name: form.lacking(names) for form in forms if form.has is None or form.has in names}
    nearest = min(lacking, key=lambda name: len(lacking[name]))
    if len(lacking[nearest]) > 2:
        raise InputError(f"{where}: not the head of a request trace ({', '.join(names)[:60]}); {SAY}; known: {KNOWN}")
    raise InputError(f"{where}: no {' and no '.join(lacking[nearest])}; {SAY}; known: {KNOWN}")
