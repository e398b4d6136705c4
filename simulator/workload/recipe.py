"""Published data sets by name: each is a file of what a user would otherwise write, under what the user does write."""

from typing import Any

import yaml

from fleetrec.simulator.scenario.sections.workload import RECIPE_FOLDER, RECIPES, ItemFile, LogFile

_ABOUT = ("about", "source")  # for people


def recipe(name: str) -> dict[str, Any]:
    """What a data set's recipe says, of the keys of `workload.interactions`."""
    said = yaml.safe_load((RECIPE_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in said.items() if key not in _ABOUT}


def with_recipe(section: LogFile) -> LogFile:
    """The section with what its format's recipe says wherever the user says nothing."""
    if section.format not in RECIPES:
        return section
    said = recipe(section.format)
    items = said.pop("items", {})
    written = section.model_dump(exclude_unset=True, exclude={"format"})
    merged = LogFile.model_validate({"format": "auto", **said, **written})
    if isinstance(merged.items, str) and items:
        return merged.model_copy(update={"items": ItemFile.model_validate({**items, "path": merged.items})})
    return merged
