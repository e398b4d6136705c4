"""Request traces: when requests arrive and how many tokens they hold.

Three forms are told apart by their first line: the Azure LLM inference traces (TIMESTAMP, ContextTokens,
GeneratedTokens), a plain CSV (arrival_s, prompt_tokens, output_tokens, and sequences where there are beams), and the
request log of vLLM's benchmark (JSON lines with queued_ts, input_toks, output_toks).
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.replica.jobs import MOST_TOKENS
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.text_files import number, read_rows
from fleetrec.simulator.scenario.units import DURATION

_COLUMNS = {
    "timestamp": "arrival",
    "arrival_s": "arrival",
    "contexttokens": "prompt",
    "prompt_tokens": "prompt",
    "generatedtokens": "output",
    "output_tokens": "output",
    "sequences": "sequences",
}
_JSON_KEYS = {"queued_ts": "arrival", "input_toks": "prompt", "output_toks": "output"}
_FORMS = (
    "TIMESTAMP,ContextTokens,GeneratedTokens (Azure), arrival_s,prompt_tokens,output_tokens[,sequences], or JSON lines "
    "with queued_ts, input_toks and output_toks (vLLM)"
)

Row = tuple[int, dict[str, float]]


def read_trace(path: Path, limit: int | None = None) -> tuple[Requests, list[Note]]:
    """The first `limit` requests of a trace, in order of arrival, times from that of the first; and what to say of it.

    Rows that are out of order are sorted and counted. InputError names the row that cannot be used.
    """
    rows: list[Row] = []
    for row in _json_rows(path) if _is_json(path) else _csv_rows(path):
        if len(rows) == limit:
            break
        rows.append(row)
    if not rows:
        raise InputError(f"{path}: holds no request; give a trace with at least one row")
    arrival, prompt, output, sequences = (
        np.array([values[name] for _, values in rows]) for name in ("arrival", "prompt", "output", "sequences")
    )
    for name, values, least in (("prompt", prompt, 1), ("output", output, 0), ("sequences", sequences, 1)):
        wrong = np.flatnonzero((values < least) | (values > MOST_TOKENS) | (values != np.floor(values)))
        if len(wrong):
            what = name if name == "sequences" else f"{name} tokens"
            raise InputError(
                f"{path}: row {rows[wrong[0]][0]}: {values[wrong[0]]:g} {what}, not a whole number of {least} to "
                f"{MOST_TOKENS:g}; mend or remove the row"
            )
    with np.errstate(over="ignore"):
        far = np.flatnonzero(arrival - arrival.min() > DURATION.most)
    if len(far):
        raise InputError(
            f"{path}: row {rows[far[0]][0]}: arrives more than {DURATION.most:g} s after the first request; mend or "
            "remove the row"
        )
    notes = []
    late = int((np.diff(arrival) < 0).sum())
    if late:
        said = "the trace is sorted by time, since {late} of its {rows} rows came before the row above"
        notes.append(note("trace_sorted", said, late=late, rows=len(rows)))
    order = np.argsort(arrival, kind="stable")
    prompt, output, sequences = (values[order].astype(np.int64) for values in (prompt, output, sequences))
    return Requests.of(arrival[order] - arrival.min(), prompt, output, sequences), notes


def _is_json(path: Path) -> bool:
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.read(1) == "{"
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason}); give a trace: {_FORMS}") from None


def _csv_rows(path: Path) -> Iterator[Row]:
    table = read_rows(str(path), "trace")
    _, head = next(table, (0, []))
    names = [_COLUMNS.get(cell.lower(), "") for cell in head]
    if head and not {"arrival", "prompt", "output"} <= set(names):
        raise InputError(f"{path}: row 1: not the head of a request trace ({', '.join(head)[:60]}); known: {_FORMS}")
    for row, cells in table:
        where = f"{path}: row {row}"
        if len(cells) != len(names):
            raise InputError(
                f"{where}: {counted(len(cells), 'cell')} where the head has {len(names)}; mend or remove the row"
            )
        values = {"sequences": 1.0}
        for column, name, cell in zip(head, names, cells, strict=True):
            if name:
                values[name] = _moment(cell, where) if column.lower() == "timestamp" else number(cell, where)
        yield row, values


def _moment(cell: str, where: str) -> float:
    """Seconds of a date and time; fractions finer than a microsecond are cut."""
    try:
        moment = datetime.fromisoformat(cell[:26])
    except ValueError:
        raise InputError(f"{where}: expected a date and time, got {cell!r}; mend or remove the row") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for row, line in enumerate(file, start=1):
            if line.strip():
                yield row, {"sequences": 1.0, **_json_values(line, f"{path}: row {row}")}


def _json_values(line: str, where: str) -> dict[str, float]:
    try:
        entry: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: not a JSON object; mend or remove the row") from None
    missing = [key for key in _JSON_KEYS if not isinstance(entry, dict) or entry.get(key) is None]
    if missing:
        raise InputError(f"{where}: no {missing[0]}; a request needs {', '.join(_JSON_KEYS)}")
    return {name: number(str(entry[key]), f"{where}: {key}") for key, name in _JSON_KEYS.items()}
