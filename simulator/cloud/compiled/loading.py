"""The machine code of the LLM node, where there are enough requests to serve."""

from types import ModuleType

from fleetrec.simulator.core.machine_code import code_at_hand, machine_code

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
    return None if requests < _PAYS else code_at_hand(NODE, _WITHOUT, makes=requests >= _PAYS_TO_COMPILE)
