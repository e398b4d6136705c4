"""docs/background/serving_errors.md and the README say what the held-out errors say, and `predict` does as they say."""

from pathlib import Path
from statistics import median

import pytest

from fleetrec.simulator.cloud.hardware.engine_errors import held_out_beams, held_out_errors
from fleetrec.simulator.cloud.prediction.rows import Predictor, beam_figures, read_rows
from tests.docs.pages import ROOT
from tests.docs.serving_errors_page import PAGE, page


def test_the_page_of_errors_is_what_the_fit_left_out() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.docs.serving_errors_page"


def test_the_readme_says_the_same() -> None:
    overall = held_out_errors().overall
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    figures = f"{overall['dense'].tpot:.1%} on dense models and {overall['experts'].tpot:.1%} on mixtures of experts"
    assert figures in readme
    assert f"wide beams by {held_out_beams().overall.median:.1%}" in readme


@pytest.mark.data
def test_measured_beams_are_predicted_as_the_page_says(data_dir: Path) -> None:
    """The shipped constants have seen all cells: each version's are no farther off than when each was left out."""
    _, rows = read_rows(data_dir / "llm" / "beam_serving.csv")
    off: dict[str, list[float]] = {}
    for row in rows:
        measured = "ms" if row["batch"] else "requests_per_s"
        predicted = float(beam_figures(row)[f"predicted_{measured}"])
        off.setdefault(row["engine"], []).append(abs(predicted / float(row[measured]) - 1))
    found = held_out_beams()
    assert {version: len(errors) for version, errors in off.items()} == {
        version: own.cells for version, own in found.versions.items()
    }
    for version, errors in off.items():
        assert median(errors) <= found.versions[version].median + 0.005, version


@pytest.mark.data
def test_measured_rows_are_predicted_as_the_page_says(data_dir: Path) -> None:
    _, rows = read_rows(data_dir / "llm" / "measured_serving.csv")
    rows = [row for row in rows if row["model"] == "llama-3.1-70b" and int(row["concurrency"]) <= 16][::12]
    predictor = Predictor()
    off = [
        abs(float(predictor.figures(row, beams=False)["predicted_tpot_ms"]) / float(row["tpot_ms"]) - 1) for row in rows
    ]
    own = [
        own for of in held_out_errors().triples.values() for name, own in of.items() if name[:13] == rows[0]["model"]
    ]
    assert len(off) > 8
    # the shipped constants have seen these rows, so they are no farther off than those that had not
    assert sorted(off)[len(off) // 2] <= max(one.tpot for one in own)
    assert max(off) <= 3 * max(one.tpot_p90 for one in own)
