"""`init`: from a log to a scenario that runs without a flag."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fleetrec.commands.common import Overwrite, say, user_errors
from fleetrec.commands.log_options import LogOptions, reads_a_log
from fleetrec.models.runtime.program import program
from fleetrec.models.runtime.wording import counted

app = typer.Typer()
_NEXT = (
    ("simulate", "one run and its page"),
    ("compare-policies", "its policies against each other"),
    ("decide", "whether phones should call the cloud, and for what a month"),
)


@app.command()
@reads_a_log
def init(
    log: Annotated[str, typer.Argument(help="interaction log")],
    items: Annotated[str | None, typer.Option("--items", help="table of item_id,title,attributes")] = None,
    out: Annotated[Path, typer.Option("--out", help="scenario to write")] = Path("fleet.yaml"),
    yes: Annotated[
        bool,
        typer.Option("--yes", help="take what the evidence says, ask nothing, and stop where two readings fit alike"),
    ] = False,
    *,
    reading: LogOptions,
    overwrite: Overwrite = False,
) -> None:
    """Write a scenario for a log: columns, filter, split, arrivals, fleet and tokens, each with what tells it."""
    with user_errors():
        from fleetrec import Scenario
        from fleetrec.models.runtime.errors import InputError
        from fleetrec.simulator.preparation.input_checks import check_inputs
        from fleetrec.simulator.workload.starting_scenario import default_name, scenario_text, stand_in_passes, start

        if out.exists() and not overwrite:
            raise InputError(f"--out {out}: exists; name another file, or replace it with --overwrite")
        said = reading.file(log, items)
        begun = start(said, _asked, _chosen) if _on_a_terminal() and not yes else start(said, _first)
        text = scenario_text(begun, default_name(log), program()).replace("{file}", str(out))
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror}); name another file") from None
        try:
            Scenario.load(out, [], None, check=check_inputs)
        except InputError:
            out.unlink()
            raise
        for remark in begun.remarks:
            say(f"taken: {remark}")
        say(f"written to {out}; read its comments, then:")
        for command, what in _NEXT:
            say(f"  {program()} {command} {out}  # {what}")
        say(
            f"its LLM is a stand-in that learns your log in {counted(stand_in_passes(begun.log), 'pass', 'passes')}: "
            "before you believe that nobody should call, bring your own model's lists (llm.candidates says how)"
        )


def _on_a_terminal() -> bool:
    return sys.stdin.isatty()


def _first(question: str, options: Sequence[str]) -> int:
    say(f"taken: {question.rstrip('?')}: {options[0]}")
    return 0


def _chosen(question: str, options: Sequence[str]) -> int:
    return _asked(question, options, default=None)


def _asked(question: str, options: Sequence[str], default: int | None = 1) -> int:
    for place, option in enumerate(options, start=1):
        say(f"  {place}. {option}")
    chosen = 0
    while not 1 <= chosen <= len(options):
        chosen = typer.prompt(question, default=default, type=int)
    return chosen - 1
