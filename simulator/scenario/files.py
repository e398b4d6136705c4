"""The files that a scenario names: whether they are there and can be read, before anything is trained or simulated."""

import os
from collections.abc import Iterator

from models.errors import InputError
from simulator.scenario import sections
from simulator.tables import resolve_path

CACHED = "cache:"
"""prefix of a path inside the cache of fetched data sets"""


def named_files(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """(dotted key, path as written) of every file or folder that the scenario reads."""
    interactions = scenario.workload.interactions
    if isinstance(interactions, sections.LogFile):
        yield "workload.interactions.path", interactions.path
        if interactions.items is not None:
            yield "workload.interactions.items", interactions.items
    if isinstance(scenario.fleet.churn, sections.PresenceTrace):
        yield "fleet.churn.path", scenario.fleet.churn.path
    for i, device_class in enumerate(scenario.fleet.classes):
        if isinstance(device_class.link, sections.TraceLink):
            yield f"fleet.classes.{i}.link.path", device_class.link.path
    candidates = scenario.llm.candidates
    if isinstance(candidates, sections.CandidateTable):
        yield "llm.candidates.path", candidates.path
    elif candidates.checkpoint is not None:
        yield "llm.candidates.checkpoint", candidates.checkpoint
    if isinstance(scenario.tariffs.carbon, str):
        yield "tariffs.carbon", scenario.tariffs.carbon


def check_files(scenario: sections.Scenario) -> None:
    """Raises InputError for the first file that is missing, of the wrong kind, or not readable."""
    for key, text in named_files(scenario):
        if not text.startswith(CACHED):
            _check(key, text, folder=key.endswith(".checkpoint"))


def _check(key: str, text: str, folder: bool) -> None:
    try:
        path = resolve_path(text)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    shown = text if str(path) == text else f"{text} ({path})"
    if not path.exists():
        raise InputError(f"{key}: {shown} does not exist (relative paths start at the current folder)")
    if path.is_dir() != folder:
        wanted = "a folder" if folder else "a file"
        raise InputError(f"{key}: {shown} is {'a file' if folder else 'a directory'}; name {wanted}")
    if not os.access(path, os.R_OK | (os.X_OK if folder else 0)):
        raise InputError(f"{key}: {shown}: no permission to read it")
