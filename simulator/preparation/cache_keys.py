"""Which scenarios can share what: hashes of exactly those parts of a scenario that learning and preparing read."""

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.simulator.scenario import sections


def training_key(scenario: sections.Scenario) -> str:
    """Hash of all that `train_models` reads of a scenario: those alike in it have the same log, split and SRM."""
    return content_hash(
        scenario.workload.model_dump(mode="json", exclude={"arrivals", "exclude_seen"}),
        scenario.srm.model_dump(mode="json"),
        scenario.engine.threads,
        _lists_trained_on(scenario),
    )


def preparation_key(scenario: sections.Scenario) -> str:
    """Hash of all that `prepare` reads of a scenario: those alike in it may be run on the same `Prepared`."""
    adaptation = scenario.policy.update.adaptation
    return content_hash(
        training_key(scenario),
        scenario.seed,
        scenario.duration,
        scenario.workload.model_dump(mode="json", include={"arrivals"}),
        scenario.workload.hides_seen,
        scenario.fleet.model_dump(mode="json"),
        [region.model_dump(mode="json") for region in scenario.regions],
        scenario.llm.model_dump(mode="json", include={"candidates", "list_length"}),
        _lists_of(scenario),
        adaptation.window if adaptation is not None else 0,
    )


def uses_llm(scenario: sections.Scenario) -> bool:
    """Whether its slates are made of an LLM's lists."""
    return scenario.policy.slate.uses_llm


def _lists_trained_on(scenario: sections.Scenario) -> list[object]:
    """What makes the lists that a cooperative training learns from."""
    if scenario.srm.training.kind != "cooperative":
        return []
    lists = scenario.llm.model_dump(mode="json", include={"candidates", "list_length"})
    return [lists, scenario.workload.hides_seen]


def _lists_of(scenario: sections.Scenario) -> str:
    return "llm" if uses_llm(scenario) else "srm" if scenario.policy.slate.by_cloud_srm else "none"
