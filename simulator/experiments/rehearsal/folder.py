"""The folder of a rehearsal.

rehearsal.parquet   a row a request that was due: when, how it ended, tokens, answer, measured and simulated times
requests.jsonl      those that were answered, as `calibrate` reads a server's log; written while they come
profile.yaml        step times fitted to the first part of it, for `cloud.profile`
answers.parquet     the answers as candidate lists, for `llm.candidates: {kind: table}`
rehearsal.json      the summary; scenario.yaml: what was simulated; report.html, figures/
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.records.folder_lock import held

REQUESTS, LOG, PROFILE, ANSWERS = "rehearsal.parquet", "requests.jsonl", "profile.yaml", "answers.parquet"
SUMMARY, SCENARIO, PAGE, FIGURES = "rehearsal.json", "scenario.yaml", "report.html", "figures"
_FILES = {REQUESTS, LOG, PROFILE, ANSWERS, SUMMARY, SCENARIO, PAGE}


@contextmanager
def folder_of(path: Path, overwrite: bool) -> Iterator[None]:
    """The folder held against other processes. InputError where it holds what is no rehearsal's, or, unless
    `overwrite`, what was measured before."""
    with held(path) as present:
        if present - _FILES - {FIGURES}:
            raise InputError(f"--out {path}: holds files that are not a rehearsal's; name a new or an empty folder")
        if present & {REQUESTS, LOG} and not overwrite:
            raise InputError(f"--out {path}: holds what was measured before; name another folder, or --overwrite it")
        yield


def empty(path: Path) -> None:
    """Take away what an earlier rehearsal has left."""
    for name in _FILES:
        (path / name).unlink(missing_ok=True)
