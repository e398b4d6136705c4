"""Commands on interaction logs, tables of LLM answers and the prompts for them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from fleetrec.commands.common import (
    AsJson,
    Overrides,
    ScenarioFile,
    print_json,
    progress_bars,
    say,
    user_errors,
)
from fleetrec.commands.log_options import LogOptions, reads_a_log
from fleetrec.models.runtime.wording import counted

_MOST_PAIRS = 50_000_000

data_app = typer.Typer(help="Interaction logs and tables of LLM answers.", no_args_is_help=True, rich_markup_mode=None)
prompts_app = typer.Typer(help="Prompts for a language model of your own.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command()
@reads_a_log
def describe(
    path: Annotated[str, typer.Argument(help="interaction log")],
    items: Annotated[str | None, typer.Option("--items", help="table of item_id,title,attributes")] = None,
    *,
    reading: LogOptions,
    as_json: AsJson = False,
) -> None:
    """What a log holds: users, items, events, lengths, gaps, ties, the share usable per split, problems."""
    with user_errors():
        from fleetrec.reports.terminal.logs import print_describe
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.workload.describe import describe as described
        from fleetrec.simulator.workload.loading import load_log

        said = reading.file(path, items)
        figures = described(load_log(said))
        if as_json:
            print_json(figures)
        else:
            print_describe(figures, console_for(False))


@data_app.command()
@reads_a_log
def convert(
    path: Annotated[str, typer.Argument(help="interaction log")],
    out: Annotated[Path, typer.Option("--out", help="folder to write", show_default=False)],
    items: Annotated[str | None, typer.Option("--items", help="table of item_id,title,attributes")] = None,
    *,
    reading: LogOptions,
) -> None:
    """Write a log as Parquet that reads fast: interactions, items, and of a log of what was shown, all of it."""
    with user_errors():
        from fleetrec.simulator.workload.converting import convert as converted

        said = reading.file(path, items)
        written = converted(said, out)
        for name, rows in written.items():
            say(f"{out / name}: {counted(rows, 'row')}")
        described = f", items: {out / 'items.parquet'}" if "items.parquet" in written else ""
        say("in a scenario, or after --set:")
        say(f"  workload.interactions={{path: {out / 'interactions.parquet'}{described}, time: {{unit: s}}}}")


@data_app.command("check-table")
@reads_a_log
def check_table(
    table: Annotated[Path, typer.Argument(help="Parquet of LLM answers")],
    log: Annotated[str | None, typer.Argument(help="interaction log that the table belongs to")] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", help="instead of a log: also the coverage of what its run will ask")
    ] = None,
    overrides: Overrides = None,
    *,
    reading: LogOptions,
    as_json: AsJson = False,
) -> None:
    """A table of LLM answers: coverage, invalid share, recall, and signs of an off-by-one leak."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.models.llm.table import check_table as checked
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.reports.terminal.logs import print_check_table
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.preparation.prompt_export import check_answers
        from fleetrec.simulator.scenario.file_checks import check_files
        from fleetrec.simulator.scenario.inputs import PreparationInputs
        from fleetrec.simulator.workload.loading import load_log

        if (log is None) == (scenario is None):
            raise InputError("check-table: give the LOG that the table belongs to, or --scenario FILE, one of the two")
        if scenario is not None:
            loaded = Scenario.load(scenario, overrides or [], check=check_files)
            figures = check_answers(PreparationInputs.of(loaded), table)
        else:
            assert log is not None
            said = reading.file(log)
            figures = checked(table, load_log(said))
        if as_json:
            print_json(figures)
        else:
            print_check_table(figures, console_for(False))


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="ml-1m, ml-latest-small, ml-100k, ml-20m, ml-25m or ml-32m")],
    to: Annotated[Path | None, typer.Option("--to", help="folder; the cache where not given")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="a mirror of the publisher's folder")] = None,
) -> None:
    """Download a public data set from its publisher, check its checksum and unpack it."""
    with user_errors():
        from fleetrec.simulator.workload.fetch import fetch as fetched
        from fleetrec.simulator.workload.fetch import terms_of

        print(terms_of(name), file=sys.stderr)
        got = fetched(name, to, base_url, progress_bars(False))
        say(f"{got.folder}: {'there already' if got.md5 is None else f'MD5 {got.md5} as published ({got.md5_from})'}")
        say("in a scenario, or after --set:")
        say(f"  workload.interactions={{path: {got.interactions}, items: {got.items}}}")


@data_app.command()
def exposures(
    out: Annotated[Path, typer.Option("--out", help="CSV to write", show_default=False)],
    logging: Annotated[
        Literal["uniform", "softmax"], typer.Option("--logging", help="how items were shown")
    ] = "softmax",
    users: Annotated[int, typer.Option("--users", min=1, help="users of the world")] = 500,
    items: Annotated[int, typer.Option("--items", min=10, help="items of the world")] = 200,
    slates: Annotated[int, typer.Option("--slates", min=1, help="slates that each user is shown")] = 10,
    places: Annotated[int, typer.Option("--places", min=1, max=1000, help="items of a slate")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0, help="of the world and of what is shown")] = 1,
) -> None:
    """Write what was shown and clicked in the built-in world, with propensities, and say the true click rates."""
    with user_errors():
        import numpy as np
        import pyarrow.csv

        from fleetrec.models.runtime.artifacts import atomic_path, check_file_place
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.simulator.scenario.sections import SyntheticWorld
        from fleetrec.simulator.workload.synthetic_exposures import ExposureWorld

        check_file_place("--out", out)
        if users * items > _MOST_PAIRS:
            raise InputError(f"--users {users} of --items {items} are more than {_MOST_PAIRS:,} pairs; take fewer")
        world = ExposureWorld(SyntheticWorld(users=users, items=items, seed=seed), slates, places, logging)
        table = world.table()
        with atomic_path(out) as temporary:
            pyarrow.csv.write_csv(table, temporary)
        uniform = world.click_rate(np.full_like(world.attraction, 1 / items))
        own = world.click_rate(world.shown)
        truth = (
            f"uniform exposure {uniform:.4f}"
            if logging == "uniform"
            else f"softmax exposure {own:.4f}, uniform {uniform:.4f}"
        )
        say(f"{counted(table.num_rows, 'row')} written to {out}; true clicks per item shown: {truth}")


@prompts_app.command()
def export(
    scenario: ScenarioFile,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write", show_default=False)],
    overrides: Overrides = None,
) -> None:
    """Write the prompts of all lists that a run may need; the answers become a `table`."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.simulator.preparation.prompt_export import export_prompts
        from fleetrec.simulator.scenario.file_checks import check_files
        from fleetrec.simulator.scenario.inputs import PreparationInputs

        loaded = Scenario.load(scenario, overrides or [], check=check_files)
        parts = export_prompts(PreparationInputs.of(loaded), out)
        say(
            f"{counted(sum(parts.values()), 'prompt')} written to {out}: {parts['stream']:,} for the stream, "
            f"{parts['calibration']:,} of before it, on which policies with a ratio, learned policies and logistic "
            "fusion are calibrated; docs/how-to/llm_candidates.md says how the answers become a table"
        )
