"""Commands as they are typed, in this process."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleetrec.cli import app
from tests.simulator.experiments.sweeps.files import SCENARIO


def typed(*words: str | Path) -> Result:
    """What a command printed, and how it ended."""
    return CliRunner().invoke(app, [str(word) for word in words])


def one_line(result: Result) -> str:
    """What a command said of a mistake: one line on standard error, exit code 2, nothing on standard output."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    line, rest = result.stderr.split("\n", 1)
    assert (line[:7], rest) == ("error: ", "")
    return line.removeprefix("error: ")


def scenario_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The tiny scenario in a folder that is worked in."""
    patch.chdir(folder)
    path = folder / "tiny.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path
