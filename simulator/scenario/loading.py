"""Scenario files: read, overridden from the command line, typed, checked."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.building import Builder, Problem, raise_first
from fleetrec.simulator.scenario.checks import contradictions
from fleetrec.simulator.scenario.overrides import apply_override, apply_setting
from fleetrec.simulator.scenario.reading import Node, Place, Scalar, read_file


class Scenario(sections.Scenario):
    """A device fleet, its models, its cloud and its policy."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        overrides: Iterable[str] = (),
        seed: int | None = None,
        settings: Mapping[str, Node] | None = None,
        check: Callable[[Self], None] | None = None,
    ) -> Self:
        """The scenario in the YAML file `path`, with `overrides` ("dotted.key=value") applied in their order.

        `settings`, of a sweep, come after those: dotted keys and what they hold. `seed` replaces the file's. `check`
        looks for more that is wrong, naming its dotted key first. Raises InputError, one line with file, line and key,
        for anything that is wrong.
        """
        root = read_file(Path(path))
        if isinstance(root.content, Scalar) and root.content.is_null:
            raise InputError(f"{path}: is empty; the least that a scenario holds is 'name: my_fleet'")
        if not isinstance(root.content, dict):
            raise InputError(f"{root.place}: expected keys such as 'name: my_fleet' at the top of the file")
        for override in overrides:
            apply_override(root, override, cls)
        for key, value in (settings or {}).items():
            apply_setting(root, key, value, cls)
        if seed is not None:
            root.content["seed"] = Node(Scalar(str(seed)), Place(f"--seed {seed}"))
        builder = Builder()
        scenario = builder.section(root, cls, (), None)
        raise_first(builder.problems)
        assert isinstance(scenario, cls)
        raise_first([Problem(_place(root, key), f"{key}: {text}") for key, text in contradictions(scenario)])
        if check is not None:
            try:
                check(scenario)
            except InputError as error:
                key = re.split("[: ]", str(error), maxsplit=1)[0]
                if key.split(".")[0] not in cls.model_fields:  # it names another file
                    raise
                raise InputError(f"{_place(root, key)}: {error}") from None
        return scenario


def load_scenario(path: str | Path, overrides: Iterable[str] = (), seed: int | None = None) -> Scenario:
    """`Scenario.load`, as a function."""
    return Scenario.load(path, overrides, seed)


def _place(root: Node, dotted: str) -> Place:
    """Place of the key, or of the nearest given one that holds it; of an override inside it before that."""
    node = root
    for part in dotted.split("."):
        if isinstance(node.content, dict) and part in node.content:
            node = node.content[part]
        elif isinstance(node.content, list) and part.isdecimal() and int(part) < len(node.content):
            node = node.content[int(part)]
        else:
            break
    return next((inner.place for inner in _inside(node) if not inner.place.line), node.place)


def _inside(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    if not isinstance(node.content, Scalar):
        for child in node.content.values() if isinstance(node.content, dict) else node.content:
            yield from _inside(child)
