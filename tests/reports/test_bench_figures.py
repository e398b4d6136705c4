"""The figure of the speed suite shows something, also where little was measured."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from fleetrec.reports.figures.bench_figures import draw_bench
from fleetrec.simulator.benchmark.record import SuiteRecord
from tests.simulator.experiments.bench_records import SHARDED, USUAL, figures, record


@pytest.mark.parametrize("found", [USUAL, record({SHARDED: figures(naive_per_s=None)}), record({})])
def test_a_suite_is_drawn_whatever_was_measured(tmp_path: Path, found: SuiteRecord) -> None:
    found.write(tmp_path)
    paths = draw_bench(tmp_path)
    assert [path.name for path in paths] == ["bench.png", "bench.svg"]
    assert float((imread(paths[0])[..., :3] < 0.98).any(axis=-1).mean()) > 0.02
