"""The files that a scenario names: whether they are there and can be read, before anything is trained or simulated."""

import os
from collections.abc import Iterator
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.text_files import locate, resolve_path


def named_files(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """(dotted key, path as written) of every file or folder that the scenario reads."""
    interactions = scenario.workload.interactions
    if isinstance(interactions, sections.LogFile):
        yield "workload.interactions.path", interactions.path
        if interactions.items is not None:
            items = interactions.items
            yield "workload.interactions.items", items if isinstance(items, str) else items.path
    if isinstance(scenario.fleet.churn, sections.PresenceTrace):
        yield "fleet.churn.path", scenario.fleet.churn.path
    for i, device_class in enumerate(scenario.fleet.classes):
        if isinstance(device_class.link, sections.TraceLink):
            yield f"fleet.classes.{i}.link.path", device_class.link.path
    yield from ((f"llm.candidates.{key}", path) for key, path in scenario.llm.candidates.files())
    yield from _of_cloud("cloud", scenario.cloud)
    for i, region in enumerate(scenario.regions):
        yield from _of_cloud(f"regions.{i}.cloud", region.cloud)
        if isinstance(region.link, sections.TraceLink):
            yield f"regions.{i}.link.path", region.link.path
    if isinstance(scenario.tariffs.carbon, str):
        yield "tariffs.carbon", scenario.tariffs.carbon


def _of_cloud(key: str, cloud: sections.Cloud) -> Iterator[tuple[str, str]]:
    if cloud.api is not None and isinstance(cloud.api.latency, sections.MeasuredLatency):
        yield f"{key}.api.latency.path", cloud.api.latency.path
    for where, machines in cloud.machines(key):
        if machines.profile is not None:
            yield f"{where}.profile", machines.profile


def check_files(scenario: sections.Scenario) -> None:
    """Raises InputError for the first file that is missing, of the wrong kind, or not readable."""
    for key, text in named_files(scenario):
        try:
            if key.startswith("workload.interactions."):
                _check_readable(locate(text))
            else:
                _check(resolve_path(text), folder=key.endswith(".checkpoint"))
        except (InputError, OSError) as error:
            raise InputError(f"{key}: {error}") from None


def _check(path: Path, folder: bool) -> None:
    if not path.exists():
        raise InputError(
            f"{path} does not exist; check the path (it is taken from the folder in which the command runs)"
        )
    if path.is_dir() != folder:
        found, wanted = ("a file", "the folder of a checkpoint") if folder else ("a directory", "a file in it")
        raise InputError(f"{path} is {found}; name {wanted}")
    _check_readable(path)


def _check_readable(path: Path) -> None:
    check_regular(path)
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise InputError(f"{path} may not be read; give yourself permission, or name another")
