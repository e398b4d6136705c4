"""Command that sends a simulated fleet's load to a real server and lays what was measured beside what was simulated."""

import sys
from pathlib import Path
from typing import Annotated

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

app = typer.Typer()


@app.command()
def rehearse(
    scenario: ScenarioFile,
    url: Annotated[str, typer.Option("--url", help="address before /chat/completions: http://127.0.0.1:8000/v1")],
    model: Annotated[str, typer.Option("--model", help="name of the model as the server knows it")],
    speed: Annotated[float, typer.Option("--speed", help="requests come so many times as fast as simulated")] = 1.0,
    minutes: Annotated[float, typer.Option("--minutes", help="of real time that requests are sent for")] = 5.0,
    begin: Annotated[
        str | None, typer.Option("--from", help="of the simulated run, such as 19h; none: its busiest stretch")
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=1, help="most that are sent")] = 10_000,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, help="most under way at once; those beyond are not sent")
    ] = 256,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="of an answer; none: as the fleet would ask")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="seconds for a whole answer")] = 60.0,
    key_variable: Annotated[
        str | None, typer.Option("--key-variable", help="environment variable that holds the server's key")
    ] = None,
    fit_first: Annotated[float, typer.Option("--fit-first", help="share that is fitted; the rest judges")] = 0.5,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the rehearsal", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="send also to an address that is not this machine's")] = False,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Send the load of a simulated fleet to a real server; lay what it does beside what was simulated."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.reports.html import write_report
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.reports.terminal.rehearsal import print_rehearsal
        from fleetrec.simulator.core.money import told_in
        from fleetrec.simulator.experiments.rehearsal import rehearse as held
        from fleetrec.simulator.experiments.rehearsal.folder import folder_of
        from fleetrec.simulator.experiments.rehearsal.reaching import is_own
        from fleetrec.simulator.experiments.rehearsal.sentences import failure_text
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.results.run_folder import run_folder, usable_device
        from fleetrec.simulator.scenario.units import DURATION

        try:
            begin_s = None if begin is None else DURATION.read(begin)
        except ValueError as error:
            raise InputError(f"--from: {error}") from None
        plan = held.Plan(
            url,
            model,
            key_variable,
            speed,
            60 * minutes,
            begin_s,
            requests,
            parallel,
            max_tokens,
            timeout,
            fit_first,
        )
        loaded = Scenario.load(scenario, overrides or [], seed, check=check_inputs)
        held.check_plan(plan, loaded)
        foreign = not (yes or is_own(url))
        if foreign and not sys.stdin.isatty():
            raise InputError(f"--url {url}: is not an address of this machine; add --yes to send the load there")
        path, on = run_folder(out, loaded.name, loaded.seed, overrides or [], "rehearsal"), usable_device(device)
        with folder_of(path, overwrite):
            rehearsal = held.prepare_rehearsal(plan, loaded, on, progress_bars(quiet))
            if not quiet:
                say(f"to {url}: {rehearsal.described()}", aside=True)
            if foreign and not typer.confirm("It is not an address of this machine. Send?", err=True):
                raise typer.Exit(2)
            summary = held.rehearse(rehearsal, path, progress_bars(quiet))
            page = write_report(path)
        print_advice(loaded, quiet)
        if as_json:
            print_json(summary)
        elif not quiet:
            with told_in(loaded.tariffs.currency):
                print_rehearsal(summary, console_for(False))
            say(f"report: {page}")
        if summary["sent"]["interrupted"]:
            raise KeyboardInterrupt
        if (failure := failure_text(summary)) is not None:
            say(f"error: --url {url}: {failure}; what was measured is kept in {path}", aside=True)
            raise typer.Exit(1)
