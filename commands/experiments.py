"""Commands on many runs: sweep, compare, search, report."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fleetrec.commands.common import AsJson, Overrides, Quiet, ScenarioFile, print_json, progress_bars, say, user_errors
from fleetrec.models.runtime.wording import counted

app = typer.Typer()

_PROVISIONED_USD = "cost.usd_provisioned_per_1k_interactions"


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="sweep file (YAML)", show_default=False)],
    base: Annotated[Path | None, typer.Option("--base", help="another scenario than the file's")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="workers; as many as processors")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="who runs: this machine or Ray")
    ] = "local",
    ray_address: Annotated[str | None, typer.Option("--ray-address", help="a Ray cluster: host:port or auto")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; runs/<name>", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="finish what is there, keep what is finished")] = False,
    overwrite: Annotated[
        list[str] | None,
        typer.Option("--overwrite", metavar="RUN", help="a finished run to lose: variant[/seed]"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="so many runs are meant")] = False,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run every variant of a sweep file at every seed; write one table of all figures."""
    with user_errors():
        from fleetrec.simulator.experiments.sweeps import executor_for, make_plan, read_sweep, run_sweep
        from fleetrec.simulator.records.run_manifest import set_label

        executor = executor_for(engine, jobs, ray_address)  # whose workers load meanwhile what they need
        plan = make_plan(read_sweep(file, base), overrides or [], yes)
        parts = (plan.manifest.name, base.stem if base else "", set_label(overrides or []))
        folder = out or Path("runs") / "-".join(filter(None, parts))

        def tell(line: str) -> None:
            if not quiet:
                say(line, aside=as_json)

        from fleetrec.reports.figures.drawing_beside import DrawingBeside

        with DrawingBeside() as drawing:
            how = resume, overwrite or [], drawing.start
            found = run_sweep(plan, folder, executor, progress_bars(quiet), tell, *how)
            if found.runs:
                tell(f"report: {drawing.finish(folder)[0]}")
        if as_json:
            print_json(found.figures())
        for line in found.failures():
            say(f"error: {line}", aside=True)
    if found.failed:
        raise typer.Exit(1)


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(help="folder of a sweep or an optimisation; or of two runs or more", metavar="DIR..."),
    ],
    baseline: Annotated[str | None, typer.Option("--baseline", help="variant that others are compared to")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="what is wanted, such as ndcg@10")] = None,
    cost: Annotated[str | None, typer.Option("--against-cost", help="what it costs: a figure of the runs")] = None,
    third: Annotated[str | None, typer.Option("--third", help="a third objective of the front")] = None,
    equal_ratio: Annotated[bool, typer.Option("--equal-ratio", help="also at equal realised request ratios")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the variants of an experiment, or runs: intervals, differences to a baseline, front, winner, saving."""
    with user_errors():
        from fleetrec.reports.terminal.comparison import print_comparison
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.core.money import told_in
        from fleetrec.simulator.experiments.comparison.compare import compare as compared
        from fleetrec.simulator.experiments.comparison.compare import compare_runs, named_runs
        from fleetrec.simulator.experiments.folders import currency_of

        if len(folders) == 1:
            found = compared(folders[0], baseline, metric, cost, third, equal_ratio)
        else:
            found = compare_runs(named_runs(folders), baseline, metric, cost, third)
        if as_json:
            print_json(found.answer)
        else:
            with told_in(currency_of(folders[0])):
                print_comparison(found.table, found.answer, console_for(False))


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(help="folder of a run, a sweep, an optimisation, a comparison or a rehearsal")
    ],
    quiet: Quiet = False,
) -> None:
    """Write report.html, and every figure as PNG and SVG, from a folder's files alone."""
    with user_errors():
        from fleetrec.reports.data.folder_kind import folder_kind
        from fleetrec.reports.figures.drawing_beside import DrawingBeside
        from fleetrec.simulator.records.folder_lock import held
        from fleetrec.simulator.records.run_manifest import name_files

        folder_kind(folder)
        with held(folder), DrawingBeside() as drawing:
            page, figures = drawing.finish(folder)
            name_files(folder, [page, *figures])
        if not quiet:
            say(f"report: {page}")
            say(f"figures: {counted(len(figures), 'file')} in {figures[0].parent}")


@app.command()
def optimize(
    scenario: ScenarioFile,
    maximize: Annotated[list[str], typer.Option("--maximize", help="figure of a summary; repeatable")] = ["ndcg@10"],  # noqa: B006
    minimize: Annotated[list[str], typer.Option("--minimize", help="likewise")] = [_PROVISIONED_USD],  # noqa: B006
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="FIGURE=MOST", help="latency_s.slate.p95=200ms")
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=2, help="points to run, the scenario as it is among them")
    ] = 40,
    sampler: Annotated[Literal["gp", "nsga2", "tpe"], typer.Option("--sampler", help="who proposes points")] = "gp",
    sampler_seed: Annotated[int, typer.Option("--sampler-seed", min=0, help="of the proposals")] = 0,
    batch: Annotated[int, typer.Option("--batch", min=1, help="points proposed at once")] = 4,
    space: Annotated[Path | None, typer.Option("--space", help="what may change (YAML)", show_default=False)] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="seeds of the world, such as 1,2")] = "1",
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="workers; as many as processors")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; runs/<name>-optimised", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with the search in the folder")] = False,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search a scenario's policies for the best accuracy at each cost, under limits."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.reports.figures.drawing_beside import DrawingBeside
        from fleetrec.reports.terminal.comparison import print_comparison
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.core.money import told_in
        from fleetrec.simulator.experiments import optimise as search
        from fleetrec.simulator.experiments.sweeps import executor_for
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.records.run_manifest import set_label

        loaded = Scenario.load(scenario, overrides or [], check=check_inputs)
        goals = search.read_goals(maximize, minimize, limit or [])
        chosen = search.read_space(space) if space else search.default_space(loaded.policy)
        worlds = search.read_seeds(seeds)
        problem = search.Problem(scenario, overrides or [], goals, chosen, trials, worlds, sampler, sampler_seed, batch)
        folder = out or Path("runs") / "-".join(filter(None, (loaded.name, set_label(overrides or []), "optimised")))
        executor = executor_for("local", jobs, None)
        with DrawingBeside() as drawing:
            found = search.optimise(problem, folder, executor, progress_bars(quiet), resume)
            page, _ = drawing.finish(folder)
        if as_json:
            print_json(found.comparison.answer)
        elif not quiet:
            with told_in(loaded.tariffs.currency):
                told = [one.text for one in found.notes]
                print_comparison(found.comparison.table, found.comparison.answer, console_for(False), told)
            say(f"report: {page}")
