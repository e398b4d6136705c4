"""Fleetrec on the command line: each command is a few lines over the packages below.

Heavy packages are imported by the commands that need them, so that `--help` and `validate` answer at once.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from models.errors import InputError

app = typer.Typer(
    help="Fleetrec: a discrete-event simulator of device fleets for device-cloud recommendation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Interaction logs and tables of LLM answers.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

ScenarioFile = Annotated[Path, typer.Argument(help="scenario file (YAML)", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the scenario; repeatable")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, all else on standard error")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print nothing but errors")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="seed of the world, instead of the scenario's")]


class ComputeDevice(StrEnum):
    """Where the models run."""

    cpu = "cpu"
    cuda = "cuda"


OnDevice = Annotated[ComputeDevice, typer.Option("--device", help="where models are trained and run")]


@contextmanager
def user_errors() -> Iterator[None]:
    """A user's mistake is one line and exit code 2; Ctrl-C says what is kept."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        print("interrupted: finished results and parts already written are kept", file=sys.stderr)
        raise typer.Exit(130) from None


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


@app.command()
def simulate(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the run", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = ComputeDevice.cpu,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet; write its records, summary and figures to a folder."""
    with user_errors():
        from reports.figures import draw_run
        from reports.terminal import console_for, print_run_summary
        from simulator import Scenario
        from simulator import simulate as run
        from simulator.outputs import run_folder, usable_device

        loaded = Scenario.load(scenario, overrides or [], seed)
        folder = run_folder(out, loaded)
        result = run(loaded, folder, usable_device(device), progress_bars(quiet))
        draw_run(folder)
        if as_json:
            print_json(result.summary)
        if not quiet:
            print_run_summary(result.summary, console_for(as_json))
            print(f"written to {folder}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def compare_policies(
    scenario: ScenarioFile,
    out: Annotated[Path | None, typer.Option("--out", help="folder of the comparison", show_default=False)] = None,
    seed: Seed = None,
    overrides: Overrides = None,
    device: OnDevice = ComputeDevice.cpu,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run one fleet under several request policies and draw accuracy against cost."""
    with user_errors():
        from reports.comparison import draw_comparison
        from reports.terminal import console_for, print_policy_comparison
        from simulator import Scenario
        from simulator.outputs import run_folder, usable_device
        from simulator.experiments.policy_comparison import compare

        loaded = Scenario.load(scenario, overrides or [], seed)
        folder = run_folder(out, loaded, suffix="policies")
        comparison = compare(loaded, folder, usable_device(device), progress_bars(quiet))
        figure = draw_comparison(folder)
        if as_json:
            print_json(comparison)
        if not quiet:
            print_policy_comparison(
                comparison["policies"], console_for(as_json), comparison["headline"], comparison["notes"]
            )
            print(f"cost-accuracy plot: {figure}", file=sys.stderr if as_json else sys.stdout)


@app.command()
def validate(scenario: ScenarioFile, overrides: Overrides = None, seed: Seed = None) -> None:
    """Check a scenario and print it with every default filled in."""
    with user_errors():
        from simulator.scenario import Scenario, check_files, resolved_yaml

        loaded = Scenario.load(scenario, overrides or [], seed)
        check_files(loaded)
        sys.stdout.write(resolved_yaml(loaded))


@app.command()
def schema() -> None:
    """JSON Schema of a scenario, for completion in an editor."""
    from simulator.scenario import json_schema

    print_json(json_schema())


@app.command()
def bench(
    devices: Annotated[int, typer.Option("--devices", min=1, help="size of the fleet")] = 10_000,
    naive: Annotated[int, typer.Option("--naive", min=1, help="interactions of the naive run")] = 2_000,
    as_json: AsJson = False,
) -> None:
    """Measure the engine's speed: against a naive loop and against the floor of its own parts."""
    with user_errors():
        from simulator.experiments.bench import run_bench

        figures = run_bench(devices, naive, progress_bars(False))
        if as_json:
            print_json(figures)
        else:
            for name, value in figures.items():
                print(f"{name:28} {value:,.4g}" if isinstance(value, float) else f"{name:28} {value}")


@data_app.command()
def describe(
    path: Annotated[str, typer.Argument(help="interaction log")],
    file_format: Annotated[str, typer.Option("--format", help="format of the log; guessed where not given")] = "auto",
    items: Annotated[str | None, typer.Option("--items", help="CSV of item_id,title,attributes")] = None,
    on_error: Annotated[str, typer.Option("--on-error", help="fail or skip at a row that cannot be read")] = "fail",
    as_json: AsJson = False,
) -> None:
    """What a log holds: users, items, events, lengths, gaps, ties, the share usable per split, problems."""
    with user_errors():
        from reports.terminal import console_for, print_describe
        from simulator.scenario import log_file
        from simulator.workload.describe import describe as described
        from simulator.workload.loading import load_log

        figures = described(load_log(log_file(path, file_format, items, on_error)))
        if as_json:
            print_json(figures)
        else:
            print_describe(figures, console_for(False))


@data_app.command("check-table")
def check_table(
    table: Annotated[Path, typer.Argument(help="Parquet of LLM answers")],
    log: Annotated[str, typer.Argument(help="interaction log that the table belongs to")],
    as_json: AsJson = False,
) -> None:
    """A table of LLM answers: coverage, invalid share, recall, and signs of an off-by-one leak."""
    with user_errors():
        from models.llm.table import check_table as checked
        from reports.terminal import console_for, print_check_table
        from simulator.scenario import log_file
        from simulator.workload.loading import load_log

        figures = checked(table, load_log(log_file(log)))
        if as_json:
            print_json(figures)
        else:
            print_check_table(figures, console_for(False))


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ml-1m, ml-latest-small or ml-100k")],
    to: Annotated[Path | None, typer.Option("--to", help="folder; the cache where not given")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="a mirror of the publisher's folder")] = None,
) -> None:
    """Download a public data set from its publisher, check its checksum and unpack it."""
    with user_errors():
        from simulator.workload.fetch import fetch as fetched

        print(fetched(name, to, base_url, progress_bars(False)))


def progress_bars(quiet: bool) -> Any:
    """Bars on a terminal; silence otherwise."""
    from models.progress import NullProgress, RichProgress

    return NullProgress() if quiet else RichProgress()


if __name__ == "__main__":
    app()
