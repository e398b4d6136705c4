"""What people bring: logs that were once read wrongly in silence are read rightly, or refused in one line that helps.

The rows are made up; the forms are those of published data sets, exports and bug reports.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.workload.describe import describe
from tests.simulator.workload.field_rows import (
    ITEMS,
    MOMENTS,
    NO_SECONDS,
    SECONDS,
    TRUE,
    USERS,
    refused,
    since,
    table,
    written,
)
from tests.simulator.workload.logs import events, load
from tests.small import noted

# ------------------------------------------------------------------------------------------ times

WHOLE = {  # forms that tell every moment to the second
    "digits to the second": table(written("%Y%m%d%H%M%S")),
    "digits to the millisecond": table(written("%Y%m%d%H%M%S000")),
    "windows file times": table(since("1601-01-01", 1e7)),
    "browser times": table(since("1601-01-01", 1e6)),
    "ticks of .NET": table([s * 10**7 + 621355968000000000 for s in map(int, SECONDS)]),
    "microseconds": table(since("1970-01-01", 1e6)),
    "with UTC behind": table(written("%Y-%m-%d %H:%M:%S UTC")),
    "with GMT behind": table(written("%Y-%m-%d %H:%M:%S GMT")),
    "postgres with +00": table(written("%Y-%m-%d %H:%M:%S+00")),
    "day first, with a day above 12": table(written("%d/%m/%Y %H:%M:%S")),
    "month first": table(written("%m/%d/%Y %I:%M:%S %p")),
    "German": table(written("%d.%m.%Y %H:%M:%S")),
    "month in words": table(written("%d-%b-%Y %H:%M:%S")),
    "twitter": table(written("%a %b %d %H:%M:%S +0000 %Y")),
    "web server": table(written("%d/%b/%Y:%H:%M:%S +0000")),
    "mail": table(written("%a; %d %b %Y %H:%M:%S GMT")).replace("; ", " "),
    "slashes, year first": table(written("%Y/%m/%d %H:%M:%S")),
    "compact ISO": table(written("%Y%m%dT%H%M%SZ")),
    "a date and a clock": table(written("%Y-%m-%d,%H:%M:%S"), "user_id,item_id,date,time"),
    "digits of a date and a clock": table(written("%Y%m%d,%H:%M:%S"), "user_id,item_id,date,time"),
    "a time under a name of its own": table(written("%Y-%m-%dT%H:%M:%SZ"), "user_id,item_id,t_dat"),
    "a timestamp beside a day": table(
        [f"{m:%Y-%m-%d},{m.timestamp():.0f}" for m in MOMENTS], "user_id,item_id,date,timestamp"
    ),
}
BY_MINUTE = {
    "digits to the minute": table(written("%Y%m%d%H%M")),
    "a date and HHMM": table(
        [f"{m:%Y%m%d},{m.hour * 100 + m.minute}" for m in MOMENTS], "user_id,item_id,date,hourmin"
    ),
    "an ISO date and HHMM": table([f"{m:%Y-%m-%d},{m:%H%M}" for m in MOMENTS], "user_id,item_id,date,time"),
    "US without seconds": table(written("%m/%d/%Y %H:%M")),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_times_in_a_form_that_the_whole_file_shares_are_read(tmp_path: Path, kind: str) -> None:
    log = load(tmp_path / "log.csv", WHOLE[kind])
    assert events(log) == TRUE
    assert log.clock == "absolute"


@pytest.mark.parametrize("kind", BY_MINUTE)
def test_times_to_the_minute_are_read(tmp_path: Path, kind: str) -> None:
    assert events(load(tmp_path / "log.csv", BY_MINUTE[kind])) == NO_SECONDS


def test_days_of_a_spreadsheet_are_days(tmp_path: Path) -> None:
    days = [f"{(m - pd.Timestamp('1899-12-30')).total_seconds() / 86400:.5f}" for m in MOMENTS]
    log = load(tmp_path / "log.csv", table(days))
    assert [time for *_, time in events(log)] == pytest.approx([time for *_, time in TRUE], abs=1)


UNCLEAR = {  # times of which two readings fit, or none: what the line must say
    "whole days of a spreadsheet": (
        [(m - pd.Timestamp("1899-12-30")).days for m in MOMENTS],
        ["days of a spreadsheet", "seconds of an unknown start", "--time"],
    ),
    "hours since 1970": ([int(s // 3600) for s in SECONDS], ["hours since 1970", "--time"]),
    "days since 1970": ([int(s // 86400) for s in SECONDS], ["days since 1970", "2021-03-04"]),
    "months and days": ([m.month * 100 + m.day for m in MOMENTS], ["months and days without a year"]),
    "numbers of 1976": ([214536102 + k for k in range(40)], ["214536102", "no unit", "1976"]),
    "day and month may be either": (
        [f"{1 + k % 12:02d}/{1 + k % 11:02d}/2021" for k in range(40)],
        ["%d/%m/%Y", "%m/%d/%Y", "--time"],
    ),
    "words": (["soon"] * 40, ["all 40 times look like 'soon'", "--time"]),
    "clocks without a date": ([f"{m:%H:%M}" for m in MOMENTS], []),
}


@pytest.mark.parametrize("kind", UNCLEAR)
def test_times_of_two_readings_or_none_stop_with_what_to_write(tmp_path: Path, kind: str) -> None:
    times, said = UNCLEAR[kind]
    message = refused(tmp_path / "log.csv", table(times))
    for part in said:
        assert part in message


def test_what_is_said_of_times_settles_it(tmp_path: Path) -> None:
    days = [(m - pd.Timestamp("1899-12-30")).days for m in MOMENTS]
    log = load(tmp_path / "log.csv", table(days), time={"unit": "days"})
    assert log.times.min() == pd.Timestamp("2021-03-04").timestamp()
    log = load(tmp_path / "log.csv", table(written("%d/%m/%Y")), time={"unit": "%d/%m/%Y"})
    assert log.times.min() == pd.Timestamp("2021-03-04").timestamp()
    log = load(tmp_path / "log.csv", table(written("%Y-%m-%d %H:%M:%S")), time={"zone": "Europe/Paris"})
    assert log.times.min() == SECONDS[0] - 3600  # winter time
    assert "no time reads as" in refused(tmp_path / "log.csv", table(SECONDS), time={"unit": "%d/%m/%Y"})
    assert "no form of times" in refused(tmp_path / "log.csv", table(SECONDS), time={"unit": "%d/%Q"})


def test_a_zone_in_the_times_is_respected_and_no_note_denies_it(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", table(written("%Y-%m-%d %H:%M:%S+05")))
    assert log.times.min() == SECONDS[0] - 5 * 3600
    assert not noted(data_of(*log.notes))


# ------------------------------------------------------------------------------------------ columns

UNNAMED = {
    "clicks of sessions": [
        f"{u},{m:%Y-%m-%dT%H:%M:%S.000Z},{i},0" for u, i, m in zip(USERS, ITEMS, MOMENTS, strict=True)
    ],
    "ratings": [
        f"{u}\t{i}\t{1 + k % 5}\t{int(s)}" for k, (u, i, s) in enumerate(zip(USERS, ITEMS, SECONDS, strict=True))
    ],
    "ratings with colons": [
        f"{u}::{i}::{1 + k % 5}::{int(s)}" for k, (u, i, s) in enumerate(zip(USERS, ITEMS, SECONDS, strict=True))
    ],
    "milliseconds behind": [f"{u};{i};{int(s)}000" for u, i, s in zip(USERS, ITEMS, SECONDS, strict=True)],
    "the time first": [f"{m:%Y-%m-%d %H:%M:%S},{u},{i}" for u, i, m in zip(USERS, ITEMS, MOMENTS, strict=True)],
}


@pytest.mark.parametrize("kind", UNNAMED)
def test_columns_without_names_are_told_by_all_their_cells(tmp_path: Path, kind: str) -> None:
    assert events(load(tmp_path / "log.dat", "\n".join(UNNAMED[kind]) + "\n")) == TRUE


NOT_TOLD = {
    "ratings between blanks": "\n".join(f"{k % 5} {100 + k * 7 % 11} {1 + k % 4}" for k in range(40)),
    "a category with many values": "\n".join(
        f"{k % 5},{100 + k % 11},{k * 37},pv,{1500000000 + k * 99}" for k in range(40)
    ),
    "two columns of times": "\n".join(f"{k % 5},{100 + k % 11},{1500000000 + k},{1510000000 + k}" for k in range(40)),
    "prose": "The quick brown fox\njumps over the lazy dog\nand then it went home\n",
}


@pytest.mark.parametrize("kind", NOT_TOLD)
def test_columns_that_cannot_be_told_are_shown_with_what_to_write(tmp_path: Path, kind: str) -> None:
    message = refused(tmp_path / "log.txt", NOT_TOLD[kind] + "\n")
    assert "--columns" in message or "fields where" in message


def test_columns_are_said_by_name_or_place(tmp_path: Path) -> None:
    text = table([int(s) for s in SECONDS], "account,content,when_seen")
    assert "account" in refused(tmp_path / "log.csv", text)
    names = {"user": "account", "item": "Content", "time": "when_seen"}
    assert events(load(tmp_path / "log.csv", text, columns=names)) == TRUE
    assert events(load(tmp_path / "log.csv", text, columns={"user": 1, "item": 2, "time": 3})) == TRUE
    untimed = load(tmp_path / "log.csv", text, columns={**names, "time": "none"})
    assert untimed.clock == "none"
    assert "among account, content, when_seen" in refused(tmp_path / "log.csv", text, columns={"user": "acount"})
    body = text.split("\n", 1)[1]
    assert events(load(tmp_path / "log.csv", body, header=["account", "content", "when_seen"], columns=names)) == TRUE


def test_a_name_that_stands_twice_is_settled_by_its_place(tmp_path: Path) -> None:
    text = table([f"{int(s)},x" for s in SECONDS], "user_id,item_id,timestamp,user_id")
    assert "two columns are called 'user_id'" in refused(tmp_path / "log.csv", text)
    assert events(load(tmp_path / "log.csv", text, columns={"user": 1})) == TRUE


HEADED = {
    "a comment above": "# exported by hand\n",
    "comments and blank lines above": "% made in March\n\n// all rights\n",
    "a spreadsheet's separator": "sep=,\n",
}


@pytest.mark.parametrize("kind", HEADED)
def test_lines_above_the_table_are_passed_over(tmp_path: Path, kind: str) -> None:
    text = HEADED[kind] + table([int(s) for s in SECONDS])
    assert events(load(tmp_path / "log.csv", text)) == TRUE


def test_names_above_more_columns_than_the_reader_needs_are_names(tmp_path: Path) -> None:
    text = table([f"4 {int(s)} a" for s in SECONDS], "user_id,item_id,rating,timestamp,domain", " ")
    assert events(load(tmp_path / "log.txt", text)) == TRUE


LISTS = {
    "beside the item": "session_id:token\titem_id_list:token_seq\titem_id:token\n1\t11 12 13\t14\n1\t11 12\t13\n",
    "in the item": 'user_id,item_id,timestamp\na,"[1, 2, 3]",1600000000\nb,"[2, 3]",1600000060\n',
    "of numbers between blanks": "user_id\titem_id\na\t11 12 13\nb\t11 14\n",
    "under a name for many": "user_id,item_ids\na,11 12 13\nb,11 14\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_row_that_holds_a_list_of_items_is_refused(tmp_path: Path, kind: str) -> None:
    assert "lists of items per row" in refused(tmp_path / "log.inter", LISTS[kind])


def test_cells_of_several_interactions_are_split_where_it_is_said(tmp_path: Path) -> None:
    text = "user\ttime\tshown\na\t2021-03-04 05:06:07\tn1-0 n2-1\nb\t2021-03-04 05:06:08\tn1-1\n"
    each = {"column": "shown", "separator": " ", "pattern": "(?P<item>.+)-(?P<clicked>[01])"}
    log = load(tmp_path / "log.tsv", text, each=each, where="clicked = '1'")
    assert events(log) == [("a", "n2", SECONDS[0]), ("b", "n1", SECONDS[0] + 1)]


# ------------------------------------------------------------------------------------------ quotes


@pytest.mark.parametrize("name", ["log.inter", "log.csv", "log.txt"])
@pytest.mark.parametrize("rows", [(3, 20), (5,), (0, 39)])
def test_a_quote_that_nobody_closes_is_part_of_the_text_and_loses_no_row(
    tmp_path: Path, name: str, rows: tuple[int, ...]
) -> None:
    mark = {"log.inter": "\t", "log.csv": ",", "log.txt": ";"}[name]
    items = [f'"{item}' if k in rows else item for k, item in enumerate(ITEMS)]
    lines = [mark.join((u, i, str(int(s)))) for u, i, s in zip(USERS, items, SECONDS, strict=True)]
    text = "\n".join([mark.join(("user_id", "item_id", "timestamp")), *lines]) + "\n"
    log = load(tmp_path / name, text)
    assert sorted(events(log)) == sorted(zip(USERS, items, SECONDS, strict=True))
    assert "quotes_are_data" in noted(data_of(*log.notes))


@pytest.mark.parametrize("cell", ['"A, b"', '"A ""b"""', '"A\nb"', '"A\tb"'])
def test_quotes_that_hold_a_cell_together_are_quotes(tmp_path: Path, cell: str) -> None:
    text = table([f"{int(s)},{cell}" for s in SECONDS], "user_id,item_id,timestamp,title")
    assert events(load(tmp_path / "log.csv", text)) == TRUE


def test_quotes_behind_backslashes_are_read(tmp_path: Path) -> None:
    text = table([f'{int(s)},"a \\"b\\", c"' for s in SECONDS], "user_id,item_id,timestamp,title")
    assert events(load(tmp_path / "log.csv", text)) == TRUE


# ------------------------------------------------------------------------------------------ ids


@pytest.mark.parametrize("word", ["NA", "N/A", "<NA>", "NaT", "undefined", "None", "#N/A", "(null)", "\\N"])
def test_a_word_for_nothing_is_no_id_and_the_line_says_what_it_saw(tmp_path: Path, word: str) -> None:
    text = table([int(s) for s in SECONDS]).replace("u3,", f"{word},", 1)
    message = refused(tmp_path / "log.csv", text)
    assert f"the user id {word!r} is taken as missing" in message
    assert load(tmp_path / "log.csv", text, on_error="skip").problems["rows_skipped"] == 1


def test_where_most_ids_are_missing_other_columns_are_named(tmp_path: Path) -> None:
    text = "sessionId;userId;itemId\n" + "".join(f"{k % 5};NA;{k % 7}\n" for k in range(40))
    message = refused(tmp_path / "log.csv", text)
    assert "100%" in message
    assert "sessionId" in message
    assert load(tmp_path / "log.csv", text, columns={"user": "sessionId"}).n_users == 5


def test_one_and_one_point_zero_are_one_id(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp\n1,7,1600000000\n1.0,8.0,1600000060\n2.0,7.00,1600000120\n"
    log = load(tmp_path / "log.csv", text)
    assert log.user_ids.tolist() == ["1", "2"]
    assert log.item_ids.tolist() == ["7", "8"]
    assert "ids_with_point" in noted(data_of(*log.notes))
    named = load(tmp_path / "log.csv", text.replace("8.0", "v8.0"))
    assert "v8.0" in named.item_ids.tolist()


LOST = {
    "floats beyond 2^53": ({"user_id": [1.2345678901234568e18] * 9}, "floats such as"),
    "floats of 32 bits": (
        {"user_id": pa.array([16777217.0 + 4 * k for k in range(9)], pa.float32())},
        "floats such as",
    ),
    "halves": ({"item_id": [k + 0.5 for k in range(9)]}, "not whole numbers"),
    "seconds in 32 bits": ({"timestamp": pa.array([1.6e9 + k for k in range(9)], pa.float32())}, "32 bits"),
    "powers of ten": ({"item_id": [f"1.2345{k}E+18" for k in range(9)]}, "lost its last digits"),
    "zeros of a spreadsheet": ({"user_id": [f"{123456789012345 + k}000" for k in range(9)]}, "end in 0"),
}


@pytest.mark.parametrize("kind", LOST)
def test_ids_and_times_that_lost_digits_are_refused(tmp_path: Path, kind: str) -> None:
    columns, said = LOST[kind]
    whole = {
        "user_id": [f"u{k}" for k in range(9)],
        "item_id": ["i"] * 9,
        "timestamp": [1600000000 + k for k in range(9)],
    }
    pyarrow.parquet.write_table(pa.table({**whole, **columns}), tmp_path / "log.parquet")
    assert said in refused(tmp_path / "log.parquet", None)


def test_ids_that_are_times_are_refused(tmp_path: Path) -> None:
    rows = "\n".join(f"{u},{m:%Y-%m-%dT%H:%M:%S},{i}" for u, i, m in zip(USERS, ITEMS, MOMENTS, strict=True))
    message = refused(tmp_path / "log.csv", f"user_id,item_id,product\n{rows}\n")
    assert "look like times" in message


# ------------------------------------------------------------------------------------------ what looks wrong


@pytest.mark.parametrize("year", ["2610", "1974", "2389"])
def test_dates_outside_a_logs_life_are_refused_unless_they_are_said(tmp_path: Path, year: str) -> None:
    text = table([f"{year}-{m:%m-%d %H:%M:%S}" for m in MOMENTS])
    assert year in refused(tmp_path / "log.csv", text)
    log = load(tmp_path / "log.csv", text, time={"unit": "iso"})
    assert year in noted(data_of(*log.notes))["odd_dates"]["around"]


def test_days_and_months_that_are_said_the_wrong_way_round_are_told(tmp_path: Path) -> None:
    days = [f"{pd.Timestamp('2021-01-01') + pd.Timedelta(days=3 * k):%d/%m/%Y}" for k in range(40)]
    assert "'%d/%m/%Y'" in refused(tmp_path / "log.csv", table(days), time={"unit": "%m/%d/%Y"})
    rising = [f"{1 + k % 12:02d}/{1 + k // 12:02d}/2021" for k in range(40)]
    assert "earlier than the row above" in refused(tmp_path / "log.csv", table(rising), time={"unit": "%m/%d/%Y"})
    assert load(tmp_path / "log.csv", table(rising), time={"unit": "%d/%m/%Y"}).n_events == 40


def test_gaps_that_no_person_makes_and_a_user_who_is_everybody_are_noted(tmp_path: Path) -> None:
    log = load(tmp_path / "log.csv", table([k * 0.0001 for k in range(40)]))
    assert "odd_gaps" in noted(data_of(*log.notes))
    rows = "".join(f"{k % 20 if k % 3 == 0 else 0},i{k % 7},{1600000000 + k}\n" for k in range(300))
    log = load(tmp_path / "log.csv", "user_id,item_id,timestamp\n" + rows)
    assert noted(data_of(*log.notes))["one_user_has_most"]["user"] == "0"


def test_a_description_says_in_words_what_was_read_and_what_says_the_same(tmp_path: Path) -> None:
    told = describe(load(tmp_path / "log.csv", table([int(s) for s in SECONDS])))["read"]
    assert told["first_rows"][0] == "u0 had i0 on Thursday 4 March 2021, 05:06 UTC"
    assert told["first"] == "Thursday 4 March 2021, 05:06 UTC"
    assert told["median_gap"] == "1 day 11 hours"
    assert told["to_say_so"] == "columns: {user: user_id, item: item_id, time: timestamp}, time: {unit: s}"
