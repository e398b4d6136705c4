"""Bad input ends with one line that says what is wrong, where (1-based line of the file), and how to mend it."""

import errno
import gzip
import io
from pathlib import Path

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.tables import files
from tests.simulator.workload.logs import load

HEAD = "user_id,item_id,timestamp\n"
GOOD = HEAD + "1,a,1600000000\n1,b,1600000060\n"

ROWS = {  # content -> what the message must say
    "text for a time": (GOOD + "1,c,yesterday\n", ["line 4", "'yesterday'", "not a number or an ISO time"]),
    "NaN for a time": (GOOD + "1,c,NaN\n", ["line 4", "time is empty"]),
    "an infinite time": (GOOD + "1,c,inf\n", ["line 4", "not finite"]),
    "an empty time": (GOOD + "1,c,\n", ["line 4", "time is empty"]),
    "a negative time": (GOOD + "1,c,-1600000000\n", ["line 4", "negative"]),
    "a time of another unit": (GOOD + "1,c,1600000000000\n", ["line 4", "another unit"]),
    "a zero among dates": (GOOD + "1,c,0\n", ["line 4", "'0'", "not a date like"]),
    "an American date": (HEAD + "1,a,2020-01-31\n1,b,01/31/2020\n", ["line 3", "01/31/2020", "ISO"]),
    "a date before 1970": (HEAD + "1,a,2020-01-31\n1,b,1969-01-01\n", ["line 3", "before 1970"]),
    "a missing date as 1970 among ISO times": (
        HEAD + "1,a,2026-01-30T10:00:00Z\n1,b,1970-01-01T00:00:00Z\n1,c,2026-02-01T10:00:00Z\n",
        ["line 3", "1970-01-01", "missing date"],
    ),
    "a date of the far future": (
        HEAD + "1,a,2026-01-30\n1,b,2026-01-31\n1,c,2099-12-31\n",
        ["line 4", "2099-12-31", "ten empty years away"],
    ),
    "seconds of 2001 among those of 2020": (GOOD + "1,c,1000000000\n", ["line 4", "missing date"]),
    "an empty user": (GOOD + ",c,1600000000\n", ["line 4", "user id is empty"]),
    "a missing item": (GOOD + "1,null,1600000000\n", ["line 4", "the item id 'null' is taken as missing"]),
    "a negative item": (GOOD + "1,-1,1600000000\n", ["line 4", "'-1' is negative"]),
    "too few fields": (GOOD + "1,c\n", ["line 4", "2 fields where the first line has 3"]),
    "one field": (GOOD + "1\n", ["line 4", "1 field where the first line has 3"]),
    "too many fields": (GOOD + "1,c,1600000000,x\n", ["line 4", "4 fields where the first line has 3"]),
    "after blank lines and quoted breaks": (
        '\nuser_id,item_id,title,timestamp\n\n1,a,"x\ny",1600000000\n\n1,b,z,soon\n',
        ["line 7", "'soon'"],
    ),
}

FILES = {  # name -> (content, what the message must say)
    "empty.csv": (b"", ["empty"]),
    "only_blank_lines.csv": (b"\n \n\n", ["empty"]),
    "only_a_header.csv": (HEAD.encode(), ["no interactions"]),
    "junk.csv": (bytes(range(256)) * 40, ["binary"]),
    "junk_without_zeros.csv": (bytes(range(1, 256)) * 40, ["binary"]),
    "zip.csv": (b"PK\x03\x04rest", ["damaged zip archive"]),
    "cut_off.csv.gz": (gzip.compress(GOOD.encode() * 100)[:-20], ["damaged gzip"]),
    "web_page.csv": (b"<!DOCTYPE html><html>", ["web page"]),
    "events.json": (b'{"user": 1}\n', ["no column for items", "--columns user=NAME"]),
    "damaged.jsonl": (b'{"user": 1, "item": 2}\n{"user": 1\n{"user": 2, "item": 3}\n', ["JSON", "line 3"]),
    "unknown_names.csv": (b"who,what,when\n1,a,1600000000\n", ["who ('1')", "what ('a')", "columns: {user: NAME"]),
    "no_item_column.csv": (b"user_id,what,timestamp\n1,a,1600000000\n", ["no column for items", "name the columns"]),
    "twice.csv": (b"user_id,item_id,timestamp,timestamp\n1,a,1,2\n", ["two columns", "timestamp"]),
    "one_column.csv": (b"user_id\n1\n", ["no column for items"]),
    "ratings_or_times.csv": (b"1,a,5\n1,b,3\n", ["cannot tell", "user_id,item_id,timestamp"]),
    "lists.inter": (b"user_id:token\titem_id_list:token_seq\n1\ta b\n", ["lists of items per row"]),
    "lonely_user.txt": (b"1 5 6\n2\n3 7 8 9 9\n", ["line 2", "without items"]),
    "open_quote.csv": (HEAD.encode() + b'1,"a,b",1600000000\n1,"c,1600000060\n', ["line 3", "quotation mark"]),
    "not.parquet": (b"PAR1 and nothing else", ["Parquet"]),
    "only_unusable.csv": (HEAD.encode() + b",a,1600000000\n", ["line 2", "user id is empty"]),
}


def _message(path: Path, content: str | bytes | None, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        load(path, content, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ROWS)
def test_a_row_that_cannot_be_read_is_an_error_with_its_line_and_the_way_out(tmp_path: Path, kind: str) -> None:
    content, said = ROWS[kind]
    message = _message(tmp_path / "log.csv", content)
    assert message.startswith(str(tmp_path / "log.csv"))
    for part in [*said, "on_error=skip"]:
        assert part in message


@pytest.mark.parametrize("kind", ROWS)
def test_the_same_row_is_only_counted_where_the_scenario_says_skip(tmp_path: Path, kind: str) -> None:
    log = load(tmp_path / "log.csv", ROWS[kind][0], on_error="skip")
    assert log.problems["rows_skipped"] == 1


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_log_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    message = _message(tmp_path / name, content)
    for part in [name, *said]:
        assert part in message


def test_a_directory_a_missing_file_and_an_unset_variable_are_told_apart(tmp_path: Path) -> None:
    assert "is a directory" in _message(tmp_path, None)
    assert "does not exist" in _message(tmp_path / "nowhere.csv", None)
    assert "FLEETREC_NOT_SET is not set" in _message(Path("${FLEETREC_NOT_SET}/log.csv"), None)
    assert "data fetch ml-1m" in _message(Path("cache:ml-1m/ratings.dat"), None)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.csv"
    path.write_text(GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # chmod would not stop a superuser
    assert "cannot be read (Permission denied)" in _message(path, None)


def test_bad_parquet_rows_and_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pd.DataFrame({"user_id": ["a", None], "item_id": ["x", "y"], "timestamp": [1.6e9, 1.6e9]}).to_parquet(path)
    message = _message(path, None)
    assert "row 2" in message
    assert "user id is empty" in message
    pd.DataFrame({"user_id": [1.5, 2.0], "item_id": ["x", "y"], "timestamp": [1.6e9, 1.6e9]}).to_parquet(path)
    assert "not whole numbers" in _message(path, None)
    pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [[1, 2]]}).to_parquet(path)
    assert "times must be numbers" in _message(path, None)


def test_a_core_that_nothing_survives_is_an_error(tmp_path: Path) -> None:
    assert "smaller workload.interactions.k_core" in _message(tmp_path / "log.csv", GOOD, k_core=3)


def test_a_format_that_the_file_does_not_have_is_an_error(tmp_path: Path) -> None:
    assert "Parquet" in _message(tmp_path / "log.csv", GOOD, format="parquet")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("items.csv", "item_id,title\nzzz,Nothing\n", "describes none of the log's items"),
        ("items.csv", "item_id,price\na,1\n", "at least one of title and attributes"),
        ("items.csv", "item_id,title\na,Good, Bad\n", "line 2: 3 fields"),
        ("items.json", '{"a": 1}', "at least one of title and attributes"),
        ("items.json", '{"a": [1', "not valid JSON"),
        ("u.item", "a|x|1995||address|0|1\n", "u.genre does not exist"),
    ],
)
def test_a_bad_item_table_is_an_error_that_names_it(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    message = _message(tmp_path / "log.csv", GOOD, items=str(tmp_path / name))
    assert said in message
    assert str(tmp_path) in message


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.parquet"])
def test_a_log_that_would_not_fit_the_memory_is_told_before_it_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [f"{i % 50},{i % 7},{1600000000 + i}" for i in range(20_000)]
    text = "\n".join(["user_id,item_id,timestamp", *rows]).encode()
    content = gzip.compress(text) if name.endswith(".gz") else text
    if name.endswith(".parquet"):
        pd.read_csv(io.BytesIO(text)).to_parquet(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    for free, fits in ((2_000_000, True), (200_000, False)):  # packed it is below the bound, unpacked above it
        monkeypatch.setattr(files, "available_bytes", lambda free=free: free)
        if fits:
            assert len(load_log(LogFile(path=str(tmp_path / name))).items) == 20_000
            continue
        with pytest.raises(InputError, match=r"holds more than 0.0001 GB, unpacked, which is half of the memory"):
            load_log(LogFile(path=str(tmp_path / name)))
