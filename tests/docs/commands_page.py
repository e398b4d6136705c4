"""docs/reference/commands.md: every command with its arguments and options, from the commands themselves.

python -m tests.docs.commands_page       # writes the page anew
"""

from typing import Any

import typer

from fleetrec import cli
from fleetrec.models.runtime.artifacts import atomic_path
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reference" / "commands.md"
_HEAD = """# The command line

*Which command does it, and with which options?* `fleetrec COMMAND` where it is installed, `python cli.py COMMAND` in a
checkout; `fleetrec COMMAND --help` prints what stands here. Every command ends with exit code 0, or with 2 and one line
that says what is wrong, or with 130 if it was interrupted. Tables go to standard output, progress to standard error.
`fleetrec --version` prints the version, `fleetrec --install-completion` lets the shell complete commands and options.
This page is written by `python -m tests.docs.commands_page`.
"""


def page() -> str:
    """The whole page, as Markdown."""
    app: Any = typer.main.get_command(cli.app)
    top = app.context_class(app, info_name="fleetrec")
    rows, parts = [], []
    for context in _commands(app, top):
        command = context.command
        words = context.command_path.removeprefix("fleetrec ")
        rows.append(f"| [`{words}`](#{words.replace(' ', '-')}) | {_first_sentence(command.help or '')} |")
        parts.append(_of_command(words, context))
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n".join([_HEAD, table, "", *parts]).rstrip() + "\n"


def _commands(group: Any, context: Any) -> list[Any]:
    found = []
    for name, command in group.commands.items():
        below = command.context_class(command, info_name=name, parent=context)
        found += _commands(command, below) if hasattr(command, "commands") else [below]
    return found


def _of_command(words: str, context: Any) -> str:
    command = context.command
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    lines = [f"## {words}", "", " ".join((command.help or "").split()), "", "```usage", usage, "```", ""]
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    rows = [f"| `{_cell(name)}` | {_cell(told)} |" for name, told in records if not name.startswith("--help")]
    return "\n".join([*lines, "| argument or option | what it is |", "|---|---|", *rows, ""])


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0].split("; ")[0].rstrip(".")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", " or ")


if __name__ == "__main__":
    with atomic_path(PAGE) as temporary:
        temporary.write_text(page(), encoding="utf-8")
