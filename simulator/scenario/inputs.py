"""What parts of the simulator are handed of a scenario: all that results depend on, so that its hash names them."""

from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic_core import to_jsonable_python

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.regional import engines_of

_OWN_QUALITY = sections.Quality()


@dataclass(frozen=True)
class ListInputs:
    """What candidate lists depend on beside the log."""

    maker: Literal["llm", "srm", "none"]
    """the LLM, an SRM in the cloud, or nobody"""
    candidates: sections.Candidates
    length: int
    hides_seen: bool
    """whether items that a user has had leave the slate"""
    threads: int
    quality: sections.Quality = _OWN_QUALITY
    """that lists are handed out at; nothing is trained on any but the LLM's own"""
    illegal_beams: float = 0.0
    """share of the candidates that name no item"""
    searched_by: sections.EngineName | None = None
    """the engine that says which share instead, of a search with `beams`"""
    beams: int = 1

    @classmethod
    def of(cls, scenario: sections.Scenario) -> Self:
        slate, llm, hides_seen = scenario.policy.slate, scenario.llm, scenario.workload.hides_seen
        maker: Literal["llm", "srm", "none"] = "srm" if slate.by_cloud_srm else "llm" if slate.asks else "none"
        lists = cls(maker, llm.candidates, llm.list_length, hides_seen, scenario.engine.threads, llm.quality)
        if llm.illegal_beams == "engine":
            return replace(lists, searched_by=next(iter(engines_of(scenario))), beams=llm.beams)
        return replace(lists, illegal_beams=llm.illegal_beams)

    def legal(self) -> Self:
        """The LLM's own lists, all of whose candidates name items where the source knows no better."""
        return replace(self, quality=_OWN_QUALITY, illegal_beams=0.0, searched_by=None, beams=1)

    def exact(self) -> Self:
        """The same, of which a list that is missing is missing, whatever else may stand in for it."""
        return replace(self, candidates=self.candidates.exact())


@dataclass(frozen=True)
class TrainingInputs:
    """What the log, its split and the SRM depend on."""

    log: sections.Log
    srm: sections.Srm
    threads: int
    lists: ListInputs | None
    """that a cooperative training learns from"""

    @classmethod
    def of(cls, scenario: sections.Scenario) -> Self:
        of_log = {name: getattr(scenario.workload, name) for name in sections.Log.model_fields}
        cooperative = scenario.srm.training.kind == "cooperative"
        lists = replace(ListInputs.of(scenario).legal(), maker="llm") if cooperative else None
        return cls(sections.Log.model_construct(**of_log), scenario.srm, scenario.engine.threads, lists)


@dataclass(frozen=True)
class PreparationInputs:
    """What all depends on that is prepared for a run: the models, who takes part and when, scores and lists."""

    training: TrainingInputs
    seed: int
    duration_s: float | None
    arrivals: sections.Arrivals
    fleet: sections.Fleet
    regions: tuple[sections.Region, ...]
    lists: ListInputs
    window: int
    """newest interactions that a device adapts on; 0: none adapts"""
    reacts: bool
    """whether histories grow as users choose; what devices come with is then found of those"""

    @classmethod
    def of(cls, scenario: sections.Scenario) -> Self:
        fleet, adaptation = scenario.fleet, scenario.policy.update.adaptation
        when = scenario.seed, scenario.duration, scenario.workload.arrivals
        window = adaptation.window if adaptation is not None else 0
        reacts = scenario.workload.users.reacts
        return cls(TrainingInputs.of(scenario), *when, fleet, scenario.regions, ListInputs.of(scenario), window, reacts)

    @property
    def lag(self) -> int | None:
        """Interactions that the list which a device comes with is behind; None: it comes without one."""
        return self.fleet.preloaded.lag if self.fleet.preloaded else None

    @property
    def item_table(self) -> sections.ItemTable:
        """Where the SRM that makes the slates has its vectors from: in the cloud it has all of them."""
        return sections.OnDeviceTable() if self.lists.maker == "srm" else self.training.srm.item_table


@dataclass(frozen=True)
class SlateInputs:
    """What the slates of a policy depend on beside models and lists."""

    slate: sections.Slate
    fusion: sections.FusionRule
    length: int
    exclude_seen: bool | Literal["refill"]
    fallback: Literal["srm", "popular"]
    """what a device without a list shows"""

    @classmethod
    def of(cls, scenario: sections.Scenario) -> Self:
        policy, exclude_seen = scenario.policy, scenario.workload.exclude_seen
        return cls(policy.slate, policy.fusion, scenario.llm.list_length, exclude_seen, scenario.fleet.fallback)


def hash_of(inputs: TrainingInputs | PreparationInputs) -> str:
    """The hash of all that is handed in: equal for scenarios that may share what is made of it."""
    return content_hash(to_jsonable_python(inputs))
