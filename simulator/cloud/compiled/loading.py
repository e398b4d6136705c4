"""Machine code: made once by the compiler, kept among the artifacts, and loaded where there is enough to do.

The compiler is loaded when something first asks for it; what it makes is an artifact like others, loaded as it was
written or not at all. Where there is no compiler, or it fails, Python serves.
"""

import hashlib
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

NODE = "fleetrec.simulator.cloud.compiled.node"
REPLAY = "fleetrec.simulator.cloud.compiled.replay"
"""looked up where they are asked for, since they import the compiler"""
SWITCH = "FLEETREC_COMPILED"
"""set to off, all is done without compiled code"""
_WITHOUT = "requests are served without compiled code, and peaks in less detail"
_PAYS = 30_000
"""requests from which on loading machine code takes less than serving them without"""
_PAYS_TO_COMPILE = 1_000_000


def switched_off() -> bool:
    """Whether the user wants no compiled code. InputError for what is neither on nor off."""
    said = os.environ.get(SWITCH) or "on"
    if said not in ("on", "off"):
        raise InputError(f"{SWITCH}={said}: expected on or off; off serves all requests without compiled code")
    return said == "off"


@cache
def machine_code(name: str = NODE, without: str = _WITHOUT) -> ModuleType | None:
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


def code_for(requests: int) -> ModuleType | None:
    """The machine code of the node, where it takes less time to load, or to make, than to serve so many requests
    without; None: they are served without."""
    if requests < _PAYS or switched_off() or find_spec("numba") is None:
        return None
    kept = requests >= _PAYS_TO_COMPILE or ArtifactStore().has("compiled", key_of(NODE))
    return machine_code() if kept else None


def key_of(name: str) -> dict[str, Any]:
    """What the machine code depends on. The compiler itself looks for it by the path of the source."""
    llvm: Any = import_module("llvmlite.binding")
    package, module = name.rpartition(".")[::2]
    place = Path(*import_module(package).__path__)
    sources = sorted(place.glob("*.py" if place.name == "compiled" else "compiled_*.py"))
    sources.append(Path(__file__).with_name("columns.py"))  # says how all is compiled
    return {
        "path": str(place.absolute()),
        "module": module,
        "source": hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest(),
        "processor": [llvm.get_host_cpu_name(), str(llvm.get_host_cpu_features().flatten())],
        "versions": [import_module("numba").__version__, platform.python_version()],
    }
