"""Machine code: made once by the compiler, kept among the artifacts, and loaded where there is enough to do.

The compiler is loaded when something first asks for it; what it makes is an artifact like others, loaded as it was
written or not at all. Where there is no compiler, or it fails, Python serves.
"""

import hashlib
import math
import os
import platform
import shutil
import sys
import tempfile
from contextlib import nullcontext, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError

SWITCH = "FLEETREC_COMPILED"
"""set to off, all is done without compiled code"""


def switched_off() -> bool:
    """Whether the user wants no compiled code. InputError for what is neither on nor off."""
    said = os.environ.get(SWITCH) or "on"
    if said not in ("on", "off"):
        raise InputError(f"{SWITCH}={said}: expected on or off; off does all without compiled code")
    return said == "off"


@cache
def machine_code(name: str, without: str) -> ModuleType | None:
    """The module of that name with its machine code; None, with one line on standard error that begins with what is
    done `without`, where it cannot be had. It says how it is compiled (`prepare`)."""
    if switched_off():
        return None
    try:
        store, key = ArtifactStore(), key_of(name)
        kept = store.open("compiled", key)
        alone = store.locked("compiled", key) if kept is None else nullcontext()  # of several processes one compiles
        with alone, tempfile.TemporaryDirectory() as own:  # it writes where it reads, which a cache may not allow
            kept = kept or store.open("compiled", key)
            if kept is not None:
                shutil.copytree(kept, own, dirs_exist_ok=True)
            settings: Any = import_module("numba").config
            settings.CACHE_DIR = own
            code = import_module(name)
            code.prepare()
            if kept is None:
                with suppress(InputError), store.creating("compiled", key) as folder:
                    shutil.copytree(own, folder, dirs_exist_ok=True)
            return code
    except Exception as error:  # a missing wheel, a full disk, an interpreter that it does not know
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"warning: {without}: {line}", file=sys.stderr)
        return None


def key_of(name: str) -> dict[str, Any]:
    """What the machine code depends on. The compiler itself looks for it by the path of the source."""
    llvm: Any = import_module("llvmlite.binding")
    package, module = name.rpartition(".")[::2]
    place = Path(*import_module(package).__path__)
    sources = sorted(place.glob("compiled_*.py"))
    if place.name == "compiled":  # which may call parts of other such folders
        sources = sorted(Path(__file__).parents[1].glob("*/compiled/*.py"))
    sources.append(Path(__file__).with_name("compiling.py"))  # says how all is compiled
    return {
        "path": str(place.absolute()),
        "module": module,
        "source": hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest(),
        "processor": [llvm.get_host_cpu_name(), str(llvm.get_host_cpu_features().flatten())],
        "versions": [import_module("numba").__version__, platform.python_version()],
    }


def code_at_hand(name: str, without: str, makes: bool) -> ModuleType | None:
    """`machine_code` that this machine has, or `makes`; None, without a word, where there is none or no compiler."""
    if switched_off() or find_spec("numba") is None:
        return None
    known = makes or ArtifactStore().has("compiled", key_of(name))
    return machine_code(name, without) if known else None


class Demand:
    """How much this process has asked of one module of machine code, and that code once it pays."""

    def __init__(self, name: str, without: str, pays: int, pays_to_compile: int):
        """Of module `name`, looked up where it is asked for, since it imports the compiler. `pays`: pieces of work that
        take as much longer without it as it takes to load; `pays_to_compile`: as it takes to make, which is done once
        for a machine. Where it cannot be had, a line says what is done `without`."""
        self._name, self._without, self._pays, self._pays_to_compile = name, without, pays, pays_to_compile
        self._asked = 0
        self._looks_from: float = pays  # so that it is not looked for with every few pieces
        self._code: ModuleType | None = None

    def code(self, more: int) -> ModuleType | None:
        """The machine code, where the pieces so far and `more` took longer without it than it takes to load, or to
        make; None: they are done without."""
        self._asked += more
        if self._code is None and self._asked >= self._looks_from:
            self._code = self._found()
        return None if switched_off() else self._code

    def make(self) -> None:
        """Have it made, where this machine has none, and loaded: what is timed then is its work alone."""
        code_at_hand(self._name, self._without, makes=True)

    def _found(self) -> ModuleType | None:
        makes = self._asked >= self._pays_to_compile
        self._looks_from = math.inf if makes else self._pays_to_compile
        return code_at_hand(self._name, self._without, makes)
