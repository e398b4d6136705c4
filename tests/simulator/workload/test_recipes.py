"""Every published form is read as it is published."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import RECIPES, LogFile
from tests.simulator.workload.logs import events, load
from tests.simulator.workload.published_rows import ITEMS, PUBLISHED


def test_every_recipe_has_rows_of_its_form() -> None:
    assert {name for name, *_ in PUBLISHED} == set(RECIPES)


@pytest.mark.parametrize(
    ("name", "file", "content", "expected"), PUBLISHED, ids=[f"{name}-{file}" for name, file, *_ in PUBLISHED]
)
def test_a_published_form_is_read_with_its_users_items_and_times(
    tmp_path: Path, name: str, file: str, content: str | bytes, expected: list[tuple[str, str, float]]
) -> None:
    assert events(load(tmp_path / file, content, format=name)) == expected


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    "content", ["who,what,at\nx,1,yes\ny,2,no\n", '{"a": {"b": 1}}\n{"a": {"b": 2}}\n', "1 2 3\n4 5\n"]
)
def test_a_file_of_another_form_ends_in_one_line_that_says_what_the_format_reads(
    tmp_path: Path, name: str, content: str
) -> None:
    with pytest.raises(InputError, match=f"format {name} reads") as refused:
        load(tmp_path / "other.csv", content, format=name)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ITEMS)
def test_a_published_table_of_items_is_read_with_its_titles_and_attributes(tmp_path: Path, name: str) -> None:
    file, content, expected = ITEMS[name]
    items = tmp_path / "items" / file
    items.parent.mkdir()
    items.write_bytes(content if isinstance(content, bytes) else content.encode())
    log_file, rows = next((file, rows) for one, file, rows, _ in PUBLISHED if one == name)
    log = load(tmp_path / log_file, rows, format=name, items=str(items))
    told = zip(log.titles or [""] * log.n_items, log.attributes or [()] * log.n_items, strict=True)
    assert {label: one for label, one in zip(log.item_ids, told, strict=True) if any(one)} == expected


def test_times_in_another_unit_than_the_published_one_are_refused(tmp_path: Path) -> None:
    rows = "user_id,parent_asin,rating,timestamp\na,B1,4.0,1588615855\na,B2,5.0,1589665266\n"
    with pytest.raises(InputError, match=r"its times are no dates.*format amazon_2023 reads All_Beauty\.csv"):
        load(tmp_path / "All_Beauty.csv", rows, format="amazon_2023")


def test_news_without_clicks_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column 'clicked' says that an item was clicked"):
        load(tmp_path / "behaviors.tsv", "1\tU1\t11/11/2019 9:05:58 AM\tN5\tN55689 N35729\n", format="mind")


def test_a_row_above_the_first_block_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: '1488844,3,2005-09-06' stands below no line of the form"):
        load(tmp_path / "combined_data_1.txt", "1488844,3,2005-09-06\n1:\n7,4,2005-09-07\n", format="netflix")


def test_what_the_user_says_comes_before_the_recipe(tmp_path: Path) -> None:
    rows = "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n1433224214164,1,addtocart,3,\n"
    assert events(load(tmp_path / "events.csv", rows, format="retailrocket", where="event = 'addtocart'")) == [
        ("1", "3", 1433224214.164)
    ]
    by_event = load(tmp_path / "events.csv", format="retailrocket", columns={"item": "event"})
    assert by_event.item_ids.tolist() == ["addtocart", "view"]
    assert by_event.user_ids.tolist() == ["1"]


def test_a_recipe_is_what_says_how_the_log_was_read(tmp_path: Path) -> None:
    rows = "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n"
    reading = load(tmp_path / "events.csv", rows, format="retailrocket").reading
    assert reading is not None
    assert reading.said == "format: retailrocket"


@pytest.mark.parametrize(
    ("key", "pattern"), [("line", "(?P<a"), ("line", "(a)"), ("group_line", "("), ("group_line", "a")]
)
def test_a_pattern_that_takes_nothing_is_refused(key: str, pattern: str) -> None:
    with pytest.raises(ValidationError, match="write one such as"):
        LogFile.model_validate({"path": "x", key: pattern})
