"""Users who react: what of a scenario makes no sense with them, and what is not simulated with them."""

from collections.abc import Iterator

from fleetrec.simulator.scenario import sections

KEY = "workload.users"


def user_contradictions(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong and how to mend it) of a scenario whose users react."""
    users = scenario.workload.users
    if not users.reacts:
        return
    yield from ((f"{KEY}.{key}", text) for key, text in users.problems())
    for key, text in _not_simulated(scenario):
        yield key, f"{text} where users react ({KEY}: {users.kind}); set {KEY}: replay, or change it"


def _not_simulated(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """What cannot be had in a closed loop, or not yet."""
    request = scenario.policy.request
    if request.knows_future:
        yield "policy.request", f"{request.kind} knows what the log says comes next, and nobody does"
    if scenario.llm.quality.knows_next:
        yield (
            "llm.quality.knows_next",
            "is the chance of the item that comes next, which would be what a user is going to choose from a screen "
            "that nobody has made yet, and nobody knows (blend does without)",
        )
