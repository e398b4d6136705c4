"""The table of published data sets says what their recipes read."""

from pathlib import Path

import pytest

from tests.docs.data_sets_table import PAGE, REAL, figures, written
from tests.simulator.workload.logs import load


def test_the_table_of_data_sets_is_what_their_recipes_read() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == written(page), "run: python -m tests.docs.data_sets_table"


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_figures_of_real_data_are_those_of_the_file(data_dir: Path, name: str) -> None:
    file, told = REAL[name]
    assert figures(load(data_dir / file, format=name)) == told
