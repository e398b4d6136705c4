"""What was measured, as files: a row a request, a server's log for `calibrate`, and the answers as a table of lists."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.llm.answers import parsed
from fleetrec.models.llm.grounding import Grounding
from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.experiments.rehearsal.load import Load
from fleetrec.simulator.experiments.rehearsal.sender import Sent
from fleetrec.simulator.preparation.prompt_export import Prompts
from fleetrec.simulator.preparation.request_tokens import CHARACTERS_PER_TOKEN
from fleetrec.simulator.records.parquet import write_table
from fleetrec.simulator.workload.log import InteractionLog

_DIGITS = 6
"""of seconds between tokens: a microsecond is finer than any loop sees"""


class LogFile:
    """`requests.jsonl` as answers come: what is answered is on disk, whatever happens then."""

    def __init__(self, path: Path, load: Load):
        self._path, self._load = path, load

    def __enter__(self) -> "LogFile":
        self._file: IO[str] = self._path.open("w", encoding="utf-8", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, number: int, sent: Sent) -> None:
        """What became of a request."""
        row = _row(self._load, number, sent)
        if row is not None:
            self._file.write(json.dumps(row) + "\n")


def write_log(path: Path, load: Load, sent: list[Sent]) -> int:
    """The answered requests in the order in which they were sent; how many they are."""
    rows = [row for number, one in enumerate(sent) if (row := _row(load, number, one)) is not None]
    with atomic_path(path) as temporary:
        text = "".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda row: row["arrival_s"]))
        temporary.write_text(text, encoding="utf-8")
    return len(rows)


def _row(load: Load, number: int, sent: Sent) -> dict[str, Any] | None:
    if sent.answer is None:
        return None
    prompt, output = tokens_of(load, number, sent)
    return {
        "arrival_s": sent.sent_s,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "first_token_s": sent.answer.first_s,
        "last_token_s": sent.answer.last_s,
        "gaps_s": np.diff(sent.answer.written_s).round(_DIGITS).tolist(),
    }


def tokens_of(load: Load, number: int, sent: Sent) -> tuple[int, int]:
    """Tokens of a prompt and of its answer as the server counts them, else by characters and by events."""
    assert sent.answer is not None
    reply, characters = sent.answer.reply, len(load.due[number].prompt)
    prompt = reply.prompt_tokens if math.isfinite(reply.prompt_tokens) else characters / CHARACTERS_PER_TOKEN
    output = reply.output_tokens if math.isfinite(reply.output_tokens) else sent.answer.events
    return max(math.ceil(prompt), 1), max(int(output), 1)


def frame_of(load: Load, sent: list[Sent], log: InteractionLog) -> pd.DataFrame:
    """A row a request that was due, in order; times in seconds since the first was due."""
    n = len(sent)
    known = [(None, None) if one.answer is None else tokens_of(load, i, one) for i, one in enumerate(sent)]
    return pd.DataFrame(
        {
            "request": load.request[:n],
            "user_id": [str(label) for label in log.user_ids[load.user[:n]]],
            "as_of": load.as_of[:n],
            "simulated_s": load.arrives_s[:n],
            "due_s": [one.due_s for one in sent],
            "sent_s": [one.sent_s for one in sent],
            "first_s": [math.nan if one.answer is None else one.answer.first_s for one in sent],
            "last_s": [math.nan if one.answer is None else one.answer.last_s for one in sent],
            "ended_s": [one.ended_s for one in sent],
            "outcome": [one.end for one in sent],
            "status": np.array([one.status for one in sent], dtype=np.int32),
            "why": [one.why for one in sent],
            "prompt_tokens": pd.array([prompt for prompt, _ in known], dtype="Int64"),
            "output_tokens": pd.array([output for _, output in known], dtype="Int64"),
            "simulated_prompt_tokens": load.prompt_tokens[:n],
            "simulated_output_tokens": load.output_tokens[:n],
            "cut": [one.answer is not None and one.answer.reply.cut for one in sent],
            "answer": ["" if one.answer is None else one.answer.reply.text for one in sent],
        }
    )


def write_answers(path: Path, load: Load, sent: list[Sent], prompts: Prompts, log: InteractionLog) -> dict[str, int]:
    """The answers as candidate lists, a row an item, as a `table` is read; how many hold titles, and items.

    Titles, or ids of the log, that are found in the catalogue; the others are counted. No file where nothing is found.
    """
    finder = _Items(prompts, log)
    rows: list[tuple[str, int, str, int, float, float, float]] = []
    counts = {"answers": 0, "with_titles": 0, "lists": 0, "written": 0, "ungrounded": 0}
    for number, one in enumerate(sent):
        if one.answer is None:
            continue
        written, items = finder.of(one.answer.reply.text, one.answer.reply.cut)
        counts["answers"] += 1
        counts["with_titles"] += bool(written)
        counts["written"] += written
        counts["ungrounded"] += written - len(items)
        counts["lists"] += bool(items)
        prompt, output = tokens_of(load, number, one)
        user, seen = str(log.user_ids[load.user[number]]), int(load.as_of[number])
        rows += [
            (user, seen, str(log.item_ids[item]), rank, prompt, output, one.answer.last_s - one.sent_s)
            for rank, item in enumerate(dict.fromkeys(items), start=1)
        ]
    if rows:
        names = ("user_id", "as_of", "item_id", "rank", "prompt_tokens", "output_tokens", "latency_s")
        write_table(pd.DataFrame(rows, columns=list(names)), path)
    else:
        path.unlink(missing_ok=True)
    return counts


class _Items:
    """Finds the items that an answer names, by title or by the log's own label."""

    def __init__(self, prompts: Prompts, log: InteractionLog):
        self._asked, self._grounding = prompts.asked, Grounding(prompts.names, prompts.asked.min_similarity)
        self._labels = {str(label): item for item, label in enumerate(log.item_ids)}

    def of(self, text: str, cut: bool) -> tuple[int, list[int]]:
        """How many titles are written, and the items found among them."""
        titles = parsed(text, self._asked.titles, self._known, cut).titles
        return len(titles), list(self._found(titles))

    def _known(self, title: str) -> bool:
        return title.strip() in self._labels or self._grounding.knows(title)

    def _found(self, titles: tuple[str, ...]) -> Iterator[int]:
        grounded: NDArray[np.int64] = self._grounding.find(titles)
        for title, item in zip(titles, grounded.tolist(), strict=True):
            found = item if item >= 0 else self._labels.get(title.strip(), -1)
            if found >= 0:
                yield found
