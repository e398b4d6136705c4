"""Modules beside an own file, imported for it alone: two folders may each have a `helper.py`.

Python keeps modules by name. So an own file, and each module beside it, has an `__import__` of its own, which puts
this file's modules under their names before it imports one of them, also long after the file was read.
"""

import builtins
import sys
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from threading import RLock
from typing import Any

_LOCK = RLock()


class Beside:
    """The modules of these dotted names in a folder, for one own file."""

    def __init__(self, folder: Path, names: Collection[str]):
        self._folder = str(folder)
        self._tops = {name.split(".")[0] for name in names}
        self._modules: dict[str, types.ModuleType] = {}
        self.builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}
        """for the namespace of a module that imports them"""

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        known = self._modules.get(name)
        if known is not None and not level and all(hasattr(known, one) for one in fromlist or ()):
            return known if fromlist else self._modules[name.split(".")[0]]
        whose = str((globals or {}).get("__package__") or "") if level else name
        if whose.split(".")[0] not in self._tops:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        with _LOCK:
            for other in self._here(sys.modules):
                del sys.modules[other]
            sys.modules.update(self._modules)
            sys.meta_path.insert(0, self)
            try:
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            finally:
                sys.meta_path.remove(self)
                self._modules = {other: sys.modules[other] for other in self._here(sys.modules)}

    def _here(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name.split(".")[0] in self._tops]

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python asks for a module: the one beside the file."""
        if name.split(".")[0] not in self._tops:
            return None
        spec = PathFinder.find_spec(name, [self._folder] if path is None else path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path, self.builtins)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, builtins_of_it: dict[str, Any]):
        super().__init__(name, path)
        self._builtins = builtins_of_it

    def get_code(self, fullname: str) -> types.CodeType:
        """From the source as it is: kept bytecode also passes for that of a file that was changed within the second."""
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)
