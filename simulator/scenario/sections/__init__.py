"""The sections of a scenario file, typed, one module a top-level key. A field's description is its documentation
(`fleetrec schema`).
"""

from fleetrec.simulator.scenario.sections.adapt_when import AdaptWhen
from fleetrec.simulator.scenario.sections.admission import Admission
from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.candidates import Candidates, TitlePrompt
from fleetrec.simulator.scenario.sections.cloud import (
    Autoscale,
    Cloud,
    Disaggregation,
    EngineName,
    Failures,
    KvOffloading,
    Machines,
    Parallel,
    Pool,
    Precision,
    Slo,
    Spot,
    WeightFormat,
)
from fleetrec.simulator.scenario.sections.fleet import (
    AlwaysOn,
    Churn,
    ConstantLink,
    DeviceClass,
    Fleet,
    Link,
    OnOff,
    Preloaded,
    PresenceTrace,
    PresetLink,
    TraceLink,
    default_classes,
)
from fleetrec.simulator.scenario.sections.fusion import FusionRule
from fleetrec.simulator.scenario.sections.kinds import Kind
from fleetrec.simulator.scenario.sections.llm import Llm, Prompt, Quality
from fleetrec.simulator.scenario.sections.own_kinds import kind_of_object, own_kinds, silent, with_kind
from fleetrec.simulator.scenario.sections.policy import Budget, Policy
from fleetrec.simulator.scenario.sections.queue_order import QueueOrder
from fleetrec.simulator.scenario.sections.regions import CloudChanges, Region
from fleetrec.simulator.scenario.sections.request import RequestPolicy
from fleetrec.simulator.scenario.sections.router import ReplicaView, RequestView, Router
from fleetrec.simulator.scenario.sections.scenario import Engine, Metrics, PriceRange, Scenario, Tariffs
from fleetrec.simulator.scenario.sections.slate import Slate, SlateMaker
from fleetrec.simulator.scenario.sections.speculation import DraftModel, Mtp, Ngram, Speculation
from fleetrec.simulator.scenario.sections.srm import ItemTable, OnDeviceTable, Srm, WithListTable
from fleetrec.simulator.scenario.sections.training import SrmTraining, Training
from fleetrec.simulator.scenario.sections.update import (
    Adaptation,
    Adapter,
    Bias,
    LastLayer,
    LinkName,
    LowRank,
    Retraining,
    Stage,
    SubModule,
    UpdateSchedule,
)
from fleetrec.simulator.scenario.sections.workload import (
    Arrivals,
    DiurnalArrivals,
    GlobalTimeSplit,
    Log,
    LogFile,
    PerUserSplit,
    PoissonArrivals,
    ReplayArrivals,
    SessionArrivals,
    Split,
    SyntheticWorld,
    Workload,
)

__all__ = [
    "AdaptWhen",
    "Adaptation",
    "Adapter",
    "Admission",
    "AlwaysOn",
    "Arrivals",
    "Autoscale",
    "Bias",
    "Budget",
    "Candidates",
    "Churn",
    "Cloud",
    "CloudChanges",
    "ConstantLink",
    "DeviceClass",
    "Disaggregation",
    "DiurnalArrivals",
    "DraftModel",
    "Engine",
    "EngineName",
    "Failures",
    "Fleet",
    "FusionRule",
    "GlobalTimeSplit",
    "ItemTable",
    "Kind",
    "KvOffloading",
    "LastLayer",
    "Link",
    "LinkName",
    "Llm",
    "Log",
    "LogFile",
    "LowRank",
    "Machines",
    "Metrics",
    "Mtp",
    "Ngram",
    "OnDeviceTable",
    "OnOff",
    "Parallel",
    "PerUserSplit",
    "PoissonArrivals",
    "Policy",
    "Pool",
    "Precision",
    "Preloaded",
    "PresenceTrace",
    "PresetLink",
    "PriceRange",
    "Prompt",
    "Quality",
    "QueueOrder",
    "Region",
    "ReplayArrivals",
    "ReplicaView",
    "RequestPolicy",
    "RequestView",
    "Retraining",
    "Router",
    "Scenario",
    "Section",
    "SessionArrivals",
    "Slate",
    "SlateMaker",
    "Slo",
    "Speculation",
    "Split",
    "Spot",
    "Srm",
    "SrmTraining",
    "Stage",
    "SubModule",
    "SyntheticWorld",
    "Tariffs",
    "TitlePrompt",
    "TraceLink",
    "Training",
    "UpdateSchedule",
    "WeightFormat",
    "WithListTable",
    "Workload",
    "default_classes",
    "kind_of_object",
    "own_kinds",
    "silent",
    "with_kind",
]
