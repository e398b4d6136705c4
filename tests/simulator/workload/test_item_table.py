import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import ItemFile
from fleetrec.simulator.workload.item_table import ItemTable, read_items
from tests.simulator.workload.logs import load


def items_in(path: Path) -> ItemTable:
    return read_items(path, ItemFile(path=str(path)))


TABLES = {
    "items.csv": 'item_id,title,attributes\n1,"Cat, The",a|b\n2,Dog,\n1,Again,c\n',
    "commas.csv": 'item_id,title,attributes\n1,"Cat, The","a, b"\n2,Dog,\n1,Again,c\n',
    "movies.csv": 'movieId,title,genres\n1,"Cat, The",a|b\n2,Dog,(no genres listed)\n1,Again,c\n',
    "movies.dat": "1::Cat, The::a|b\n2::Dog::\n1::Again::c\n",
    "items.item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tCat, The\ta b\n2\tDog\t\n1\tAgain\tc\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_titles_and_attributes_are_the_same_from_every_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name])
    table = items_in(tmp_path / name)
    assert table.titles == {"1": "Cat, The", "2": "Dog"}
    assert table.attributes == {"1": ("a", "b"), "2": ()}
    assert table.duplicates == 1


def test_parquet_json_and_flags_are_read(tmp_path: Path) -> None:
    pd.DataFrame({"item_id": [1], "title": ["Cat"], "attributes": [["a", "b"]]}).to_parquet(tmp_path / "i.parquet")
    assert items_in(tmp_path / "i.parquet").attributes == {"1": ("a", "b")}
    (tmp_path / "i.json").write_text('{"1": [3, 4]}')
    assert items_in(tmp_path / "i.json").attributes == {"1": ("3", "4")}
    (tmp_path / "u.genre").write_text("unknown|0\nDrama|1\nWar|2\n")
    (tmp_path / "u.item").write_bytes("1|Café (1995)|date||url|0|1|1\n2|Dog|date||url|1|0|0\n".encode("latin-1"))
    table = items_in(tmp_path / "u.item")
    assert table.titles["1"] == "Café (1995)"
    assert table.attributes == {"1": ("Drama", "War"), "2": ()}


def test_items_that_the_table_does_not_know_are_counted_and_empty(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,title\na,Alpha\nunused,Never seen\n")
    text = "user_id,item_id,timestamp\n1,a,1600000000\n1,b,1600000001\n"
    log = load(tmp_path / "log.csv", text, items=str(tmp_path / "items.csv"))
    assert log.titles == ("Alpha", "")
    assert log.attributes is None
    assert log.problems["items_without_description"] == 1


# ------------------------------------------------------------------------------------------ what people's tables hold


def described(path: Path, content: str | bytes, item_column: str = "", **settings: Any) -> ItemTable:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_items(path, ItemFile(path=str(path), **settings), item_column)


@pytest.mark.parametrize("column", ["book_id", "sku", "content_key"])
def test_the_column_that_the_log_calls_its_items_by_is_preferred(tmp_path: Path, column: str) -> None:
    table = described(tmp_path / "i.csv", f"id,item_id,{column},title\n1,9,7,Seven\n7,8,1,One\n", column)
    assert table.titles == {"7": "Seven", "1": "One"}


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "N/A", ""])
def test_a_word_for_nothing_is_no_title(tmp_path: Path, word: str) -> None:
    assert described(tmp_path / "i.csv", f"item_id,title\n1,{word}\n2,Two\n").titles == {"1": "", "2": "Two"}


def test_titles_lose_line_breaks_and_those_of_several_items_are_noted(tmp_path: Path) -> None:
    table = described(tmp_path / "i.csv", 'item_id,title\n1,"Two\nlines"\n2,Same\n3,Same\n')
    assert table.titles == {"1": "Two lines", "2": "Same", "3": "Same"}
    assert [one.key for one in table.notes] == ["titles_shared"]


@pytest.mark.parametrize(
    "cells",
    [
        ["\"['Skin Care', 'Beauty']\"", "\"['Beauty']\""],
        ['"[""Skin Care"", ""Beauty""]"', '"[""Beauty""]"'],
        ["\"[{'id': 3, 'name': 'Skin Care'}, {'id': 4, 'name': 'Beauty'}]\"", "\"[{'id': 4, 'name': 'Beauty'}]\""],
        ["Skin Care|Beauty", "Beauty"],
        ["Skin Care; Beauty", "Beauty"],
        ['"Skin Care, Beauty"', "Beauty"],
    ],
)
def test_attributes_are_the_same_however_lists_are_written(tmp_path: Path, cells: list[str]) -> None:
    rows = "".join(f"{k},T{k},{cell}\n" for k, cell in enumerate(cells * 5))
    table = described(tmp_path / "i.csv", "item_id,title,categories\n" + rows)
    assert table.attributes["0"] == ("Skin Care", "Beauty")
    assert table.attributes["1"] == ("Beauty",)


def test_one_bar_among_commas_parts_the_same_attributes(tmp_path: Path) -> None:
    rows = "".join(f'{k},"Action, Drama"\n' for k in range(40))
    table = described(tmp_path / "i.csv", f"item_id,genres\n{rows}40,Drama|Action\n41,Comedy | Other\n")
    assert table.attributes["3"] == ("Action", "Drama")
    assert described(tmp_path / "i.csv", f"item_id,genres\n{rows}40,Drama|Action\n").attributes["40"] == (
        "Drama",
        "Action",
    )


@pytest.mark.parametrize("ids", [[1.0, 2.0], ["1.0", "2.0"], [1, 2], ["1", "2"]])
def test_ids_are_those_of_the_log_whatever_their_type(tmp_path: Path, ids: list[object]) -> None:
    pd.DataFrame({"item_id": ids, "title": ["One", "Two"]}).to_parquet(tmp_path / "i.parquet")
    assert items_in(tmp_path / "i.parquet").titles == {"1": "One", "2": "Two"}


def test_json_of_every_shape_is_read(tmp_path: Path) -> None:
    rows = [{"item_id": 1, "title": "One", "tags": ["a", "b"]}, {"item_id": 2, "title": "Two"}]
    for name, text in {
        "array": json.dumps(rows, indent=2),
        "lines": "\n".join(map(json.dumps, rows)),
        "by id": json.dumps({"1": {"title": "One", "tags": ["a", "b"]}, "2": {"title": "Two"}}),
        "python": "\n".join(map(repr, rows)),
    }.items():
        table = described(tmp_path / "i.json", text)
        assert table.titles == {"1": "One", "2": "Two"}, name
        assert table.attributes == {"1": ("a", "b"), "2": ()}, name


def test_the_encoding_of_titles_is_told_or_asked_for(tmp_path: Path) -> None:
    text = "item_id,title\n1,电影一\n2,电影二\n"
    assert described(tmp_path / "i.csv", text.encode("gbk")).titles["1"] == "电影一"
    with pytest.raises(InputError, match="encoding"):
        described(tmp_path / "i.csv", "item_id,title\n1,Привет\n".encode("cp1251"))


def test_columns_of_items_are_said(tmp_path: Path) -> None:
    columns = {"item": "key", "title": 2, "attributes": ["shelf", "tags"]}
    table = described(tmp_path / "i.csv", "key,text,shelf,tags\n1,One,A,x|y\n", columns=columns)
    assert table.titles == {"1": "One"}
    assert table.attributes == {"1": ("A", "x", "y")}
