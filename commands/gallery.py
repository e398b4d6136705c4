"""Commands on what travels with the package, to copy and edit: scenarios, sweeps over them, examples of own code."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from fleetrec.commands.common import say, user_errors

PACKAGE = Path(__file__).parents[1]

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="folder to write to; made where it is missing")]
Replace = Annotated[bool, typer.Option("--overwrite", help="lose the file that has the name in the folder")]

scenarios_app = typer.Typer(help="List the scenarios that come with Fleetrec, or copy one.", no_args_is_help=True)
experiments_app = typer.Typer(help="List the sweeps that come with Fleetrec, or copy one.", no_args_is_help=True)
examples_app = typer.Typer(help="List the examples of own code, or copy one.", no_args_is_help=True)

_FORMS = {"scenarios": "*.yaml", "experiments": "*.yaml", "examples": "*.py"}


def _name_of(shelf: str) -> Any:
    """An argument that a shell completes to the names of the shelf."""

    def names() -> list[str]:
        return [path.stem for path in _files(shelf)]

    return typer.Argument(metavar="NAME", help="a name that `list` prints", show_default=False, autocompletion=names)


@scenarios_app.command("list")
def list_scenarios() -> None:
    """Print the scenarios that come with Fleetrec and what each is of."""
    _print_all("scenarios")


@scenarios_app.command("copy")
def copy_scenario(
    name: Annotated[str, _name_of("scenarios")], folder: Folder = Path(), overwrite: Replace = False
) -> None:
    """Copy a scenario to a folder, to run and to edit it there."""
    with user_errors():
        path = shipped("scenarios", name)
        _copy({path: folder / path.name}, overwrite)


@experiments_app.command("list")
def list_experiments() -> None:
    """Print the sweeps that come with Fleetrec and the question that each answers."""
    _print_all("experiments")


@experiments_app.command("copy")
def copy_experiment(
    name: Annotated[str, _name_of("experiments")], folder: Folder = Path(), overwrite: Replace = False
) -> None:
    """Copy a sweep to a folder, with the scenario that it starts from."""
    with user_errors():
        path = shipped("experiments", name)
        text = _content(path)["base"]
        base, beside = PACKAGE / text, folder / text
        there = beside.is_file() and beside.read_bytes() == base.read_bytes()  # copied with another sweep
        _copy({path: folder / path.name} | ({} if there else {base: beside}), overwrite)


@examples_app.command("list")
def list_examples() -> None:
    """Print the examples of own policies, models and the like that come with Fleetrec."""
    _print_all("examples")


@examples_app.command("copy")
def copy_example(
    name: Annotated[str, _name_of("examples")], folder: Folder = Path(), overwrite: Replace = False
) -> None:
    """Copy an example to a folder, with the scenario and the sweep that use it."""
    with user_errors():
        path = shipped("examples", name)
        files = [path, *sorted(path.parent.glob(f"{path.stem}*.yaml"))]
        _copy({file: folder / file.name for file in files}, overwrite)


def shipped(shelf: str, name: str) -> Path:
    """The file `name` of the folder `shelf`, with or without its suffix; InputError with the nearest name for none."""
    from fleetrec.models.runtime.errors import InputError
    from fleetrec.simulator.scenario.building import suggestion

    known = {path.stem: path for path in _files(shelf)}
    found = known.get(name.removesuffix(_FORMS[shelf][1:]))
    if found is None:
        raise InputError(
            f"{name}: there is nothing of that name in {shelf}{suggestion(name, list(known), 'there are')}"
        )
    return found


def _files(shelf: str) -> Iterable[Path]:
    return sorted((PACKAGE / shelf).glob(_FORMS[shelf]))


def _content(path: Path) -> Any:
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _print_all(shelf: str) -> None:
    files = list(_files(shelf))
    width = max(len(path.stem) for path in files)
    for path in files:
        print(f"{path.stem:{width}}  {_summary(path)}")


def _summary(path: Path) -> str:
    """What a file says of itself in a line."""
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(path.read_bytes())) or "").split("\n")[0]
    content = _content(path)
    return str(content.get("question") or content["description"])


def _copy(places: dict[Path, Path], overwrite: bool) -> None:
    """Write each file to its place, whole; where one would be lost, write none."""
    from fleetrec.models.runtime.artifacts import atomic_path
    from fleetrec.models.runtime.errors import InputError

    for target in places.values():
        if target.exists() and not overwrite:
            raise InputError(f"{target}: is there already; name another folder, or --overwrite it")
    for source, target in places.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{target.parent}: cannot be a folder ({error.strerror}); name another") from None
        with atomic_path(target) as temporary:
            temporary.write_bytes(source.read_bytes())
        say(f"written to {target}")
