"""`decide` on a scenario: its policies are simulated, then the chosen one in other circumstances."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.experiments.decision import plan
from fleetrec.simulator.experiments.decision.answer import decide, judged_of
from fleetrec.simulator.experiments.decision.value import Value
from fleetrec.simulator.experiments.folders import full_metric
from fleetrec.simulator.experiments.sweeps import Executor, run_sweep
from fleetrec.simulator.results.engagement import FIRST
from fleetrec.simulator.results.summary import headline_metric
from fleetrec.simulator.scenario import sections

Say = Callable[[str], None]


def decide_scenario(
    path: Path,
    overrides: Sequence[str],
    scenario: sections.Scenario,
    seeds: Sequence[int],
    value: Value,
    out: Path,
    executor: Callable[[], Executor],
    progress: Progress,
    say: Say,
    overwrite: Sequence[str] = (),
    marks: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Simulate what the decision on the scenario in the file `path` needs in the folder `out`, and decide.

    scenario: the file with its `overrides`. Runs that the folder holds already are kept. What fails is
    left out and noted. What decision.json holds; InputError where every policy fails.
    """
    metric = FIRST if scenario.workload.users.reacts else headline_metric(scenario.metrics.k)
    value.check(full_metric(metric))
    groups = plan.policies(scenario.policy)
    around = plan.circumstances(scenario.policy.slate, scenario.fleet, scenario.cloud, scenario.workload.users.reacts)
    least, most = ((len(groups) + times * len(around)) * len(seeds) for times in (1, 2))
    say(
        f"{least} to {counted(most, 'run')}: {counted(len(groups), 'policy', 'policies')}, then the chosen one in "
        f"{counted(len(around), 'other circumstance')} (and the best that never asks, where that is a policy), each at "
        f"{counted(len(seeds), 'seed')}"
    )
    if scenario.llm.candidates.dear and not scenario.llm.candidates.recorded:
        say("each list takes seconds or money, and these policies ask for many: each is asked for once and kept")

    def simulated(named: Mapping[str, plan.Settings], lost: Sequence[str] = ()) -> dict[str, str]:
        """Why variants failed, by name."""
        planned = plan.plan_of(path, overrides, scenario.name, seeds, metric, named)
        done = run_sweep(planned, out, executor(), progress, say, True, lost, conclude=False)
        return {place.variant.name: why for place, why in done.failed}

    failed = simulated(groups, overwrite)
    able = {name: settings for name, settings in groups.items() if name not in failed}
    if failed and not able:
        raise InputError(next(iter(failed.values())))
    if failed:
        simulated(able)  # nothing is left to run: the folder's plan is of these
    judged = judged_of(out, value)
    again = dict.fromkeys([judged.best_name(), judged.rival.name if judged.rival else None])
    more = {
        f"{policy}, {name}": {**able[policy], **held}
        for policy in again
        if policy is not None
        for name, held in around.items()
    }
    failed |= simulated({**able, **more})
    return decide(out, value, None, marks, [_left_out(name, why) for name, why in failed.items()])


def _left_out(name: str, why: str) -> Note:
    return note("left_out", "left out: {variants!r}, {reason}", variants=[name], reason=f"it failed: {why}")
