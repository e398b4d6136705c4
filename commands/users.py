"""`users`: users of a log who can choose, fitted, and how they compare with held-out users."""

import typer

from fleetrec.commands.common import (
    AsJson,
    Overrides,
    Quiet,
    ScenarioFile,
    print_json,
    progress_bars,
    user_errors,
)

app = typer.Typer()


@app.command()
def users(scenario: ScenarioFile, overrides: Overrides = None, quiet: Quiet = False, as_json: AsJson = False) -> None:
    """Fit users who choose on a scenario's log, and set what they do beside what held-out users did."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.models.runtime.artifacts import ArtifactStore
        from fleetrec.reports.terminal.parts import console_for
        from fleetrec.reports.terminal.users import print_users
        from fleetrec.simulator.core.notes import data_of
        from fleetrec.simulator.preparation.fitted_users import exposed, fit_users, fitted_notes
        from fleetrec.simulator.preparation.training import load_workload
        from fleetrec.simulator.scenario.file_checks import check_files
        from fleetrec.simulator.workload.splitting import split_log

        loaded = Scenario.load(scenario, overrides or [], check=check_files)
        store = ArtifactStore()
        split = split_log(load_workload(loaded.workload, store), loaded.workload.split)
        fitted = fit_users(split, store, loaded.engine.threads, progress_bars(quiet))
        model = exposed(fitted, split, loaded.workload)
        figures = {**model.fit, "notes": data_of(*fitted_notes(model.fit))}
        if as_json:
            print_json(figures)
        elif not quiet:
            print_users(figures, console_for(False))
