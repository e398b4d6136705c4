"""Files of every kind are told by their bytes, and what is no table is called what it is."""

import bz2
import io
import json
import lzma
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import zstandard

from fleetrec.simulator.core.notes import data_of
from tests.simulator.workload.field_rows import ITEMS, SECONDS, TRUE, USERS, refused, table, written
from tests.simulator.workload.logs import events, load
from tests.small import noted

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


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"u,i{k},{k // 1000}" for k in range(300_000)]
    (tmp_path / "log.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows) + "\n")
    log = load(tmp_path / "log.csv")
    assert log.item_ids[log.items].tolist() == [f"i{k}" for k in range(300_000)]
