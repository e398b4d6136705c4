"""`offpolicy`: what another policy would be clicked, from a log of what was shown."""

from pathlib import Path
from typing import Annotated

import typer

from fleetrec.commands.common import AsJson, print_json, user_errors
from fleetrec.commands.log_options import LogOptions, reads_a_log

app = typer.Typer()


@app.command()
@reads_a_log
def offpolicy(
    log: Annotated[str, typer.Argument(help="log of what was shown: user, item, clicked, propensity or random")],
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="FILE", help="table of its slates, or `uniform`; repeatable"),
    ] = None,
    *,
    reading: LogOptions,
    as_json: AsJson = False,
) -> None:
    """What other policies would be clicked, from a log of what was shown with propensities or at random."""
    with user_errors():
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.reports.terminal.off_policy import print_off_policy
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.simulator.experiments.off_policy import off_policy, read_target, uniform_target
        from fleetrec.simulator.workload.exposures import read_exposures

        if not policy:
            raise InputError("--policy: not given; name a table of item_id, user_id, position, or `uniform`")
        shown = read_exposures(reading.file(log))
        targets = [uniform_target(shown) if one == "uniform" else read_target(Path(one), shown) for one in policy]
        figures = off_policy(shown, targets).as_data()
        if as_json:
            print_json(figures)
        else:
            print_off_policy(figures, console_for(False))
