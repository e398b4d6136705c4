"""A policy's table says what it shows to whom, where; what it cannot mean is one line."""

from pathlib import Path

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.off_policy import Target, read_target, uniform_target
from fleetrec.simulator.workload.exposures import Exposures

LOG = Exposures(
    "log.csv",
    ["a", "b"],
    ["x", "y", "z"],
    np.array([0, 0, 1, 1]),
    np.array([0, 1, 0, 2]),
    np.array([0, 1, 0, 1]),
    np.array([True, False, False, True]),
    np.full(4, 1 / 3),
)


def target(folder: Path, text: str) -> Target:
    (folder / "mine.csv").write_text(text, encoding="utf-8")
    return read_target(folder / "mine.csv", LOG)


def shown(one: Target) -> list[float]:
    return one.probabilities(LOG.item, 3).tolist()


def test_a_slate_for_everybody_shows_its_item_at_each_position(tmp_path: Path) -> None:
    assert shown(target(tmp_path, "item_id,position\nx,1\nz,2\n")) == [1, 0, 1, 1]


def test_a_slate_of_a_user_is_shown_to_this_user_alone(tmp_path: Path) -> None:
    one = target(tmp_path, "user_id,item_id,position\na,y,2\nb,x,1\nb,z,2\nc,x,1\n")
    assert (shown(one), one.context.tolist()) == ([0, 1, 1, 1], [-1, 0, 1, 2])


def test_probabilities_are_those_of_the_rows_items(tmp_path: Path) -> None:
    assert shown(target(tmp_path, "item_id,probability\nx,0.5\ny,0.3\nnever,0.2\n")) == [0.5, 0.3, 0.5, 0]
    assert shown(uniform_target(LOG)) == pytest.approx([1 / 3] * 4)


def test_the_mean_of_what_it_shows_leaves_out_what_the_log_never_showed(tmp_path: Path) -> None:
    one = target(tmp_path, "item_id,probability\nx,0.5\ny,0.3\nnever,0.2\n")
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert one.expected(values, LOG.position) == pytest.approx([1.1, 11.0, 1.1, 11.0])
    silent = target(tmp_path, "user_id,item_id\na,y\n").expected(values, LOG.position)
    assert silent[:2].tolist() == [2, 20]
    assert np.isnan(silent[2:]).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,place\nx,1\n", "no column item_id among name, place"),
        ("item_id,position\nx,0\n", "line 2: the position is '0'; it is whole, 1 the place seen first"),
        ("item_id,probability\nx,1\ny,2\n", "line 3: the probability is '2'; it is above 0 and at most 1"),
        ("item_id\nx\ny\n", "line 2: the probabilities of the items at that place, for that user, add up to 2"),
        ("user_id,item_id\nc,x\n", "shows nothing to any of the log's users"),
        ("item_id,position\nx,7\n", "shows nothing to any of the log's users at any of its positions"),
    ],
)
def test_what_a_table_cannot_mean_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=r"mine\.csv") as refused:
        target(tmp_path, text)
    assert told in str(refused.value)
