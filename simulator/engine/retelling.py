"""A run told once more: where nobody reacts to what is on screen and nothing is learnt, runs that differ in fusion
alone have the same events, and items stand in other places only."""

from dataclasses import dataclass, replace
from pathlib import Path

from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import World, build_world, ranking_flops, scorer_of
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import slates_of
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs

_NEWEST = "world"


@dataclass(frozen=True)
class _Told:
    """A world at the end of its run, whose records nobody has finished, and what else its events hang on."""

    world: World
    prepared: Prepared
    tuned: Tuned
    flops: float
    """of a ranking on a device"""

    def has_events_of(self, prepared: Prepared, tuned: Tuned, flops: float) -> bool:
        """Whether a policy that is tuned so asks when this one did."""
        held = [(self.prepared, *_told_by(self.tuned)), (prepared, *_told_by(tuned))]
        same = all(mine is theirs for mine, theirs in zip(*held, strict=True))
        return same and (self.tuned.threshold, self.flops) == (tuned.threshold, flops)


def told(
    scenario: sections.Scenario,
    prepared: Prepared,
    tuned: Tuned,
    folder: Path | None,
    device: str,
    progress: Progress,
) -> World:
    """The world of a run at its end, as `build_world` and `run` have it. Its events are those of the run before on the
    same preparation, where that had the same."""
    policy, workload = scenario.policy, scenario.workload
    story = scenario.model_dump_json(exclude={"policy": {"fusion"}})
    flops = ranking_flops(policy, scenario.llm.list_length, workload.refills, prepared.trained, tuned)
    known: _Told | None = prepared.memo.newest(_NEWEST, story)
    if known is not None and known.has_events_of(prepared, tuned, flops):
        weights = DeviceWeights(prepared.scores)
        made_of = SlateInputs.of(scenario), prepared.trained, weights, prepared.source
        slates = slates_of(*made_of, tuned.fusion, tuned.uncertainty)
        return _recorded(known.world, scorer_of(scenario.engine, prepared, slates, weights, None), folder)
    world = build_world(scenario, prepared, tuned, folder, device)
    run(world, scenario, prepared, progress)
    if not world.recorder.is_whole:
        return world
    prepared.memo.keep_newest(_NEWEST, story, _Told(world, prepared, tuned, flops))
    return _recorded(world, world.scorer, folder)


def may_be_retold(scenario: sections.Scenario) -> bool:
    """Whether the events of a run can be those of another one. Nobody knows what own code hangs on."""
    fixed = not scenario.workload.users.reacts and not scenario.policy.update.learns
    return fixed and next(sections.own_kinds(scenario), None) is None


def _told_by(tuned: Tuned) -> tuple[object, ...]:
    """What tells a policy when to ask, beside a threshold."""
    return tuned.uncertainty, tuned.curve, tuned.schedule


def _recorded(world: World, scorer: Scorer, folder: Path | None) -> World:
    return replace(world, scorer=scorer, recorder=world.recorder.again(scorer, folder))
