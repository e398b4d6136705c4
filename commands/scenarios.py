"""Commands on a scenario: check it, run it, run it under several policies, evaluate its models."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fleetrec.commands.common import (
    AsJson,
    OnDevice,
    Overrides,
    Overwrite,
    Quiet,
    ScenarioFile,
    Seed,
    print_advice,
    print_json,
    progress_bars,
    say,
    user_errors,
)
from fleetrec.commands.gallery import shipped

app = typer.Typer()


@app.command()
def simulate(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the run", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    trace: Annotated[Path | None, typer.Option("--trace", help="timeline (JSON) for ui.perfetto.dev to write")] = None,
    trace_devices: Annotated[str | None, typer.Option("--trace-devices", help="0,3,7-9; 0-9 by default")] = None,
    trace_replicas: Annotated[str | None, typer.Option("--trace-replicas", help="0,1; all by default")] = None,
    shards: Annotated[int | None, typer.Option("--shards", min=1, help="processes that share the regions")] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option("--engine", help="whose the shards are: this machine's or Ray's")
    ] = "local",
    ray_address: Annotated[str | None, typer.Option("--ray-address", help="a Ray cluster: host:port or auto")] = None,
    check: Annotated[bool, typer.Option("--check", help="run it twice, and say if the two differ")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet; write its records, summary, figures and report.html to a folder."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.reports.figures.background_drawing import Drawing
        from fleetrec.simulator.preparation.input_checks import check_inputs

        loaded = Scenario.load(scenario, overrides or [], seed, check=check_inputs)
        with Drawing() as drawing:  # whose processes start while all else is loaded here
            from fleetrec import simulate as run
            from fleetrec.models.runtime.artifacts import ArtifactStore
            from fleetrec.reports.terminal.parts import console_for
            from fleetrec.reports.terminal.summary import print_run_summary
            from fleetrec.simulator.core.money import told_in
            from fleetrec.simulator.records.run_manifest import name_files
            from fleetrec.simulator.regions import executor_for
            from fleetrec.simulator.results.run_folder import opened, run_folder, usable_device
            from fleetrec.simulator.results.timeline_trace import read_trace_request

            tracing = read_trace_request(trace, trace_devices, trace_replicas)
            store = ArtifactStore()
            executor = executor_for(engine, shards, ray_address, len(loaded.regions), store)
            path, on = run_folder(out, loaded.name, loaded.seed, overrides or []), usable_device(device)
            with opened(path, loaded, overwrite) as folder:
                result = run(loaded, folder, on, progress_bars(quiet), store, tracing, executor)
                drawing.begin(path)
                print_advice(loaded, quiet)
                if as_json:
                    print_json(result.summary)
                if not quiet:
                    with told_in(loaded.tariffs.currency):
                        print_run_summary(result.summary, console_for(as_json))
                name_files(path, drawing.finish())
        if not quiet:
            say(f"written to {path}", aside=as_json)
        if check:
            from fleetrec.simulator.simulation import check_repeatable

            check_repeatable(result, on, progress_bars(quiet), store)


@app.command()
def compare_policies(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the comparison", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run one fleet under several request policies; write report.html and draw accuracy against cost."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.reports.figures.comparison import draw_comparison
        from fleetrec.reports.html import write_report
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.reports.terminal.summary import print_policy_comparison
        from fleetrec.simulator.core.money import told_in
        from fleetrec.simulator.experiments.policy_comparison import compare
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.records.run_manifest import name_files
        from fleetrec.simulator.results.run_folder import opened, run_folder, usable_device

        loaded = Scenario.load(scenario, overrides or [], seed, check=check_inputs)
        path, on = run_folder(out, loaded.name, loaded.seed, overrides or [], "policies"), usable_device(device)
        with opened(path, loaded, overwrite, kind="policies") as folder:
            comparison = compare(loaded, folder, on, progress_bars(quiet))
            figure = draw_comparison(path)
            page = write_report(path)
            name_files(path, [figure, page])
        print_advice(loaded, quiet)
        if as_json:
            print_json(comparison)
        if not quiet:
            with told_in(loaded.tariffs.currency):
                print_policy_comparison(comparison, console_for(as_json))
            say(f"report: {page}", aside=as_json)
            say(f"cost-accuracy plot: {figure}", aside=as_json)


@app.command()
def demo(
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a day of 2,000 phones, then compare six request policies: the built-in scenario high_churn."""
    scenario = shipped("scenarios", "high_churn")
    simulate(scenario, overrides=overrides, device=device, overwrite=overwrite, quiet=quiet)
    compare_policies(scenario, overrides=overrides, device=device, overwrite=overwrite, quiet=quiet)


@app.command()
def evaluate(
    scenario: ScenarioFile,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Leave-one-out accuracy of a scenario's SRM and LLM, full ranking, beside baselines and published figures."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.reports.terminal.logs import print_evaluation
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.evaluation import evaluate as evaluated
        from fleetrec.simulator.results.run_folder import usable_device
        from fleetrec.simulator.scenario.file_checks import check_files

        loaded = Scenario.load(scenario, overrides or [], check=check_files)
        figures = evaluated(loaded, usable_device(device), progress_bars(quiet))
        if as_json:
            print_json(figures)
        elif not quiet:
            print_evaluation(figures, console_for(False))


@app.command()
def validate(scenario: ScenarioFile, overrides: Overrides = None, seed: Seed = None) -> None:
    """Check a scenario and print it with every default filled in."""
    with user_errors():
        from fleetrec.simulator.preparation import illegal_beams, list_quality
        from fleetrec.simulator.preparation.input_checks import check_inputs, engine_notes, price_notes
        from fleetrec.simulator.scenario import Scenario, resolved_yaml
        from fleetrec.simulator.scenario.inputs import ListInputs
        from fleetrec.simulator.scenario.regional import clouds_of

        loaded = Scenario.load(scenario, overrides or [], seed, check=check_inputs)
        print_advice(loaded)
        clouds, made = clouds_of(loaded), ListInputs.of(loaded)
        lists = [note.text for note in (*illegal_beams.notes(made), *list_quality.notes(made))]
        notes = *price_notes(clouds, loaded.tariffs), *engine_notes(clouds, loaded.llm), *lists
        sys.stdout.write("".join(f"# {line}\n" for line in notes) + resolved_yaml(loaded))


@app.command()
def schema(
    own: Annotated[
        list[str] | None,
        typer.Option("--own", metavar="KEY=FILE.py:NAME", help="with a kind of your own under this key; repeatable"),
    ] = None,
) -> None:
    """JSON Schema of a scenario, for completion in an editor."""
    with user_errors():
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.simulator.scenario import json_schema

        pairs = [one.partition("=") for one in own or []]
        for key, equals, name in pairs:
            if not (key and equals and name):
                raise InputError("--own: expected KEY=FILE.py:NAME, such as policy.request=my_policies.py:Evenings")
        found = json_schema({key.strip(): name.strip() for key, _, name in pairs})
    print_json(found)
