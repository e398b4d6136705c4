import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.loading import load_log
from tests.simulator.workload.logs import events, load
from tests.small import noted

A, B, C = 1_600_000_000, 1_600_000_060, 1_600_003_600
EXPECTED = [("ann", "x", A), ("ann", "y", B), ("bob", "x", C)]

SAME_LOG = {
    "plain.csv": f"user_id,item_id,timestamp\nann,x,{A}\nann,y,{B}\nbob,x,{C}\n",
    "semicolons.csv": f"user_id;item_id;timestamp\nann;x;{A}\nann;y;{B}\nbob;x;{C}\n",
    "tabs.tsv": f"user_id\titem_id\ttimestamp\nann\tx\t{A}\nann\ty\t{B}\nbob\tx\t{C}\n",
    "no_header.csv": f"ann,x,{A}\nann,y,{B}\nbob,x,{C}\n",
    "movielens_like_without_header.data": f"ann\tx\t5\t{A}\nann\ty\t1\t{B}\nbob\tx\t3\t{C}\n",
    "other_names_and_order.csv": f"ts,Product ID,customer-id,price\n{A},x,ann,1\n{B},y,ann,2\n{C},x,bob,3\n",
    "quoted_titles.csv": (
        f'userId,title,movieId,timestamp\nann,"One, ""1""",x,{A}\nann,"Two\nlines",y,{B}\nbob,3,x,{C}\n'
    ),
    "blank_lines.csv": f"\n\nuser_id,item_id,timestamp\n\nann,x,{A}\n  \nann,y,{B}\n\nbob,x,{C}\n\n",
    "windows_and_spaces.csv": f"user_id, item_id, timestamp\r\nann , x, {A}\r\nann, y, {B}\r\nbob, x, {C}\r\n",
    "old_mac.csv": f"user_id,item_id,timestamp\rann,x,{A}\rann,y,{B}\rbob,x,{C}\r",
    "bom.csv": f"\ufeffuser_id,item_id,timestamp\nann,x,{A}\nann,y,{B}\nbob,x,{C}\n",
    "milliseconds.csv": f"user_id,item_id,time\nann,x,{A}000\nann,y,{B}000\nbob,x,{C}000\n",
    "microseconds.csv": f"user_id,item_id,time\nann,x,{A}000000\nann,y,{B}000000\nbob,x,{C}000000\n",
    "scientific.csv": f"user_id,item_id,time\nann,x,{A}.0\nann,y,1.60000006e9\nbob,x,{C}\n",
    "iso.csv": (
        "user,item,time\nann,x,2020-09-13T12:26:40Z\nann,y,2020-09-13 12:27:40\nbob,x,2020-09-13T13:26:40+00:00\n"
    ),
    "zones.csv": (
        "user,item,time\nann,x,2020-09-13T14:26:40+02:00\nann,y,2020-09-13T07:27:40-0500\nbob,x,2020-09-13T13:26:40Z\n"
    ),
    "recbole.inter": (
        f"user_id:token\titem_id:token\trating:float\ttimestamp:float\nann\tx\t4\t{A}\nann\ty\t5\t{B}\nbob\tx\t1\t{C}\n"
    ),
    "movielens.dat": f"ann::x::5::{A}\nann::y::3::{B}\nbob::x::4::{C}\n",
    "spaces.txt": f"ann x {A}\nann y {B}\nbob x {C}\n",
    "duplicate_names_elsewhere.csv": f"user_id,item_id,timestamp,note,note\nann,x,{A},,\nann,y,{B},,\nbob,x,{C},,\n",
}


@pytest.mark.parametrize("name", SAME_LOG)
def test_the_same_log_in_any_dress_is_the_same_log(tmp_path: Path, name: str) -> None:
    log = load(tmp_path / name, SAME_LOG[name])
    assert events(log) == EXPECTED
    assert log.clock == "absolute"
    assert log.content_hash == load(tmp_path / "plain.csv", SAME_LOG["plain.csv"]).content_hash


def test_packed_utf16_and_latin1_files_are_read(tmp_path: Path) -> None:
    text = f"user_id,item_id,timestamp\nRenée,x,{A}\n"
    assert events(load(tmp_path / "a.csv.gz", gzip.compress(text.encode()))) == [("Renée", "x", A)]
    assert events(load(tmp_path / "b.csv", text.encode("utf-16"))) == [("Renée", "x", A)]
    latin = load(tmp_path / "c.csv", text.encode("latin-1"))
    assert events(latin) == [("Renée", "x", A)]
    assert noted(data_of(*latin.notes))["text_encoding"]["encoding"] == "cp1252"


@pytest.mark.parametrize(
    "times",
    [
        pd.to_datetime([A, B, C], unit="s"),
        pd.to_datetime([A, B, C], unit="s", utc=True).tz_convert("Asia/Tokyo"),
        [A, B, C],
        [A * 1000, B * 1000, C * 1000],
        ["2020-09-13T12:26:40", "2020-09-13T12:27:40", "2020-09-13T13:26:40"],
    ],
    ids=["timestamps", "zoned", "seconds", "milliseconds", "text"],
)
def test_parquet_times_of_every_type_are_the_same_moments(tmp_path: Path, times: object) -> None:
    frame = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"], "timestamp": times})
    frame.to_parquet(tmp_path / "log.parquet")
    assert events(load(tmp_path / "log.parquet")) == EXPECTED


def test_integer_ids_stored_as_floats_keep_their_names(tmp_path: Path) -> None:
    pd.DataFrame({"user_id": [1.0, 2.0], "item_id": [7, 8], "timestamp": [A, B]}).to_parquet(tmp_path / "log.parquet")
    assert events(load(tmp_path / "log.parquet")) == [("1", "7", A), ("2", "8", B)]


def test_lines_of_ids_keep_their_order_repeats_and_have_no_clock(tmp_path: Path) -> None:
    log = load(tmp_path / "log.txt", "1 5 3 5\n2 9\n\n1 4\n")
    assert events(log) == [("1", "5", 0), ("1", "3", 1), ("1", "5", 2), ("1", "4", 3), ("2", "9", 0)]
    assert log.clock == "none"
    assert set(noted(data_of(*log.notes))) == {"no_times", "lines_continued"}


def test_a_table_without_times_keeps_the_order_of_its_rows_and_says_so(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", "user_id,item_id,rating\n2,b,5\n1,a,5\n2,a,1\n2,a,1\n")
    assert events(log) == [("1", "a", 0), ("2", "b", 0), ("2", "a", 1), ("2", "a", 2)]
    assert log.clock == "none"
    assert "no_times" in noted(data_of(*log.notes))


def test_ratings_are_ignored_and_the_log_says_so(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", f"userId,movieId,rating,timestamp\n1,2,0.5,{A}\n")
    assert noted(data_of(*log.notes)) == {"ratings_ignored": {}, "columns_unused": {"columns": ["rating"]}}


def test_rows_are_sorted_by_time_with_ties_in_file_order_and_every_repair_is_counted(tmp_path: Path) -> None:
    text = f"user_id,item_id,timestamp\nu,late,{C}\nu,tie1,{A}\nu,tie2,{A}\nu,tie1,{A}\nu,again,{C}\nu,late,{A}\n"
    log = load(tmp_path / "log.csv", text)
    assert [item for _, item, _ in events(log)] == ["tie1", "tie2", "late", "late", "again"]
    assert log.problems == {"duplicates_dropped": 1, "out_of_order": 2, "ties": 3}


def test_codes_follow_the_labels_not_the_order_of_rows(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", f"user_id,item_id,timestamp\n10,b,{A}\n9,a,{B}\n")
    assert log.user_ids.tolist() == ["9", "10"]
    assert log.item_ids.tolist() == ["a", "b"]
    assert log.offsets.dtype == np.int64
    assert log.items.dtype == np.int32


@pytest.mark.parametrize(
    ("times", "clock"),
    [((0, 60, 0, 90), "relative"), ((30, 60, 45, 90), "shared"), ((A, B, A, C), "absolute")],
)
def test_small_times_are_a_clock_of_each_user_where_most_start_at_zero_and_a_shared_one_elsewhere(
    tmp_path: Path, times: tuple[int, ...], clock: str
) -> None:
    rows = "".join(f"{user},{item},{time}\n" for item, (user, time) in enumerate(zip("aabb", times, strict=True)))
    assert load(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + rows).clock == clock


def test_days_written_as_numbers_are_days(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", "user_id,item_id,date\n1,1,20200913\n1,2,20200914\n")
    assert log.times.tolist() == [1_599_955_200, 1_600_041_600]


def test_a_k_core_is_what_repeated_removal_leaves_and_is_labelled(tmp_path: Path) -> None:
    # c has one event; without it z has one; without z, b has one; without b all of a's items have one event.
    pairs = ["a x", "a y", "b x", "b z", "c z", "d x", "d y", "a y"]
    rows = "".join(f"{pair.replace(' ', ',')},{A + 60 * i}\n" for i, pair in enumerate(pairs))
    log = load(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + rows, k_core=2)
    assert sorted({(user, item) for user, item, _ in events(log)}) == [("a", "x"), ("a", "y"), ("d", "x"), ("d", "y")]
    assert "2-core" in log.source
    assert log.problems["k_core_events_dropped"] == 3
    assert log.problems["k_core_users_dropped"] == 2


def test_unreadable_rows_are_left_out_and_counted_on_request(tmp_path: Path) -> None:
    text = f"user_id,item_id,timestamp\n1,a,{A}\n1,b\n,c,{A}\n1,,{A}\n1,d,soon\n1,e,-5\n1,f,nan\n1,g,{B}\n"
    log = load(tmp_path / "log.csv", text, on_error="skip")
    assert events(log) == [("1", "a", A), ("1", "g", B)]
    assert log.problems["rows_skipped"] == 6


def test_variables_home_and_fetched_sets_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "datasets" / "mine").mkdir(parents=True)
    load(tmp_path / "datasets" / "mine" / "log.csv", f"user_id,item_id,timestamp\n1,a,{A}\n")
    monkeypatch.setenv("MY_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FLEETREC_CACHE", str(tmp_path))
    for name in ("${MY_DATA}/datasets/mine/log.csv", "~/datasets/mine/log.csv", "cache:mine/log.csv"):
        assert load_log(LogFile(path=name)).n_events == 1
