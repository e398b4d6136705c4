"""Published data sets by name: each is a file of what a user would otherwise write, under what the user does write."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import RECIPE_FOLDER, RECIPES, ItemFile, LogFile
from fleetrec.simulator.workload.log import Clock, InteractionLog


@dataclass(frozen=True)
class Recipe:
    """How a published data set is read."""

    name: str
    reads: tuple[str, ...]  # files as they are published
    about: str
    source: str  # where it is published
    clock: Clock  # of its times
    said: dict[str, Any]  # keys of `workload.interactions`
    files: dict[str, dict[str, Any]]  # further ones, by the pattern of a file's name

    def read_as(self, section: LogFile) -> LogFile:
        """The section with what the recipe says wherever the user says nothing."""
        name = Path(section.path).name
        said = self.said
        for pattern, more in self.files.items():
            said = {**said, **more} if fnmatch(name, pattern) else said
        written = section.model_dump(exclude_unset=True, exclude={"format"})
        for key in ("columns", "time"):
            written[key] = {**said.get(key, {}), **written.get(key, {})}
        merged = LogFile.model_validate({"format": "auto", **said, "items": None, **written})
        if isinstance(merged.items, str) and "items" in said:
            return merged.model_copy(update={"items": ItemFile.model_validate({**said["items"], "path": merged.items})})
        return merged

    def refused(self, error: InputError) -> InputError:
        """An error that says too what the format is."""
        return InputError(f"{error}; format {self.name} reads {' or '.join(self.reads)} as published ({self.source})")

    def check(self, log: InteractionLog) -> None:
        """InputError where the times are not of the clock that the data set has, so that the file is another."""
        if self.clock == "absolute" and log.clock != "absolute":
            times = log.reading.times if log.reading else ""
            raise InputError(
                f"{log.source}: read as {times or 'published'}, its times are no dates from 1995 to next year"
            )


def recipe(name: str) -> Recipe:
    """The recipe of a published data set."""
    said = yaml.safe_load((RECIPE_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    about, source, reads = said.pop("about"), said.pop("source"), tuple(said.pop("reads"))
    return Recipe(name, reads, about, source, said.pop("clock", "absolute"), said, said.pop("files", {}))


def known(section: LogFile) -> Recipe | None:
    """The recipe that a section names; None: its format is a kind of file."""
    return recipe(section.format) if section.format in RECIPES else None


def with_recipe(section: LogFile) -> LogFile:
    """The section with what its format's recipe says wherever the user says nothing."""
    published = known(section)
    return section if published is None else published.read_as(section)
