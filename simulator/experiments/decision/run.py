"""`decide` on a scenario: its policies are simulated, then the chosen one in other circumstances."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.experiments.decision import plan
from fleetrec.simulator.experiments.decision.answer import decide, judged_of
from fleetrec.simulator.experiments.decision.value import Value
from fleetrec.simulator.experiments.sweeps import Executor, run_sweep
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

    scenario: the file with its `overrides`. Runs that the folder holds already are kept. What decision.json holds;
    InputError where runs fail.
    """
    groups = plan.policies(scenario)
    around = plan.circumstances(scenario)
    least, most = ((len(groups) + times * len(around)) * len(seeds) for times in (1, 2))
    say(
        f"{least} to {counted(most, 'run')}: {counted(len(groups), 'policy', 'policies')}, then the chosen one in "
        f"{counted(len(around), 'other circumstance')} (and the best that never asks, where that is a policy), each at "
        f"{counted(len(seeds), 'seed')}"
    )
    metric = headline_metric(scenario.metrics.k)

    def simulated(named: Mapping[str, plan.Settings], lost: Sequence[str]) -> None:
        planned = plan.plan_of(path, overrides, scenario, seeds, metric, named)
        done = run_sweep(planned, out, executor(), progress, say, True, lost, conclude=False)
        if done.failed:
            raise InputError("; ".join(done.failures(1)))

    simulated(groups, overwrite)
    judged = judged_of(out, value)
    again = dict.fromkeys([judged.best_name(), judged.rival.name if judged.rival else None])
    more = {
        f"{policy}, {name}": {**groups[policy], **held}
        for policy in again
        if policy is not None
        for name, held in around.items()
    }
    simulated({**groups, **more}, ())
    return decide(out, value, None, marks)
