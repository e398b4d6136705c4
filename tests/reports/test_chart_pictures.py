"""The static figures of an experiment: each is there as PNG and SVG, shows something, and is the same bytes again."""

from pathlib import Path

import pytest
from matplotlib.image import imread

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
