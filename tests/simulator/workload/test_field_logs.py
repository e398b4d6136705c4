"""What people bring: logs that were once read wrongly in silence are read rightly, or refused in one line that helps.

The rows are made up; the forms are those of published data sets, exports and bug reports.
"""

import bz2
import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import data_of
from fleetrec.simulator.workload.describe import describe
from tests.simulator.workload.logs import events, load
from tests.small import noted

START = pd.Timestamp("2021-03-04 05:06:07")
MOMENTS = [START + pd.Timedelta(hours=7 * k, minutes=11 * (k % 5)) for k in range(40)]
USERS = [f"u{k % 5}" for k in range(40)]
ITEMS = [f"i{k * 7 % 11}" for k in range(40)]
SECONDS = [moment.timestamp() for moment in MOMENTS]
TRUE = sorted(zip(USERS, ITEMS, SECONDS, strict=True), key=lambda row: (row[0], row[2]))
NO_SECONDS = sorted(zip(USERS, ITEMS, [s - s % 60 for s in SECONDS], strict=True), key=lambda row: (row[0], row[2]))


def table(times: list[Any], head: str = "user_id,item_id,timestamp", mark: str = ",") -> str:
    """A log of the moments as `times` writes them."""
    rows = [mark.join((user, item, str(time))) for user, item, time in zip(USERS, ITEMS, times, strict=True)]
    return "\n".join([head.replace(",", mark), *rows]) + "\n"


def written(form: str) -> list[str]:
    return [moment.strftime(form) for moment in MOMENTS]


def since(start: str, per_second: float) -> list[int]:
    return [round((moment - pd.Timestamp(start)).total_seconds() * per_second) for moment in MOMENTS]


def refused(path: Path, content: str | bytes | None, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(path, content, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or message.startswith("where") or "time.unit" in message
    return message


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


# ------------------------------------------------------------------------------------------ kinds of files

PLAIN = table([int(s) for s in SECONDS])
OBJECTS = [{"user_id": u, "item_id": i, "timestamp": int(s)} for u, i, s in zip(USERS, ITEMS, SECONDS, strict=True)]


def zipped(members: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return packed.getvalue()


FILES = {
    "bzip2": bz2.compress(PLAIN.encode()),
    "xz": lzma.compress(PLAIN.encode()),
    "zstd": zstandard.compress(PLAIN.encode()),
    "zip of one": zipped({"export/log.csv": PLAIN, "__MACOSX/._log.csv": "x"}),
    "JSON lines": "".join(json.dumps(row) + "\n" for row in OBJECTS).encode(),
    "JSON array": json.dumps(OBJECTS, indent=1).encode(),
    "JSON lines with separators of lines inside": "".join(
        json.dumps({**row, "title": "a\u2028b"}, ensure_ascii=False) + "\n" for row in OBJECTS
    ).encode(),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-16, big end first, without a mark": PLAIN.encode("utf-16-be"),
    "UTF-16 with a mark": PLAIN.encode("utf-16"),
    "UTF-8 with a mark": PLAIN.encode("utf-8-sig"),
    "line ends of two kinds": PLAIN.replace("\n", "\r\n", 20).encode(),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_file_is_told_by_its_bytes(tmp_path: Path, kind: str) -> None:
    assert events(load(tmp_path / "log.csv", FILES[kind])) == TRUE


def test_parquet_of_dictionaries_lists_and_structs_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": USERS, "item_id": ITEMS, "timestamp": written("%Y-%m-%d %H:%M:%S")})
    frame.astype("category").to_parquet(tmp_path / "categories.parquet")
    assert events(load(tmp_path / "categories.parquet")) == TRUE
    frame["timestamp"] = [int(s) for s in SECONDS]
    frame.groupby("user_id", as_index=False).agg(list).to_parquet(tmp_path / "lists.parquet")
    assert events(load(tmp_path / "lists.parquet")) == TRUE
    nested = pa.table({"who": [{"id": user} for user in USERS], "item_id": ITEMS, "timestamp": frame["timestamp"]})
    pyarrow.parquet.write_table(nested, tmp_path / "nested.parquet")
    assert events(load(tmp_path / "nested.parquet", columns={"user": "who.id"})) == TRUE


OTHER = {
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
    "a web page": (b"\n<!doctype html><html>", "web page"),
    "a database": (b"SQLite format 3\0" + bytes(200), "SQLite database"),
    "a pickle": (b"\x80\x04\x95" + bytes(200), "pickle"),
    "a document": (b"%PDF-1.7 ...", "PDF"),
    "a workbook in pieces": (zipped({"[Content_Types].xml": "<Types/>", "xl/workbook.xml": "<workbook/>"}), "workbook"),
    "a zip of two": (zipped({"a.csv": PLAIN, "b.csv": PLAIN}), "a.csv, b.csv"),
    "an error in JSON": (b'{"error": {"message": "not found"}}', "no column for users"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_a_file_that_is_no_log_is_called_what_it_is(tmp_path: Path, kind: str) -> None:
    content, said = OTHER[kind]
    assert said in refused(tmp_path / "log.csv", content)


def test_the_part_of_an_archive_is_named(tmp_path: Path) -> None:
    content = zipped({"a.csv": "item_id,title\n1,One\n", "b.csv": PLAIN})
    assert events(load(tmp_path / "log.zip", content, part="b.csv")) == TRUE


@pytest.mark.parametrize(
    ("encoding", "text", "told"),
    [
        ("cp1252", "Amélie", "cp1252"),
        ("gb18030", "电影院", "gb18030"),
        ("cp1251", "Кино", None),
        ("shift_jis", "映画館", None),
        ("cp1250", "Żółw łąka", None),
    ],
)
def test_an_encoding_is_told_where_one_fits_and_else_shown_and_asked_for(
    tmp_path: Path, encoding: str, text: str, told: str | None
) -> None:
    content = "".join(
        f"user_id,item_id,timestamp\n{text},a{k},{1600000000 + k}\n"[0 if not k else 26 :] for k in range(9)
    )
    path = tmp_path / "log.csv"
    if told is None:
        assert "encoding" in refused(path, content.encode(encoding))
    else:
        log = load(path, content.encode(encoding))
        assert noted(data_of(*log.notes))["text_encoding"]["encoding"] == told
        assert log.user_ids.tolist() == [text]
    assert load(path, content.encode(encoding), encoding=encoding).user_ids.tolist() == [text]


# ------------------------------------------------------------------------------------------ two files in one


def test_two_files_in_one_are_told(tmp_path: Path) -> None:
    assert "two encodings" in refused(
        tmp_path / "log.csv",
        PLAIN.encode() + "é1,a,1600000000\né2,a,1600000000\n".encode() + "é3,a,1600000000\n".encode("latin-1"),
    )
    message = refused(tmp_path / "log.csv", PLAIN + PLAIN)
    assert "line 42" in message
    assert "2 files in one" in message
    message = refused(tmp_path / "log.csv", PLAIN + PLAIN.split("\n", 1)[1].replace(",", ";"))
    assert "line 42: its cells are separated by semicolons where those above are by commas" in message


# ------------------------------------------------------------------------------------------ where

MARKED = table(
    [f"{int(s)},{'click' if k % 2 else 'view'},{k / 40},{'Yes' if k % 4 else ''}" for k, s in enumerate(SECONDS)],
    "user_id,item_id,timestamp,event,watch ratio,paid",
)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("event = 'click'", 20),
        ("event == 'click' and \"watch ratio\" >= 0.5", 10),
        ("event <> 'click' or `watch ratio` * 2 < 0.5", 25),
        ("not (event in ('click', 'buy')) and user_id like 'u%'", 20),
        ('"watch ratio" between 0.25 and 0.5', 11),
        ("paid is null", 10),
        ("lower(paid) = 'yes' and length(item_id) = 2 and abs(-1) = 1", None),
        ("timestamp > 1614900000", None),
    ],
)
def test_a_filter_keeps_the_rows_that_it_says(tmp_path: Path, where: str, kept: int | None) -> None:
    log = load(tmp_path / "log.csv", MARKED, where=where)
    assert kept in (None, log.n_events)
    assert 0 < log.n_events <= 40


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("evnt = 'click'", "no column 'evnt' among user_id, item_id"),
        ("read_text('/etc/passwd') = 'x'", "function 'read_text' is not allowed"),
        ("event in (select content from read_text('/etc/passwd'))", "where:"),
        ("event = (select 1)", "where:"),
        ("event = 'click'; drop table x", "cannot read"),
        ("event = 'click' -- and more", "where:"),
        ("event = click", "text stands in single quotes"),
        ("event >= 0.5", "40 of its cells are none"),
        ("event =", "a column or a value is wanted"),
        ("event", "compares nothing"),
        ("event = 'buy'", "none of its 40 rows is left"),
        ("(" * 500 + "event = 'a'" + ")" * 500, "nested deeper"),
        ("repeat(event, 2000000000) = 'x'", "not allowed"),
        ("getenv('HOME') = 'x'", "not allowed"),
        ("event = 'a' " + "or event = 'b' " * 900, "longer than"),
    ],
)
def test_a_filter_that_is_none_is_refused_in_one_line(tmp_path: Path, where: str, said: str) -> None:
    assert said in refused(tmp_path / "log.csv", MARKED, where=where)


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"u,i{k},{k // 1000}" for k in range(300_000)]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    log = load(tmp_path / "log.csv")
    assert log.item_ids[log.items].tolist() == [f"i{k}" for k in range(300_000)]


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
    told = describe(load(tmp_path / "log.csv", PLAIN))["read"]
    assert told["first_rows"][0] == "u0 had i0 on Thursday 4 March 2021, 05:06 UTC"
    assert told["first"] == "Thursday 4 March 2021, 05:06 UTC"
    assert told["median_gap"] == "1 day 11 hours"
    assert told["to_say_so"] == "columns: {user: user_id, item: item_id, time: timestamp}, time: {unit: s}"
