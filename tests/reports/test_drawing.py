"""Figures and page that processes beside a run draw: the same files, whoever draws them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.figures.background_drawing import Drawing
from fleetrec.reports.figures.run_figures import draw_run
from fleetrec.reports.html import write_report
from tests.reports.fake_runs import write_run


def drawn(run: Path) -> dict[str, bytes]:
    """What was drawn of a run, by name."""
    return {path.name: path.read_bytes() for path in [*run.glob("figures/*"), run / "report.html"]}


def test_processes_beside_a_run_draw_the_same_files_as_the_run_itself(tmp_path: Path) -> None:
    here, beside = (write_run(tmp_path / name / "run", devices=30) for name in ("here", "beside"))
    draw_run(here)
    write_report(here)
    with Drawing(processes=2) as drawing:
        drawing.begin(beside)
        drawing.finish()
    assert drawn(beside) == drawn(here)
    assert len(drawn(here)) == 5


@pytest.mark.parametrize(
    "module",
    [
        "fleetrec.reports.figures.drawn_once",
        "fleetrec.simulator.cloud.capacity.sizing",
        "fleetrec.simulator.experiments.comparison.compare",
    ],
)
def test_neither_drawing_nor_sizing_a_cloud_nor_comparing_runs_loads_pytorch(module: str) -> None:
    code = f"import sys, {module}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_lost_process_was_to_draw_is_drawn_all_the_same(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", devices=30)
    with Drawing(processes=1) as drawing:
        drawing.begin(run)
        pid = drawing._workers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        drawing.finish()
    assert len(drawn(run)) == 5


@pytest.mark.parametrize("processes", [0, 1])
def test_a_damaged_run_is_the_same_mistake_whoever_draws(tmp_path: Path, processes: int) -> None:
    run = write_run(tmp_path / "run", devices=5)
    (run / "requests.parquet").write_bytes(b"junk")
    with Drawing(processes) as drawing:
        drawing.begin(run)
        with pytest.raises(InputError, match=r"requests\.parquet"):
            drawing.finish()
