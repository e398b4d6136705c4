"""Fleetrec's simulated world. `simulate(Scenario.load(path))` runs a scenario and returns its RunResult.

The names are looked up when first used, so that reading a scenario does not import PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.results.collect import RunResult
    from simulator.running import simulate
    from simulator.scenario import Scenario

__all__ = ["RunResult", "Scenario", "simulate"]

_HOME = {
    "RunResult": "simulator.results.collect",
    "Scenario": "simulator.scenario",
    "simulate": "simulator.running",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simulator' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
