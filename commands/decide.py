"""The command `decide`: whether phones should call the cloud, by which policy, for what a month."""

from pathlib import Path
from typing import Annotated

import typer

from fleetrec.commands.common import AsJson, Overrides, Quiet, print_json, progress_bars, say, user_errors

app = typer.Typer()


@app.command()
def decide(
    what: Annotated[
        Path, typer.Argument(help="scenario file (YAML), or the folder of a sweep", metavar="SCENARIO|SWEEP")
    ],
    worth: Annotated[
        float | None,
        typer.Option("--worth", metavar="MONEY", help="of 0.01 NDCG over 1,000 interactions"),
    ] = None,
    budget: Annotated[float | None, typer.Option("--budget", metavar="MONEY", help="most in a month")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="of a sweep, such as hr@10 or choices_per_day")] = None,
    mark: Annotated[
        list[str] | None,
        typer.Option(
            "--mark", metavar="NAME=NDCG|FILE", help="another LLM on the axis of quality; what evaluate wrote"
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="of a scenario's worlds; its own and the next two")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="workers; as many as processors")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder; runs/<name>-decision", show_default=False)] = None,
    overwrite: Annotated[
        list[str] | None,
        typer.Option("--overwrite", metavar="RUN", help="a finished run to lose: variant[/seed]"),
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Say in one sentence, figure and table whether phones should call the cloud, and what that hangs on."""
    with user_errors():
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.reports.figures.decision import draw_decision
        from fleetrec.reports.html.decision_page import write_decision_page
        from fleetrec.reports.terminal.decision import print_decision
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.experiments.decision import answer
        from fleetrec.simulator.experiments.decision.marks import read_marks
        from fleetrec.simulator.experiments.decision.run import decide_scenario
        from fleetrec.simulator.experiments.decision.value import Value
        from fleetrec.simulator.experiments.folders import currency_of
        from fleetrec.simulator.experiments.optimise import read_seeds
        from fleetrec.simulator.experiments.sweeps import executor_for
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.records.folder_lock import held
        from fleetrec.simulator.records.run_manifest import name_files, set_label
        from fleetrec.simulator.scenario import Scenario

        value, marks = Value(worth, budget), read_marks(mark or [])

        def tell(line: str) -> None:
            if not quiet:
                say(line, aside=as_json)

        if what.is_dir():
            for option, given in (("--seeds", seeds), ("--jobs", jobs), ("--out", out), ("--set", overrides)):
                if given is not None:
                    raise InputError(f"{option}: a sweep's runs are read as they are; give a scenario, or drop it")
            value = value.in_usd(currency_of(what))
            folder, found = what, answer.decide(what, value, metric, marks)
        else:
            if metric is not None:
                raise InputError(
                    "--metric: a scenario is decided by NDCG, or by what its users take who react; drop it"
                )
            loaded = Scenario.load(what, overrides or [], check=check_inputs)
            folder = out or Path("runs") / "-".join(filter(None, (loaded.name, set_label(overrides or []), "decision")))
            value = value.in_usd(loaded.tariffs.currency)
            worlds = [loaded.seed + more for more in range(3)] if seeds is None else read_seeds(seeds)
            run = (what, overrides or [], loaded, worlds, value, folder, lambda: executor_for("local", jobs))
            found = decide_scenario(*run, progress_bars(quiet), tell, overwrite or [], marks)
        with held(folder):
            page, figures = write_decision_page(folder), draw_decision(folder)
            name_files(folder, [page, *figures])
        if as_json:
            print_json(found)
        elif not quiet:
            print_decision(found, console_for(False))
        tell(f"decision: {page}")
        tell(f"figure: {figures[0]}")
