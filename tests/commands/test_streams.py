"""Commands whose standard output is closed, full, left by its reader, or knows ASCII alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(shell: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of the shell, in which $FLEETREC is the command line."""
    command = f"{sys.executable} {ROOT / 'cli.py'}"
    held = {**os.environ, "FLEETREC": command, **environment}
    return subprocess.run(["bash", "-c", shell], cwd=cwd, env=held, capture_output=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text("name: s\ndescription: Größe 寸法\n", encoding="utf-8")
    return tmp_path


def test_a_closed_standard_output_is_no_reason_to_fail(folder: Path) -> None:
    done = run("$FLEETREC validate s.yaml >&-", folder)
    assert done.returncode == 0
    assert all(line.startswith(b"note: ") for line in done.stderr.splitlines())


def test_closed_errors_are_told_by_the_exit_code_alone(folder: Path) -> None:
    assert run("$FLEETREC validate nowhere.yaml 2>&-", folder).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["schema", "data describe log.csv"])
def test_a_full_standard_output_is_one_line(folder: Path, command: str) -> None:
    (folder / "log.csv").write_text("user_id,item_id,timestamp\nu,i,1\nu,j,2\n")
    done = run(f"$FLEETREC {command} > /dev/full", folder, PYTHONUNBUFFERED="")
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: standard output: No space left on device")
    assert done.stderr.count(b"\n") == 1


def test_a_reader_that_has_gone_is_met_with_silence(folder: Path) -> None:
    done = run("$FLEETREC catalog --json | head -c 10", folder)
    assert done.stderr == b""
    assert len(done.stdout) == 10


def test_a_terminal_that_knows_ascii_gets_ascii(folder: Path) -> None:
    done = run("$FLEETREC validate s.yaml", folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stderr.isascii()
    assert b"Gr\\xf6\\xdfe \\u5bf8" in done.stdout
