"""The machine code of the LLM node, where there are enough requests to serve."""

from importlib.util import find_spec
from types import ModuleType

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.core.machine_code import key_of, machine_code, switched_off

NODE = "fleetrec.simulator.cloud.compiled.node"
REPLAY = "fleetrec.simulator.cloud.compiled.replay"
"""looked up where they are asked for, since they import the compiler"""
_WITHOUT = "requests are served without compiled code, and peaks in less detail"
_PAYS = 30_000
"""requests from which on loading machine code takes less than serving them without"""
_PAYS_TO_COMPILE = 1_000_000


def node_code(name: str = NODE) -> ModuleType | None:
    """The module of that name with its machine code (`machine_code`)."""
    return machine_code(name, _WITHOUT)


def code_for(requests: int) -> ModuleType | None:
    """The machine code of the node, where it takes less time to load, or to make, than to serve so many requests
    without; None: they are served without."""
    if requests < _PAYS or switched_off() or find_spec("numba") is None:
        return None
    kept = requests >= _PAYS_TO_COMPILE or ArtifactStore().has("compiled", key_of(NODE))
    return node_code() if kept else None
