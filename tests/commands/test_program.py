"""What the command line calls itself is what the user typed."""

import subprocess
import sys
from pathlib import Path

import pytest

import fleetrec
from fleetrec import cli

TYPED = {"/usr/bin/fleetrec": "fleetrec", "cli.py": "python cli.py", "/x/fleetrec/__main__.py": "python -m fleetrec"}


@pytest.mark.parametrize("begun", list(TYPED))
def test_usage_and_hints_say_what_was_typed(
    begun: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, code in ((["simulate", "--help"], 0), (["simulate"], 2)):
        monkeypatch.setattr(sys, "argv", [begun, *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
    said = capsys.readouterr()
    assert said.out.startswith(f"Usage: {TYPED[begun]} simulate ")
    assert said.err.endswith(f"(see `{TYPED[begun]} --help`)\n")


def test_the_version_is_one_line_and_needs_no_pytorch() -> None:
    code = (
        "import sys; sys.argv = ['fleetrec', '--version']\n"
        "from fleetrec import cli\n"
        "try:\n    cli.main()\n"
        "finally:\n    assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    )
    root = Path(fleetrec.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fleetrec {fleetrec.__version__}\n", "")


@pytest.mark.parametrize(
    ("line", "completed"), [("fleetrec simu", "simulate"), ("fleetrec scenarios copy hi", "high_churn")]
)
def test_a_shell_completes_commands_and_names_of_scenarios(
    line: str, completed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fleetrec"])
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    monkeypatch.setenv("_FLEETREC_COMPLETE", "complete_bash")
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr().out.split() == [completed]
