"""Logs of a hostile newcomer: what was once read wrongly without a word is read, noted, or refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetrec.simulator.core.notes import data_of
from tests.simulator.workload.field_rows import refused
from tests.simulator.workload.logs import events, load
from tests.small import noted

T = 1_700_000_000
Cell = Callable[[int], object]


def rows(last: Callable[[int], str], head: str = "user_id,item_id,timestamp", n: int = 60) -> str:
    return "\n".join([head, *(f"u{k % 7},i{k * 5 % 13},{last(k)}" for k in range(n))]) + "\n"


PARTS = {
    "years": (lambda k: str(2010 + k % 10), "may be years (unit: %Y) or seconds"),
    "months": (lambda k: f"{2010 + k % 10}{1 + k % 12:02d}", "may be years and months (unit: %Y%m) or seconds"),
    "days of the year": (
        lambda k: f"2024{1 + k * 5:03d}",
        "2024001, which may be years and days of the year (unit: %Y%j)",
    ),
    "years of two digits": (lambda k: f"24{1 + k % 12:02d}{1 + k % 28:02d}", "months and days (unit: %y%m%d)"),
    "a date in pieces": (lambda k: f"2024,{1 + k % 12},{1 + k % 28}", "the date stands in pieces (year, month, day)"),
}


@pytest.mark.parametrize("kind", PARTS)
def test_parts_of_dates_are_not_taken_for_seconds(kind: str, tmp_path: Path) -> None:
    last, says = PARTS[kind]
    head = "user_id,item_id,year,month,day" if "," in last(0) else "user_id,item_id,timestamp"
    assert says in refused(tmp_path / "log.csv", rows(last, head))


@pytest.mark.parametrize("form", ["%Y", "%Y%m", "%Y%j", "%y%m%d"])
def test_parts_of_dates_are_read_where_they_are_said(form: str, tmp_path: Path) -> None:
    written = {"%Y": "2011", "%Y%m": "201101", "%Y%j": "2011001", "%y%m%d": "110101"}[form]
    log = load(tmp_path / "log.csv", rows(lambda k: written), time={"unit": form})
    assert set(log.times.tolist()) == {1_293_840_000.0}


def test_an_hour_beside_a_date_is_its_hour(tmp_path: Path) -> None:
    log = load(
        tmp_path / "log.csv", rows(lambda k: f"2024-01-0{1 + k // 24},{k % 24}", "user_id,item_id,date,hour", 48)
    )
    assert sorted(log.times.tolist()) == [1_704_067_200.0 + 3600 * k for k in range(48)]
    said = load(tmp_path / "log.csv", columns={"time": ["date", "hour"]})
    assert said.times.tolist() == log.times.tolist()


@pytest.mark.parametrize("written", ["1.70E+09", "1.7E+12", "1.700000e+12", "1.70000e+09"])
def test_times_that_lost_their_seconds_are_refused(written: str, tmp_path: Path) -> None:
    assert "lost their last digits" in refused(tmp_path / "log.csv", rows(lambda k: written))


@pytest.mark.parametrize(("unit", "decimals"), [(1.0, 9), (1e3, 9), (1e9, 12)])
def test_numbers_with_an_exponent_that_tell_seconds_are_read(unit: float, decimals: int, tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", rows(lambda k: f"{(T + 777 * k) * unit:.{decimals}e}"))
    assert sorted(log.times.tolist()) == [T + 777 * k for k in range(60)]


@pytest.mark.parametrize(
    "cell",
    ["i1 i2 i3", "i1->i2->i3", "i1 > i2 > i3", "N12|N7|N9", "(1, 2, 3)", "{1, 2, 3}", "['i1', 'i2']", "7 9"],
)
def test_cells_that_hold_several_items_are_refused(cell: str, tmp_path: Path) -> None:
    text = "".join(f"u{k % 7}\t{cell}\t{T + k}\n" for k in range(40))
    assert "holds lists of items per row" in refused(tmp_path / "log.tsv", "user_id\titem_id\ttimestamp\n" + text)


@pytest.mark.parametrize(
    "cell", ["Toy Story 2", "The Big Lebowski", "SKU 12", "AB-12 CD", "(500) Days of Summer", "12-34-56"]
)
def test_items_with_blanks_and_numbers_are_items(cell: str, tmp_path: Path) -> None:
    text = "".join(f"u{k % 7}\t{cell}\t{T + k}\n" for k in range(40))
    assert load(tmp_path / "log.tsv", "user_id\titem_id\ttimestamp\n" + text).item_ids.tolist() == [cell]


@pytest.mark.parametrize(
    ("end", "shift"), [("PST", 8), ("EST", 5), ("America/New_York", 5), ("Asia/Tokyo", -9), ("UTC", 0)]
)
def test_a_zone_by_name_is_respected_and_no_note_denies_it(end: str, shift: int, tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", rows(lambda k: f"2024-01-{1 + k % 28:02d} 10:00:00 {end}"))
    assert log.times.min() == 1_704_067_200 + 3600 * (10 + shift)
    assert "times_utc" not in noted(data_of(*log.notes))


def test_commas_before_fractions_of_a_second_are_read(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", rows(lambda k: f'"2024-01-01T10:00:{k:02d},250"'))
    assert log.times.min() == 1_704_103_200.25


@pytest.mark.parametrize(
    "word", ["unknown", "Anonymous", "(not set)", "guest", "0", "00000000-0000-0000-0000-000000000000"]
)
def test_an_id_for_nobody_is_noted(word: str, tmp_path: Path) -> None:
    text = "".join(f"{word if k % 3 == 0 else f'u{k % 7}'},i{k * 5 % 13},{T + k}\n" for k in range(63))
    found = noted(data_of(*load(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + text).notes))
    assert found["stands_for_nobody"] == {"role": "user", "id": word, "share": 1 / 3}
    swapped = noted(data_of(*load(tmp_path / "log.csv", "item_id,user_id,timestamp\n" + text).notes))
    assert (swapped["stands_for_nobody"]["role"], swapped["stands_for_nobody"]["id"]) == ("item", word)


def test_nought_among_ids_like_it_is_an_id(tmp_path: Path) -> None:
    text = "".join(f"{k % 7},i{k * 5 % 13},{T + k}\n" for k in range(63))
    assert "stands_for_nobody" not in noted(
        data_of(*load(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + text).notes)
    )


@pytest.mark.parametrize(
    ("user", "time"),
    [
        (lambda k: {"$oid": f"{k % 7:024x}"}, lambda k: {"$date": f"2023-11-14T22:13:{20 + k % 40}Z"}),
        (lambda k: {"$numberInt": str(k % 7)}, lambda k: {"$numberLong": str((T + k % 40) * 1000)}),
        (lambda k: k % 7, lambda k: {"$date": {"$numberLong": str((T + k % 40) * 1000)}}),
    ],
    ids=["relaxed", "long numbers", "canonical"],
)
def test_what_mongodb_puts_around_is_taken_off(user: Cell, time: Cell, tmp_path: Path) -> None:
    lines = [json.dumps({"user_id": user(k), "item_id": f"i{k % 13}", "timestamp": time(k)}) for k in range(40)]
    log = load(tmp_path / "log.jsonl", "\n".join(lines))
    assert (log.n_users, log.n_items) == (7, 13)
    assert sorted(time for *_, time in events(log)) == [T + k for k in range(40)]
