"""A part is handed the sections that it depends on, never the whole scenario, so that a signature says what a result
hangs on. These alone take all of it: they put the parts together, or check what a scenario says as a whole."""

import ast
from collections.abc import Iterator

from tests.docs.pages import ROOT

WHOLE = [
    "benchmark/engine_speed.py: BenchFleet.of",
    "engine/retelling.py: may_be_retold",
    "engine/retelling.py: told",
    "engine/run.py: run",
    "engine/world.py: build_world",
    "evaluation.py: evaluate",
    "experiments/breakeven/breakeven.py: served_by",
    "experiments/decision/run.py: decide_scenario",
    "experiments/policy_comparison.py: compare",
    "experiments/rehearsal/rehearse.py: check_plan",
    "experiments/rehearsal/rehearse.py: prepare_rehearsal",
    "preparation/input_checks.py: check_inputs",
    "preparation/prepare.py: check_asked",
    "preparation/prepare.py: prepare",
    "regions/region.py: Region.__init__",
    "regions/run.py: simulate_regions",
    "regions/summary.py: fleet_summary",
    "results/collect.py: collect",
    "results/run_folder.py: opened",
    "results/run_identity.py: files_held",
    "results/run_identity.py: run_id",
]
HELD = [
    "benchmark/engine_speed.py: BenchFleet.scenario",
    "experiments/sweeps/jobs.py: RunJob.scenario",
    "experiments/sweeps/jobs.py: TrainingJob.scenario",
    "regions/messages.py: RunSpec.scenario",
    "results/run_result.py: RunResult.scenario",
]
"""jobs and results, which travel with the scenario that they are of"""


def is_whole(annotation: ast.expr | None) -> bool:
    return annotation is not None and not {"Scenario", "sections.Scenario"}.isdisjoint(
        ast.unparse(annotation).strip("'\"").split(" | ")
    )


def taking(node: ast.AST, within: str = "") -> Iterator[tuple[str, bool]]:
    """(dotted name, whether it is a function) of what takes or holds a whole scenario."""
    for child in ast.iter_child_nodes(node):
        name = within
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            name = f"{within}.{child.name}".strip(".")
        if isinstance(child, ast.FunctionDef):
            given = child.args
            if any(is_whole(one.annotation) for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)):
                yield name, True
        if isinstance(node, ast.ClassDef) and isinstance(child, ast.AnnAssign) and is_whole(child.annotation):
            yield f"{within}.{ast.unparse(child.target)}", False
        yield from taking(child, name)


def test_only_what_puts_the_parts_together_takes_the_whole_scenario() -> None:
    found: dict[bool, list[str]] = {True: [], False: []}
    for folder in ("simulator", "models", "reports"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            place = path.relative_to(ROOT / folder).as_posix()
            if folder == "simulator" and place.startswith(("scenario/", "simulation.py")):
                continue
            for name, function in taking(ast.parse(path.read_text(encoding="utf-8"))):
                found[function].append(f"{place}: {name}")
    assert sorted(found[True]) == WHOLE
    assert sorted(found[False]) == HELD
