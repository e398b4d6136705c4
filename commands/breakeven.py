"""The command `breakeven`: own GPUs, a hosted API or neither, by the size of the fleet."""

import json
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

_NAMED = {"--api": "a preset", "--policy": "a request policy, such as always"}


@app.command()
def breakeven(
    scenario: ScenarioFile,
    fleet: Annotated[str, typer.Option("--fleet", help="sizes of the fleet: a range, or one number")] = "1e4..1e8",
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="as policy.request in a scenario; repeatable; the scenario's by default"),
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", help="a preset of a hosted API, instead of the scenario's cloud.api")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the comparison", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare own GPUs (provisioned, autoscaled, spot), a hosted API and none by dollars a month and fleet size."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.reports.figures.breakeven import draw_breakeven
        from fleetrec.reports.terminal.breakeven import print_breakeven
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.experiments.breakeven.breakeven import breakeven as compare
        from fleetrec.simulator.experiments.breakeven.breakeven import fleets_of, served_by
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.records.run_manifest import name_files
        from fleetrec.simulator.results.run_folder import opened, run_folder, usable_device
        from fleetrec.simulator.scenario.overrides import node_of, to_node
        from fleetrec.simulator.scenario.reading import Node, Place

        fleets = fleets_of(fleet)
        for option, given in [("--api", api), *(("--policy", text) for text in policy or [])]:
            if given is not None and not given.strip():
                raise InputError(f"{option}: nothing is named; name {_NAMED[option]}, or drop it")
        hosted = {"cloud.api": to_node({"preset": api}, Place(f"--api {api}"))} if api else {}

        def loaded(more: dict[str, Node]) -> Scenario:
            return Scenario.load(scenario, overrides or [], seed, hosted | more, check_inputs)

        asked = {text: loaded({"policy.request": node_of(text, Place(f"--policy {text}"))}) for text in policy or []}
        if not asked:
            own = loaded({})
            asked = {own.policy.request.kind: own}
        first = next(iter(asked.values()))
        labels = [*(overrides or []), *([f"api={api}"] if api else [])]
        path, on = run_folder(out, first.name, first.seed, labels, "breakeven"), usable_device(device)
        with opened(path, first, overwrite, kind=f"breakeven {fleets} {list(asked)}") as folder:
            found = {"run": folder.run, **compare(asked, fleets, on, progress_bars(quiet))}
            folder.begin()
            folder.write_text("breakeven.json", json.dumps(found, indent=2, allow_nan=False) + "\n")
            folder.finish()
            figures = draw_breakeven(path)
            name_files(path, figures)
        print_advice(served_by("overflow", first) if first.cloud.api is not None else first, quiet)
        if as_json:
            print_json(found)
        if not quiet:
            print_breakeven(found, console_for(as_json))
            say(f"figures: {', '.join(map(str, figures))}", aside=as_json)
