"""Update schedules and item tables that cannot be meant: those that can never fire, above all."""

from collections.abc import Iterator

from fleetrec.simulator.scenario import sections

KEY = "policy.update"


def update_contradictions(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong and how to mend it) of a scenario's update schedule."""
    schedule, slate, fusion = scenario.policy.update, scenario.policy.slate, scenario.policy.fusion
    if not schedule.learns:
        return
    asks = scenario.policy.request.looks_at_srm
    if not slate.ranks:
        text = f"no device ranks by the SRM with policy.slate {slate.kind}"
        yield KEY, f"{text}; set it to llm, srm or both, or update: none"
    elif slate.is_list and not fusion.uses_srm and not asks:
        yield KEY, "the SRM decides nothing with fusion llm_only; choose another fusion, or update: none"
    fleet, own = schedule.retraining, schedule.adaptation
    if fleet is not None:
        yield from _fleet(scenario, fleet, KEY + schedule.fleet_key)
    if own is not None and not scenario.srm.has_user_state:
        text = f"an SRM of kind {scenario.srm.kind} has no user state to adapt"
        yield KEY, f"{text}; set srm.kind to sasrec or gru4rec, or update by kind fleet"


def _fleet(scenario: sections.Scenario, fleet: sections.Retraining, key: str) -> Iterator[tuple[str, str]]:
    if scenario.duration is not None and fleet.every >= scenario.duration:
        text = f"a schedule of every {fleet.every:,.0f} s never fires in a run of {scenario.duration:,.0f} s"
        yield f"{key}.every", f"{text}; shorten it"
    slate = scenario.policy.slate
    silent = not scenario.policy.request.asks or (slate.ranks and not slate.asks)
    if fleet.upload is None and silent:
        yield f"{key}.upload", "no device ever asks, so nothing is uploaded to learn from; give a period such as 1h"
    shares, times = [stage.share for stage in fleet.stages], [stage.after for stage in fleet.stages]
    if shares != sorted(set(shares)) or times != sorted(times) or shares[-1] == 0:
        yield (
            f"{key}.stages",
            "shares must grow from stage to stage, above 0 at the end, and times must not fall",
        )
    links = {cls.link.kind for cls in scenario.fleet.classes if cls.share > 0}
    if not links & set(fleet.links):
        text = (
            f"no device has one of these links, so no version is ever fetched; the fleet has {', '.join(sorted(links))}"
        )
        yield f"{key}.links", text


def table_contradictions(scenario: sections.Scenario) -> Iterator[tuple[str, str]]:
    """The same of its item table."""
    slate = scenario.policy.slate
    refills = slate.is_list and scenario.workload.refills
    if isinstance(scenario.srm.item_table, sections.WithListTable) and (slate.ranks_catalogue or refills):
        ranks = "workload.exclude_seen: refill" if refills else f"policy.slate {slate.kind}"
        text = f"{ranks} ranks the catalogue on the device, whose vectors with_list does not install"
        yield "srm.item_table", f"{text}; set it to on_device, or the slate to llm"
