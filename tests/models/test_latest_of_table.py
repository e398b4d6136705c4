"""A table of answers to the log before users who part from it: worked by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.llm.latest_of_table import LatestOfTable
from fleetrec.models.llm.source_inputs import Grown
from fleetrec.models.llm.table import TableCandidates
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.preparation.candidates.table import CandidateTable
from tests.simulator.workload.logs import DAY_0, make_log

LOG = make_log([[DAY_0 + 100.0 * k for k in range(6)], [DAY_0 + 7.0]])
OFFSETS = np.array([0, 6, 7, 13])
"""of three users, of whom the first and the last are u0 of the log"""
REACHED = np.array([0, 3, 4, 5, -9, -9, 0, 0, 1, 2, 5, -9, -9], dtype=np.int32)
"""the first passed two moments by; the last has come to the same moments otherwise"""


def source(folder: Path, when: str, made: list[float], required: bool = False) -> LatestOfTable:
    """Lists of u0 made then, the n-th of the item n alone."""
    table = pd.DataFrame({"user_id": "u0", when: made, "item_id": [f"i{n}" for n in range(len(made))], "rank": 0})
    table.to_parquet(folder / "answers.parquet")
    section = CandidateTable(path=str(folder / "answers.parquet"), missing="previous")
    grown = Grown(LOG, np.array([0, 1, 0]), REACHED, None)
    return LatestOfTable(TableCandidates(section, LOG, 1), grown, OFFSETS, section.path, required)


def told(lists: LatestOfTable, user: int, *as_of: int) -> list[tuple[int, int] | None]:
    """The item of each list and what it is as of; None: there is none."""
    found = lists.lists(np.full(len(as_of), user), np.array(as_of))
    assert found.as_of[~found.found].tolist() == np.array(as_of)[~found.found].tolist()
    columns = found.found.tolist(), found.items[:, 0].tolist(), found.as_of.tolist()
    return [(item, seen) if there else None for there, item, seen in zip(*columns, strict=True)]


def test_by_time_a_list_is_there_from_the_moment_of_the_log_that_it_has_seen(tmp_path: Path) -> None:
    lists = source(tmp_path, "as_of_time", [DAY_0 + 130.0, DAY_0 + 290.0, DAY_0 + 400.0])  # of interactions 1, 2 and 4
    assert told(lists, 0, 0, 1, 2, 3) == [None, (1, 1), (2, 2), (2, 2)]
    assert told(lists, 2, 0, 1, 2, 3) == [None, (0, 1), (1, 2), (2, 3)]


def test_by_position_a_list_is_there_from_as_many_interactions_on(tmp_path: Path) -> None:
    lists = source(tmp_path, "as_of", [1, 2, 4])
    for user in (0, 2):
        assert told(lists, user, 0, 1, 2, 3) == [None, (0, 1), (1, 2), (1, 2)]


def test_what_a_list_is_as_of_names_that_list(tmp_path: Path) -> None:
    lists = source(tmp_path, "as_of_time", [DAY_0 + 130.0, DAY_0 + 290.0, DAY_0 + 400.0])
    for user in (0, 2):
        for item, seen in filter(None, told(lists, user, 1, 2, 3)):
            assert told(lists, user, seen) == [(item, seen)]


def test_a_user_whom_the_table_does_not_have_ends_a_run_that_needs_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"user 'u1' has no list by interaction 0 of this run"):
        source(tmp_path, "as_of", [0], required=True).lists(np.array([0, 1]), np.array([3, 0]))
