"""Fleetrec on the command line: the commands of `commands/`, and what a mistake on the command line looks like."""

import gc
import sys
from typing import Annotated

import typer

from fleetrec import __version__
from fleetrec.commands import (
    bench,
    breakeven,
    cloud,
    data,
    decide,
    experiments,
    export,
    gallery,
    init,
    offpolicy,
    predict,
    rehearse,
    scenarios,
    users,
)
from fleetrec.commands.common import say
from fleetrec.commands.streams import with_usable_streams
from fleetrec.models.runtime.program import program

app = typer.Typer(
    help="Fleetrec: a discrete-event simulator of device fleets for device-cloud recommendation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=program() == "fleetrec",  # a shell completes the words of a program, not of a file that Python runs
    rich_markup_mode=None,
)
for theme in (
    init,
    scenarios,
    experiments,
    breakeven,
    decide,
    bench,
    cloud,
    predict,
    rehearse,
    offpolicy,
    users,
    export,
):
    app.add_typer(theme.app)
app.add_typer(data.data_app, name="data")
app.add_typer(data.prompts_app, name="prompts")
app.add_typer(gallery.scenarios_app, name="scenarios")
app.add_typer(gallery.experiments_app, name="experiments")
app.add_typer(gallery.examples_app, name="examples")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fleetrec {__version__}")
        raise typer.Exit


@app.callback()
def fleetrec(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Simulate device fleets that recommend together with a cloud; each command has a --help of its own."""


def main() -> None:
    """Run a command; a wrong flag is one line and exit code 2, like every other mistake."""
    gc.set_threshold(500_000, 20, 100)  # what imports make stays; to look at it again and again takes a fifth of them
    code = with_usable_streams(_run)
    gc.freeze()  # what is left ends with the process: to look for cycles in it once more takes half a second
    sys.exit(code)


def _run() -> int:
    """The exit code of the command on the command line."""
    try:
        return int(app(prog_name=program(), standalone_mode=False) or 0)
    except SystemExit as ended:
        return int(ended.code or 0)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not the command line's own
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())
            return 0
        say(f"error: {error.format_message()} (see `{program()} --help`)", aside=True)
        return 2


if __name__ == "__main__":
    main()
