"""A server's request log: when each request arrived, its tokens, and when its first and last token came.

Two formats: JSON lines as vLLM's benchmark writes them (input_toks, output_toks, queued_ts, first_token_ts,
last_token_ts), and CSV with the columns arrival_s, prompt_tokens, output_tokens, first_token_s, last_token_s.
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.cloud.replica.jobs import MOST_TOKENS
from fleetrec.simulator.scenario.units import DURATION

_JSON_KEYS = ("queued_ts", "input_toks", "output_toks", "first_token_ts", "last_token_ts")
_CSV_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens", "first_token_s", "last_token_s")


@dataclass(frozen=True)
class RequestLog:
    """Requests in order of arrival; arrays of shape [n], times in seconds since the first arrival."""

    name: str
    sha256: str
    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.arrival_s)


def read_log(path: Path) -> RequestLog:
    """The log in file `path` (.csv, or JSON lines).

    InputError, with the number of the row: a field that is missing or no number, times that run backwards, no output
    tokens, requests that are not in order of arrival; or no requests at all.
    """
    check_regular(path)
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a readable request log ({type(error).__name__}); give a JSONL or CSV file"
        ) from None
    is_csv = path.suffix.lower() == ".csv"
    keys = _CSV_COLUMNS if is_csv else _JSON_KEYS
    rows: list[tuple[float, ...]] = []
    for number, record in _csv_records(text, path) if is_csv else _json_records(text, path):
        rows.append(_checked(record, keys, f"{path}: row {number}", rows[-1][0] if rows else -math.inf))
    if not rows:
        raise InputError(f"{path}: holds no requests; give a log of at least one")
    table = np.array(rows)  # [n, 5]
    with np.errstate(over="ignore"):
        times = table[:, [0, 3, 4]] - table[0, 0]
    if times.max() > DURATION.most:
        raise InputError(
            f"{path}: its last token comes more than {DURATION.most:g} s after its first request; mend the times"
        )
    return RequestLog(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        arrival_s=times[:, 0],
        prompt_tokens=table[:, 1].astype(np.int64),
        output_tokens=table[:, 2].astype(np.int64),
        first_s=times[:, 1],
        last_s=times[:, 2],
    )


def _json_records(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise InputError(f"{path}: row {number} is no JSON object; correct or delete the row")
        yield number, record


def _csv_records(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(text.splitlines())
    missing = [column for column in _CSV_COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path}: no column {missing[0]}; a log has the columns {', '.join(_CSV_COLUMNS)}")
    for record in reader:
        yield reader.line_num, record


def _checked(record: Mapping[str, Any], keys: tuple[str, ...], where: str, before: float) -> tuple[float, ...]:
    row = tuple(_number(record, key, where) for key in keys)
    arrival, prompt, output, first, last = row
    for key, tokens in zip(keys[1:3], (prompt, output), strict=True):
        if not 1 <= tokens <= MOST_TOKENS or tokens != int(tokens):
            raise InputError(
                f"{where}: {key} is {tokens:g}; it must be a whole number of 1 to {MOST_TOKENS:g}, or delete the row"
            )
    if not arrival <= first <= last:
        raise InputError(
            f"{where}: {keys[0]} {arrival:.6f}, {keys[3]} {first:.6f} and {keys[4]} {last:.6f} run backwards; "
            "correct or delete the row"
        )
    if arrival < before:
        raise InputError(f"{where}: {keys[0]} is before that of the row above; sort the log by {keys[0]}")
    return row


def _number(record: Mapping[str, Any], key: str, where: str) -> float:
    value = record.get(key)
    try:
        number = float(value) if value is not None and not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {key} is {value!r}, no number; correct or delete the row")
    return number
