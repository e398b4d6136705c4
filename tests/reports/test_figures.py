"""The figures of a run: they exist, show something, say what is missing, and are the same bytes every time."""

import os
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.run_folder import read_run
from fleetrec.reports.figures.run_figures import draw_run
from tests.reports.fake_runs import sparse_runs, summary_of, write_run

NAMES = ["accuracy_over_time.png", "latency.png", "freshness_and_rank.png", "cost.png"]


def ink(path: Path) -> float:
    """Share of pixels that are not white."""
    return float((imread(path)[..., :3] < 0.98).any(axis=-1).mean())


def test_a_run_leaves_four_pictures_that_are_not_blank_and_the_same_whatever_matplotlibrc_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", devices=60)
    paths = draw_run(run)
    assert [path.name for path in paths] == NAMES
    assert all(path.parent == run / "figures" and ink(path) > 0.02 for path in paths)
    assert sorted(os.listdir(run / "figures")) == sorted(NAMES)
    first = [path.read_bytes() for path in paths]
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(matplotlib.rcParams, "savefig.dpi", 50)
    assert [path.read_bytes() for path in draw_run(run)] == first


@sparse_runs
def test_a_run_without_requests_lists_or_interactions_still_draws(tmp_path: Path, kind: dict[str, object]) -> None:
    paths = draw_run(write_run(tmp_path / "run", **{"devices": 30, **kind}))  # type: ignore[arg-type]
    assert [path.name for path in paths] == NAMES
    assert all(ink(path) > 0.01 for path in paths)


def test_clones_of_a_user_are_one_cluster(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", devices=40, users=8))
    assert len(np.unique(run.users)) == 8


def test_a_damaged_or_missing_file_is_named_in_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", devices=5)
    with pytest.raises(InputError, match=r"nowhere.*not a run folder"):
        draw_run(tmp_path / "nowhere")
    table = (run / "requests.parquet").read_bytes()
    (run / "requests.parquet").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"requests\.parquet") as caught:
        draw_run(run)
    assert "\n" not in str(caught.value)
    (run / "requests.parquet").write_bytes(table)
    (run / "summary.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"summary\.json"):
        draw_run(run)
    (run / "summary.json").unlink()
    with pytest.raises(InputError, match=r"summary\.json"):
        draw_run(run)


def test_an_interaction_of_an_unknown_device_is_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", devices=5)
    devices = pd.read_parquet(run / "devices.parquet")
    devices[devices["device"] != 3].to_parquet(run / "devices.parquet", index=False)
    with pytest.raises(InputError, match="device 3 is not in"):
        draw_run(run)


def test_long_headlines_text_like_mathematics_and_null_figures_do_not_break_a_figure(tmp_path: Path) -> None:
    notes = [
        {"key": "quality_and_cost", "text": "quality of $x_1$, cost of llama_{3", "values": {}},
        *summary_of()["notes"],
    ]
    nothing = {"hr@5": None, "hr@10": None, "hr@20": None}
    run = write_run(tmp_path / "run", devices=5, headline="word $ " * 60, notes=notes, baselines={"srm": nothing})
    assert [path.name for path in draw_run(run)] == NAMES
