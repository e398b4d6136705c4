"""Fleetrec: a discrete-event simulator of device fleets for device-cloud recommendation.

`simulate(Scenario.load(path))` runs a scenario and returns its RunResult. Names are looked up when first used, so that
reading a scenario does not import PyTorch. The folders in here are links to those at the top of the repository.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleetrec.models.llm.own import Histories
    from fleetrec.models.runtime.errors import InputError
    from fleetrec.models.sequences import LearningData
    from fleetrec.models.srm.own import History
    from fleetrec.simulator.policies.update.fleet import FleetUpdate
    from fleetrec.simulator.ranking.list_view import ListView
    from fleetrec.simulator.results.run_result import RunResult
    from fleetrec.simulator.scenario import Scenario
    from fleetrec.simulator.scenario.sections.adapt_when import AdaptingView, AdaptWhen
    from fleetrec.simulator.scenario.sections.admission import Admission, ArrivalView
    from fleetrec.simulator.scenario.sections.candidates import Candidates
    from fleetrec.simulator.scenario.sections.fusion import FusionRule
    from fleetrec.simulator.scenario.sections.queue_order import QueueOrder, WaitingView
    from fleetrec.simulator.scenario.sections.request import DeviceView, RequestPolicy
    from fleetrec.simulator.scenario.sections.router import ClusterView, ReplicaView, RequestView, Router
    from fleetrec.simulator.scenario.sections.slate import Slate
    from fleetrec.simulator.scenario.sections.srm import Srm
    from fleetrec.simulator.scenario.sections.update import UploadsView
    from fleetrec.simulator.scenario.sections.users import Leave, SlateView, Users
    from fleetrec.simulator.scenario.units import Bytes, Joules, Seconds, Share
    from fleetrec.simulator.simulation import simulate

__version__ = "0.1.0"
__all__ = [
    "AdaptWhen",
    "AdaptingView",
    "Admission",
    "ArrivalView",
    "Bytes",
    "Candidates",
    "ClusterView",
    "DeviceView",
    "FleetUpdate",
    "FusionRule",
    "Histories",
    "History",
    "InputError",
    "Joules",
    "LearningData",
    "Leave",
    "ListView",
    "QueueOrder",
    "ReplicaView",
    "RequestPolicy",
    "RequestView",
    "Router",
    "RunResult",
    "Scenario",
    "Seconds",
    "Share",
    "Slate",
    "SlateView",
    "Srm",
    "UploadsView",
    "Users",
    "WaitingView",
    "__version__",
    "simulate",
]

_HOME = {
    "AdaptWhen": "fleetrec.simulator.scenario.sections.adapt_when",
    "AdaptingView": "fleetrec.simulator.scenario.sections.adapt_when",
    "Admission": "fleetrec.simulator.scenario.sections.admission",
    "ArrivalView": "fleetrec.simulator.scenario.sections.admission",
    "Bytes": "fleetrec.simulator.scenario.units",
    "Candidates": "fleetrec.simulator.scenario.sections.candidates",
    "ClusterView": "fleetrec.simulator.scenario.sections.router",
    "DeviceView": "fleetrec.simulator.scenario.sections.request",
    "FleetUpdate": "fleetrec.simulator.policies.update.fleet",
    "FusionRule": "fleetrec.simulator.scenario.sections.fusion",
    "Histories": "fleetrec.models.llm.own",
    "History": "fleetrec.models.srm.own",
    "InputError": "fleetrec.models.runtime.errors",
    "Joules": "fleetrec.simulator.scenario.units",
    "LearningData": "fleetrec.models.sequences",
    "Leave": "fleetrec.simulator.scenario.sections.users",
    "ListView": "fleetrec.simulator.ranking.list_view",
    "QueueOrder": "fleetrec.simulator.scenario.sections.queue_order",
    "ReplicaView": "fleetrec.simulator.scenario.sections.router",
    "RequestPolicy": "fleetrec.simulator.scenario.sections.request",
    "RequestView": "fleetrec.simulator.scenario.sections.router",
    "Router": "fleetrec.simulator.scenario.sections.router",
    "RunResult": "fleetrec.simulator.results.run_result",
    "Scenario": "fleetrec.simulator.scenario",
    "Seconds": "fleetrec.simulator.scenario.units",
    "Share": "fleetrec.simulator.scenario.units",
    "Slate": "fleetrec.simulator.scenario.sections.slate",
    "SlateView": "fleetrec.simulator.scenario.sections.users",
    "Srm": "fleetrec.simulator.scenario.sections.srm",
    "UploadsView": "fleetrec.simulator.scenario.sections.update",
    "Users": "fleetrec.simulator.scenario.sections.users",
    "WaitingView": "fleetrec.simulator.scenario.sections.queue_order",
    "simulate": "fleetrec.simulator.simulation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fleetrec' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
