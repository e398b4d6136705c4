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
    policy, llm, request = scenario.policy, scenario.llm, scenario.policy.request
    if request.knows_future:
        yield "policy.request", f"{request.kind} knows what the log says comes next, and nobody does"
    if scenario.regions:
        yield "regions", "share out the log's interactions, and are not simulated"
    if policy.slate.uses_llm and not (llm.candidates.follows or llm.candidates.is_own()):
        yield "llm.candidates", f"{llm.candidates.kind} makes no lists for histories that nobody knows beforehand"
    if llm.quality != sections.Quality():
        yield "llm.quality", "is set by the item that comes next, which nobody knows"
