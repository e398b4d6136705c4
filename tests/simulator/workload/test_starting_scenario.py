"""From a log of any names to a scenario: which columns are what, by what they hold, and what is asked."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fleetrec import Scenario
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.column_evidence import column_evidence
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.starting_scenario import Start, default_name, scenario_text, start
from fleetrec.simulator.workload.tables.readings import OpenReading
from tests.simulator.workload.logs import workbook

USERS, ITEMS = 30, 25


def rows(times: str = "iso", repeats: bool = False) -> list[list[str]]:
    """(user, item, kind, time, share) of a small shop, in order of time."""
    rng = np.random.default_rng(0)
    found = []
    for user in range(USERS):
        order = rng.integers(0, 5, 24) if repeats else rng.permutation(ITEMS)[:24]
        for step, item in enumerate(order.tolist()):
            at = 1_740_800_000 + user * 977 + step * 7919
            found.append((at, f"k-{user}", f"p{item:03d}", rng.choice(["buy", "look"]), at, f"{rng.random():.3f}"))
    found.sort()
    written = {
        "iso": lambda at: str(np.datetime64(at, "s")) + "Z",
        "seconds": str,
        "millis": lambda at: str(at * 1000),
        "german": lambda at: np.datetime64(at, "s").item().strftime("%d.%m.%Y %H:%M:%S"),
    }[times]
    return [[user, item, str(kind), written(at), share] for _, user, item, kind, at, share in found]


def log(folder: Path, header: Sequence[str], held: Sequence[Sequence[str]], separator: str = ";") -> str:
    path = folder / "log.csv"
    lines = [separator.join(header)] if header else []
    path.write_text("\n".join([*lines, *(separator.join(row) for row in held)]) + "\n", encoding="utf-8")
    return str(path)


def items(folder: Path, header: str = "Nr;Bezeichnung;Kategorie") -> str:
    path = folder / "items.csv"
    held = [f"p{item:03d};A thing called {item};{'tools' if item % 2 else 'toys'}" for item in range(ITEMS)]
    path.write_text("\n".join([header, *held]) + "\n", encoding="utf-8")
    return str(path)


def first(question: str, options: Sequence[str]) -> int:
    return 0


def refuse(question: str, options: Sequence[str]) -> int:
    raise AssertionError(question)


def written(begun: Start, folder: Path) -> tuple[Scenario, dict[str, Any]]:
    path = folder / "fleet.yaml"
    path.write_text(scenario_text(begun, "shop", "fleetrec"), encoding="utf-8")
    return Scenario.load(path), yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("header", "times"),
    [
        (["Konto", "Inhalt", "Vorgang", "Zeitpunkt", "Anteil"], "iso"),
        (["compte_utilisateur", "produit vu", "quoi", "le", "part"], "seconds"),
        (["usr#", "WHAT?", "x", "dt", "y"], "millis"),
        (["a", "b", "c", "d", "e"], "iso"),
        (["用户", "商品", "事件", "时间", "份额"], "seconds"),
    ],
)
def test_columns_of_any_names_are_known_by_what_they_hold(header: list[str], times: str, tmp_path: Path) -> None:
    said = LogFile(path=log(tmp_path, header, rows(times)), items=items(tmp_path))
    begun = start(said, refuse)
    assert (begun.log.n_users, begun.log.n_items, begun.log.n_events) == (USERS, ITEMS, 24 * USERS)
    assert begun.log.titles is not None
    assert begun.log.titles[3] == "A thing called 3"
    assert begun.log.attributes is not None
    assert begun.log.attributes[3] == ("tools",)
    assert begun.log.clock == "absolute"
    scenario, _ = written(begun, tmp_path)
    again = scenario.workload.interactions
    assert isinstance(again, LogFile)
    assert (again.columns.user, again.columns.item, again.columns.time) == (header[0], header[1], header[3])


def test_what_nothing_tells_is_asked_and_the_answer_counts(tmp_path: Path) -> None:
    path = log(tmp_path, ["a", "b", "c", "d", "e"], rows())
    asked: list[str] = []

    def second(question: str, options: Sequence[str]) -> int:
        asked.append(question)
        assert list(options) == ["a (items: b)", "b (items: a)"]
        return 1

    begun = start(LogFile(path=path), second)
    assert asked == ["Which column holds users?"]
    assert (begun.log.n_users, begun.log.n_items) == (ITEMS, USERS)
    assert start(LogFile(path=path), first).log.n_users == USERS


def two_readings(kind: str) -> tuple[bytes, str, dict[str, Any]]:
    """A file of two readings, the question that it leaves open, and what the second answer says."""
    plain = [[user, item, time] for user, item, _, time, _ in rows("seconds")]
    days = [
        [user, item, f"{1 + place % 12:02d}/{1 + place // 60:02d}/2025"] for place, (user, item, _) in enumerate(plain)
    ]
    small = [[user, item, str(20_000 + place // 50)] for place, (user, item, _) in enumerate(plain)]
    text = {
        "days and months": days,
        "small numbers": small,
        "months and days": [
            [user, item, str((1 + place % 12) * 100 + 1 + place % 28)] for place, (user, item, _) in enumerate(plain)
        ],
        "encoding": [[f"Кино {user}", item, time] for user, item, time in plain],
    }
    if kind in text:
        lines = "\n".join(",".join(row) for row in [["user_id", "item_id", "timestamp"], *text[kind]])
        return {
            "days and months": (lines.encode(), "How are times", {"time": {"unit": "%m/%d/%Y"}}),
            "small numbers": (lines.encode(), "What are times", {"time": {"unit": "s"}}),
            "months and days": (lines.encode(), "What are times", {"time": {"unit": "s"}}),
            "encoding": (lines.encode("cp1251"), "In which encoding", {"encoding": "cp1251"}),
        }[kind]
    if kind == "separator":
        held = "\n".join(f"{user};{item},{item};{time}" for user, item, time in plain)
        return held.encode(), "What separates", {"separator": ";"}
    named = [["user_id", "item_id", "timestamp"], *plain]
    if kind == "sheets":
        return workbook({"notes": [["a"], ["b"]], "log": named}), "Which sheet", {"part": "log"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("read me.txt", "a log")
        archive.writestr("log.csv", "\n".join(",".join(row) for row in named))
    return packed.getvalue(), "Which file", {"part": "log.csv"}


@pytest.mark.parametrize(
    "kind", ["days and months", "small numbers", "months and days", "encoding", "separator", "sheets", "parts"]
)
def test_of_two_readings_that_fit_alike_one_is_chosen_and_written_down(kind: str, tmp_path: Path) -> None:
    content, question, keys = two_readings(kind)
    path = tmp_path / "log.bin"
    path.write_bytes(content)
    asked: list[str] = []

    def second(about: str, options: Sequence[str]) -> int:
        asked.append(about)
        return 1

    with pytest.raises(OpenReading):
        start(LogFile(path=str(path)), refuse)
    begun = start(LogFile(path=str(path)), first, second)
    assert len(asked) == 1
    assert asked[0].startswith(question)
    said = begun.section.model_dump()
    assert {key: {**said[key], **value} if isinstance(value, dict) else value for key, value in keys.items()} == {
        key: said[key] for key in keys
    }
    scenario, _ = written(begun, tmp_path)
    assert isinstance(scenario.workload.interactions, LogFile)
    assert load_log(scenario.workload.interactions).content_hash == begun.log.content_hash


def test_two_readings_of_the_table_of_items_are_asked_for_too(tmp_path: Path) -> None:
    path = log(tmp_path, ["user_id", "item_id", "kind", "timestamp", "share"], rows())
    described = tmp_path / "items.csv"
    lines = ["item_id;title", *(f"p{item:03d};Кино {item}" for item in range(ITEMS))]
    described.write_bytes("\n".join(lines).encode("cp1251"))
    begun = start(LogFile(path=path, items=str(described)), refuse, lambda question, options: 1)
    assert begun.log.titles is not None
    assert begun.log.titles[3] == "Кино 3"


@pytest.mark.parametrize(
    ("encoding", "word"),
    [("cp1250", "Żółw"), ("cp1251", "Кино"), ("cp1253", "Ταινία"), ("shift_jis", "映画"), ("gb18030", "电影")],
)
def test_the_encoding_that_is_said_of_a_log_counts_for_its_items_where_theirs_is_open(
    encoding: str, word: str, tmp_path: Path
) -> None:
    held = [[f"{word} {user}", item, kind, time, share] for user, item, kind, time, share in rows()]
    path = Path(log(tmp_path, ["user_id", "item_id", "kind", "timestamp", "share"], held))
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    described = tmp_path / "items.csv"
    text = "\n".join(["item_id;title", *(f"p{item:03d};{word} {item}" for item in range(ITEMS))])
    for written_in in (encoding, "utf-8"):
        described.write_bytes(text.encode(written_in))
        begun = start(LogFile(path=str(path), encoding=encoding, items=str(described)), refuse)
        assert begun.log.titles is not None
        assert begun.log.titles[3] == f"{word} 3"
        assert begun.log.user_ids[0].startswith(word)
        scenario, _ = written(begun, tmp_path)
        assert isinstance(scenario.workload.interactions, LogFile)
        assert load_log(scenario.workload.interactions).content_hash == begun.log.content_hash


def test_times_without_a_zone_may_be_of_this_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [[user, item, kind, time.removesuffix("Z"), share] for user, item, kind, time, share in rows()]
    path = log(tmp_path, ["user_id", "item_id", "kind", "timestamp", "share"], held)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    begun = start(LogFile(path=path), lambda question, options: options.index("Asia/Tokyo"))
    assert begun.section.time.zone == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "UTC")
    assert begun.log.times.min() == start(LogFile(path=path), refuse).log.times.min() - 9 * 3600


def test_two_columns_of_dates_are_asked_for(tmp_path: Path) -> None:
    held = [[*row, "2025-01-01" if place % 2 else "2025-01-02"] for place, row in enumerate(rows())]
    path = log(tmp_path, ["kunde", "artikel", "art", "gekauft", "anteil", "angelegt"], held)
    assert column_evidence(LogFile(path=path)).log[2].others == ("angelegt",)
    begun = start(LogFile(path=path), lambda question, options: options.index("gekauft"))
    assert begun.section.columns.time == "gekauft"


@pytest.mark.parametrize(
    "header", [["user_id", "item_id", "kind", "timestamp", "share"], ["wer", "was", "k", "t", "s"]]
)
def test_rows_of_junk_are_left_out_and_counted_and_many_are_asked_about(header: list[str], tmp_path: Path) -> None:
    junk = [["k-1", "p001", "buy", "yesterday", "0.1"], ["", "p001", "buy", "2025-03-01T00:00:00Z", "0.1"]]
    held = rows()
    begun = start(LogFile(path=log(tmp_path, header, [*junk, *held, *junk])), refuse)
    assert begun.section.on_error == "skip"
    assert begun.log.problems["rows_skipped"] == 4
    assert "4 of 724 rows cannot be read" in begun.remarks[-1]
    scenario, _ = written(begun, tmp_path)
    assert isinstance(scenario.workload.interactions, LogFile)
    assert scenario.workload.interactions.on_error == "skip"
    bad = log(tmp_path, header, [*junk * 40, *held])
    with pytest.raises(InputError, match="80 of 800 rows cannot be read"):
        start(LogFile(path=bad), lambda question, options: options.index("stop"))
    assert start(LogFile(path=bad), first).log.n_events == len(held)


def test_a_log_without_header_is_read_by_places(tmp_path: Path) -> None:
    begun = start(LogFile(path=log(tmp_path, [], rows("seconds"), ",")), first)
    assert (begun.log.n_users, begun.log.n_items) == (USERS, ITEMS)
    scenario, _ = written(begun, tmp_path)
    assert isinstance(scenario.workload.interactions, LogFile)
    assert (scenario.workload.interactions.header, scenario.workload.interactions.columns.user) == ("none", 1)


def test_what_is_said_stands_in_the_scenario(tmp_path: Path) -> None:
    said = LogFile.model_validate(
        {
            "path": log(tmp_path, ["who", "what", "kind", "when", "s"], rows("german")),
            "columns": {"user": "who", "item": "what", "time": "when"},
            "where": "kind = 'buy'",
            "time": {"unit": "%d.%m.%Y %H:%M:%S", "zone": "Europe/Berlin"},
        }
    )
    begun = start(said, refuse)
    scenario, _ = written(begun, tmp_path)
    again = scenario.workload.interactions
    assert isinstance(again, LogFile)
    assert (again.where, again.time.zone, again.time.unit) == ("kind = 'buy'", "Europe/Berlin", "%d.%m.%Y %H:%M:%S")


@pytest.mark.parametrize(
    ("repeats", "timed", "split", "arrivals", "exclude"),
    [
        (False, True, "global_time", "replay", True),
        (True, True, "global_time", "replay", False),
        (False, False, "per_user", "sessions", True),
    ],
)
def test_the_log_tells_split_arrivals_and_what_is_seen(
    repeats: bool, timed: bool, split: str, arrivals: str, exclude: bool, tmp_path: Path
) -> None:
    held = [[row[0], row[1], *([row[3]] if timed else [])] for row in rows(repeats=repeats)]
    path = log(tmp_path, ["user_id", "item_id", "timestamp"] if timed else ["user_id", "item_id"], held)
    scenario, keys = written(start(LogFile(path=path), refuse), tmp_path)
    assert (scenario.workload.split.kind, scenario.workload.arrivals.kind) == (split, arrivals)
    assert scenario.workload.exclude_seen is exclude
    assert 0 < scenario.fleet.devices <= USERS
    assert keys["llm"]["list_length"] <= ITEMS


def test_categories_are_offered_as_filters(tmp_path: Path) -> None:
    begun = start(LogFile(path=log(tmp_path, ["user_id", "item_id", "what kind", "timestamp", "s"], rows())), refuse)
    text = scenario_text(begun, "shop", "fleetrec")
    assert "# where: '\"what kind\" = ''" in text or '# where: "what kind" = ' in text
    assert "buy" in text
    assert "look" in text


@pytest.mark.parametrize(
    ("header", "cells", "words"),
    [
        (["a", "b"], ["x", "y"], "users and items must be two columns of ids that recur"),
        (["a", "t"], ["p1", "2025-01-01"], "users and items must be two columns of ids that recur"),
    ],
)
def test_a_table_that_is_no_log_is_refused(header: list[str], cells: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        start(LogFile(path=log(tmp_path, header, [cells] * 50)), first)


def test_a_table_of_other_items_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("item_id,title\nx1,A\nx2,B\n")
    held = rows()
    with pytest.raises(InputError, match="describes none of the log's items"):
        start(LogFile(path=log(tmp_path, ["user_id", "item_id", "k", "timestamp", "s"], held), items=str(other)), first)


@pytest.mark.parametrize(("path", "name"), [("/a/Click Log-2025.csv.gz", "click_log_2025"), ("日志.csv", "my_log")])
def test_a_scenario_is_named_after_its_log(path: str, name: str) -> None:
    assert default_name(path) == name
