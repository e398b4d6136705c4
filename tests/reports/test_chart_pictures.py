"""The static figures of an experiment: each is there as PNG and SVG, shows something, and is the same bytes again."""

import os
import signal
from pathlib import Path

import pytest
from matplotlib.image import imread

from fleetrec.reports.figures import drawing_beside
from fleetrec.reports.figures.chart_pictures import _label
from fleetrec.reports.figures.experiment_figures import draw_figures
from tests.reports.fake_experiments import write_experiment
from tests.reports.fake_runs import write_run


def test_every_figure_of_a_sweep_is_a_png_and_an_svg_of_the_same_bytes_again(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "sweep")
    paths = draw_figures(folder)
    names = {path.name for path in paths}
    drawn = (
        "frontier",
        "sensitivity",
        "key_1",
        "key_2",
        "accuracy_over_time",
        "load",
        "queue",
        "busy",
        "latency",
        "cost",
    )
    assert names == {f"{name}{suffix}" for name in drawn for suffix in (".png", ".svg")}
    assert all((imread(path)[..., :3] < 0.98).any(axis=-1).mean() > 0.01 for path in paths if path.suffix == ".png")
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in draw_figures(folder)] == first


def test_two_processes_draw_what_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one all of it where the other one ends before its time."""
    folder = write_experiment(tmp_path / "sweep")
    here: list[slice] = []

    def drawn_here(folder: Path, share: slice) -> list[Path]:
        here.append(share)
        return draw_figures(folder, share)

    monkeypatch.setattr(drawing_beside, "available_cores", lambda: 2)
    monkeypatch.setattr(drawing_beside.experiment_figures, "draw_figures", drawn_here)
    drawn = []
    for lost in (False, True):
        with drawing_beside.DrawingBeside() as drawing:
            drawing.start()
            if lost:
                assert drawing._worker is not None
                assert drawing._worker.pid is not None
                os.kill(drawing._worker.pid, signal.SIGKILL)
            page, paths = drawing.finish(folder)
        assert page == folder / "report.html"
        drawn.append({path: path.read_bytes() for path in paths})
        for path in paths:
            path.unlink()
    together, alone = drawn
    assert together == alone
    assert len(alone) == 20
    ours, theirs = drawing_beside._OURS, drawing_beside._THEIRS
    assert here == [ours, ours, theirs]


def test_a_runs_figures_are_written_as_svg_too(tmp_path: Path) -> None:
    paths = draw_figures(write_run(tmp_path / "run", devices=20))
    assert sorted(path.suffix for path in paths) == [".png"] * 4 + [".svg"] * 4
    assert all(b"<dc:date>" not in path.read_bytes() for path in paths if path.suffix == ".svg")


@pytest.mark.filterwarnings("error")
def test_names_of_any_script_or_beginning_are_drawn_without_a_warning(tmp_path: Path) -> None:
    names = ["_hidden", "推荐 😀", "$x_1$ & <b>", "line\nbreak"]
    folder = write_experiment(tmp_path / "sweep", names)
    assert _label({"name": "_hidden"}) == " _hidden"  # which a legend shows
    assert all(path.is_file() for path in draw_figures(folder))
