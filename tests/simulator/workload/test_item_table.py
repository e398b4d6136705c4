from pathlib import Path

import pandas as pd
import pytest

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
