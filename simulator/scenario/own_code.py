"""Code of the user's own that a scenario names: `my_policies.py:Evenings`, `package.module:Name`, or an entry point.

It is imported and run because the user named it, for no other reason and with the user's own rights. What goes wrong in
it is an InputError of one line with file, line and its own message. Its source, and that of the modules beside it that
it imports, has a digest, so that results and caches know which code made them.
"""

import ast
import hashlib
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.scenario.own_guard import (
    RandomnessChanged,
    move_on,
    own_files,
    raise_told,
    shadowing,
    shown,
    silent,
    untouched_randomness,
)
from fleetrec.simulator.scenario.own_imports import Beside
from fleetrec.simulator.scenario.text_files import resolve_path

Loaded = TypeVar("Loaded")
GROUP = "fleetrec.plugins"
"""of entry points, by whose names installed packages offer kinds"""
_REFERENCE = re.compile(r"((?P<file>.+\.py)|(?P<module>[A-Za-z_][\w.]*)):(?P<name>[A-Za-z_]\w*)")
_INSTALLED = ("site-packages", "dist-packages")
_loaded: dict[Path, tuple[dict[Path, str], types.ModuleType]] = {}
"""by path: hashes of the source that was imported, and the module"""


@dataclass(frozen=True)
class OwnSource:
    """Where a class of the user's own stands."""

    path: Path
    name: str
    line: int
    files: dict[Path, str]
    """SHA-256, as they were read, of its own first and then of the modules beside it that it imports"""

    @property
    def digest(self) -> str:
        """SHA-256 of these."""
        return hashlib.sha256("".join(self.files.values()).encode()).hexdigest()

    @property
    def place(self) -> str:
        """`my_policies.py:12`"""
        return f"{shown(self.path)}:{self.line}"


def is_reference(text: str) -> bool:
    """Whether a kind so written names own code."""
    return _REFERENCE.fullmatch(text) is not None


def load_class(text: str, folder: Path | None) -> type:
    """The class that `text` names; a relative file is taken from `folder`, of the file that names it, or else from the
    folder in which the command runs. InputError for all that can be wrong with it."""
    match = _REFERENCE.fullmatch(text)
    assert match is not None
    name = match["name"]
    if match["file"] is not None:
        path = _found(match["file"], folder)
        module, where = _module_of(path), shown(path)
    else:
        module, where = _imported(match["module"]), match["module"]
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and not key.startswith("_")]
        own = [key for key in classes if vars(module)[key].__module__ == module.__name__]
        near = get_close_matches(name, own, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else f" (classes: {', '.join(own)})" if own else ""
        raise InputError(f"{where} has no class {name!r}{hint}")
    if not isinstance(found, type):
        raise InputError(f"{where}: {name} is no class; name a class")
    return found


def from_folder(text: str, folder: Path | None) -> str:
    """A kind as it is named from the folder in which the command runs, where `folder` is that of the file that names
    it. InputError for own code that is not there."""
    match = _REFERENCE.fullmatch(text)
    return text if match is None or match["file"] is None else f"{shown(_found(match['file'], folder))}:{match['name']}"


def plugins() -> dict[str, EntryPoint]:
    """Kinds that installed packages offer, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def load_plugin(point: EntryPoint) -> type:
    """The class of an entry point."""
    if not is_reference(point.value):
        raise InputError(f"the entry point {point.name} = {point.value} of group {GROUP} does not name module:Class")
    return load_class(point.value, None)


@cache
def source_of(cls: type) -> OwnSource:
    """Where a class stands that is not of this package. InputError where its source cannot be read."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        raise InputError(
            f"{cls.__name__} stands in no file ({cls.__module__}), so its results could not be told from those of "
            "other code; put it into a file"
        )
    path = Path(file).resolve()
    own_files.add(str(path))
    files = _hashes(_with_local_imports(path, _root_of(path, cls.__module__)))
    classes = [node for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef)]
    line = next((node.lineno for node in classes if node.name == cls.__name__), 1)
    return OwnSource(path, cls.__qualname__, line, files)


def _hashes(files: list[Path]) -> dict[Path, str]:
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


# -------------------------------------------------------------------------------------------------- importing


def _found(text: str, folder: Path | None) -> Path:
    """The file, beside the one that names it or in the folder in which the command runs."""
    wanted = resolve_path(text)
    folders = [Path.cwd()] if folder is None or folder.resolve() == Path.cwd() else [folder.resolve(), Path.cwd()]
    places = [wanted] if wanted.is_absolute() else [one / wanted for one in folders]
    path = next((place.resolve() for place in places if place.exists()), None)
    if path is None:
        looked = "" if wanted.is_absolute() else f" (looked in {' and in '.join(map(str, folders))})"
        raise InputError(f"{text} does not exist{looked}; check the path")
    if path.is_dir():
        raise InputError(f"{text} is a folder; name a Python file in it")
    check_regular(path)
    return path


def _module_of(path: Path) -> types.ModuleType:
    """The module in a file: imported once, and anew where its source has changed since."""
    try:
        tree, files = _tree(path), _hashes(_with_local_imports(path, path.parent))
    except OSError as error:
        raise InputError(f"{shown(path)} cannot be read ({error.strerror}); give yourself permission") from None
    if path in _loaded and _loaded[path][0] == files:
        return _loaded[path][1]
    name = f"fleetrec_own_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    beside = [
        ".".join(file.relative_to(path.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in list(files)[1:]
    ]
    before = sys.modules.get(name)
    sys.modules[name] = module
    own_files.update(map(str, files))
    folder = str(path.parent)
    sys.path.insert(0, folder)
    try:
        with silent():
            code = compile(tree, str(path), "exec")
            _leaving_randomness(shown(path), lambda: _execute(code, module, Beside(path.parent, beside)), beside)
    except BaseException as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        if isinstance(error, InputError | KeyboardInterrupt):
            raise
        raise_told(error, shown(path))
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for what it imports later
    _loaded[path] = files, module
    return module


def _execute(code: types.CodeType, module: types.ModuleType, beside: Beside) -> None:
    vars(module)["__builtins__"] = beside.builtins
    exec(code, vars(module))


def _imported(name: str) -> types.ModuleType:
    """A module that Python itself finds."""
    try:
        with silent():
            module = _leaving_randomness(name, lambda: import_module(name), [name])
    except (InputError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise_told(error, name)
        raise InputError(f"there is no module {error.name!r}; install its package, or name FILE.py:NAME") from None
    except BaseException as error:
        raise_told(error, name)
    if getattr(module, "__file__", None):
        own_files.add(str(Path(str(module.__file__)).resolve()))
    return module


def _leaving_randomness(where: str, load: Callable[[], Loaded], anew: list[str]) -> Loaded:
    """What `load` gives. InputError where it changes global random numbers: not only at first, as a library may that it
    imports, but once more. `anew`: modules that are to be imported again each time."""
    for again in (True, False):
        for name in anew:  # another file may have had a module of this name, or this one an older text
            sys.modules.pop(name, None)
        try:
            with untouched_randomness(where), shadowing():
                return load()
        except RandomnessChanged:
            if not again:
                raise
            move_on()
    raise AssertionError


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise InputError(f"{shown(path)}:{error.lineno or 1}: cannot be read as Python: {error.msg}") from None
    except ValueError as error:
        raise InputError(f"{shown(path)}: cannot be read as Python: {error}") from None


def _root_of(path: Path, module: str) -> Path:
    """The folder from which a module imports those beside it: that of its file, or above its package."""
    depth = module.count(".") + (path.name == "__init__.py")
    return path.parents[depth] if module in sys.modules and not module.startswith("fleetrec_own_") else path.parent


def _with_local_imports(path: Path, root: Path) -> list[Path]:
    """A file and the modules below `root` that it imports, and those that they import, in order of their names.

    Of what is installed, those of its own package alone: other packages have versions.
    """
    own_top = path.relative_to(root).parts[0] if root.name in _INSTALLED else None
    found, waiting = {path}, [path]
    while waiting:
        here = waiting.pop()
        for name in _imports(here, root):
            parts = name.split(".")
            if own_top is not None and parts[0] != own_top:
                continue
            for count in range(1, len(parts) + 1):
                base = root.joinpath(*parts[:count])
                for file in (base.with_suffix(".py"), base / "__init__.py"):
                    if file.is_file() and file.resolve() not in found:
                        found.add(file.resolve())
                        waiting.append(file.resolve())
    return [path, *sorted(found - {path})]


def _imports(path: Path, root: Path) -> Iterator[str]:
    """Names of modules that a file imports, and of what it takes from them, which may be modules too."""
    package = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" if module else alias.name for alias in node.names)
