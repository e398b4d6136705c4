"""What was shown is read with its propensities, and what cannot be is one line."""

from pathlib import Path

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.exposures import Exposures, read_exposures

ROWS = ["a,x,1,1,0.5", "a,y,2,0,0.25", "b,x,1,0,0.5", "b,z,2,1,0.125"]
HEAD = "user_id,item_id,position,clicked,propensity"


def read(path: Path, *rows: str, head: str = HEAD, **said: object) -> Exposures:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return read_exposures(LogFile.model_validate({"path": str(path), **said}))


def refused(path: Path, *rows: str, head: str = HEAD, **said: object) -> str:
    with pytest.raises(InputError) as told:
        read(path, *rows, head=head, **said)
    return str(told.value)


def test_columns_are_known_by_their_names(tmp_path: Path) -> None:
    log = read(tmp_path / "log.csv", *ROWS)
    assert ([log.user_ids[u] for u in log.user], [log.item_ids[i] for i in log.item]) == (list("aabb"), list("xyxz"))
    assert (log.position.tolist(), log.clicked.tolist()) == ([0, 1, 0, 1], [True, False, False, True])
    assert (log.propensity.tolist(), log.n_positions, log.notes) == ([0.5, 0.25, 0.5, 0.125], 2, ())


def test_columns_of_other_names_are_said(tmp_path: Path) -> None:
    columns = {"user": "wer", "item": "was", "position": "platz", "clicked": "genommen", "propensity": "p"}
    log = read(tmp_path / "log.csv", *ROWS, head="wer,was,platz,genommen,p", columns=columns)
    assert log.propensity.tolist() == [0.5, 0.25, 0.5, 0.125]


def test_positions_from_zero_and_from_one_are_the_same(tmp_path: Path) -> None:
    from_zero = [row.replace(",1,", ",0,", 1).replace(",2,", ",1,", 1) for row in ROWS]
    assert read(tmp_path / "log.csv", *from_zero).position.tolist() == [0, 1, 0, 1]


def test_of_random_exposure_each_item_shown_so_is_as_likely_as_any(tmp_path: Path) -> None:
    rows = ["a,x,0,1", "a,y,1,0", "b,z,1,1", "b,y,1,1", "b,w,0,0"]
    log = read(tmp_path / "log.csv", *rows, head="user_id,video_id,is_rand,is_click")
    assert ([log.item_ids[i] for i in log.item], log.propensity.tolist()) == (["y", "z", "y"], [0.5] * 3)
    assert [note.key for note in log.notes] == ["random_exposure", "uniform_exposure", "one_position"]


def test_rows_that_were_not_shown_do_not_count(tmp_path: Path) -> None:
    log = read(tmp_path / "log.csv", *(f"{row},{n % 2}" for n, row in enumerate(ROWS)), head=f"{HEAD},shown")
    assert [log.item_ids[i] for i in log.item] == ["y", "z"]


@pytest.mark.parametrize("value", ["0", "-0.1", "1.5", "nan", "", "likely"])
def test_a_propensity_that_is_none_is_named_with_its_line(tmp_path: Path, value: str) -> None:
    told = refused(tmp_path / "log.csv", *ROWS[:3], f"b,z,2,1,{value}", f"b,z,1,1,{value}")
    assert f"log.csv, line 5: the propensity is '{value}' (1 more row like it); it is the probability" in told


def test_other_mistakes_are_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    assert "no column says what was clicked" in refused(log, "a,x,1", head="user_id,item_id,propensity")
    assert "how likely an item was shown" in refused(log, "a,x,1", head="user_id,item_id,clicked")
    assert "no row was shown at random" in refused(log, "a,x,1,0", head="user_id,item_id,clicked,random")
    assert "line 2: the position is 'top'; it is a whole number" in refused(log, "a,x,top,1,0.5")
    assert "a position is 5,000" in refused(log, "a,x,5000,1,0.5")
    assert "no column 'p'" in refused(log, *ROWS, columns={"propensity": "p"})


def test_a_line_left_out_by_where_is_not_judged(tmp_path: Path) -> None:
    log = read(tmp_path / "log.csv", *ROWS, "c,x,1,1,0", where="propensity > 0")
    assert np.array(log.user_ids)[log.user].tolist() == list("aabb")
