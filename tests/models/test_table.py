"""A table of answers against logs small enough to read off what each query must get."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fleetrec.models.llm.table import Missing, TableCandidates, check_table
from fleetrec.models.runtime.errors import InputError


@dataclass(frozen=True)
class SmallLog:
    """User "a" has items p q r s p, user 7 has items q r, at 0, 10, 20, ... s after a start of their own."""

    user_ids: NDArray[Any] = field(default_factory=lambda: np.array(["a", "7"], dtype=object))
    item_ids: NDArray[Any] = field(default_factory=lambda: np.array(["p", "q", "r", "s"], dtype=object))
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.array([0, 5, 7]))
    items: NDArray[np.int32] = field(default_factory=lambda: np.array([0, 1, 2, 3, 0, 1, 2], dtype=np.int32))
    times: NDArray[np.float64] = field(
        default_factory=lambda: 1.6e9 + np.array([0.0, 10.0, 10.0, 20.0, 30.0, 100.0, 110.0])
    )
    clock: str = "absolute"


@dataclass(frozen=True)
class Config:
    path: str
    missing: Missing = "fail_request"
    max_invalid: float = 0.0


def rows(*lists: tuple[Any, Any, str], as_of: str = "as_of") -> pd.DataFrame:
    """A table from (user, as_of, "best second ...") with ranks from 1."""
    flat = [(user, at, item, rank) for user, at, items in lists for rank, item in enumerate(items.split(), start=1)]
    return pd.DataFrame(flat, columns=["user_id", as_of, "item_id", "rank"])


def source(
    tmp_path: Path, table: pd.DataFrame, log: Any = None, missing: Missing = "fail_request", max_invalid: float = 0.0
) -> TableCandidates:
    path = tmp_path / "answers.parquet"
    table.to_parquet(path)
    return TableCandidates(Config(str(path), missing, max_invalid), log or SmallLog(), 3)


def ask(candidates: TableCandidates, *queries: tuple[int, int]) -> list[list[int]]:
    users, as_of = np.array(queries).T
    return candidates.lists(users, as_of).items.tolist()


def test_a_query_gets_its_list_best_first_cut_or_padded_to_the_asked_length(tmp_path: Path) -> None:
    table = rows(("a", 2, "s p q r"), ("7", 0, "r")).sample(frac=1, random_state=0)
    assert ask(source(tmp_path, table), (1, 0), (0, 2)) == [[2, -1, -1], [3, 0, 1]]


def test_scores_order_a_list_downward_as_ranks_do_upward(tmp_path: Path) -> None:
    table = rows(("a", 2, "s p q")).rename(columns={"rank": "score"})
    assert ask(source(tmp_path, table), (0, 2)) == [[1, 0, 3]]


@pytest.mark.parametrize("user", [7, 7.0, "7"])
def test_labels_match_whether_they_are_written_as_numbers_or_text(tmp_path: Path, user: Any) -> None:
    assert ask(source(tmp_path, rows((user, 0, "r p"))), (1, 0)) == [[2, 0, -1]]


def test_an_unknown_item_and_a_repeated_one_are_invalid_at_their_places(tmp_path: Path) -> None:
    candidates = source(tmp_path, rows(("a", 2, "s zzz s")), max_invalid=0.5)
    assert ask(candidates, (0, 2)) == [[3, -1, -1]]
    assert candidates.table.counts["unknown_items"] == 1
    assert candidates.table.counts["repeated_items"] == 1
    with pytest.raises(InputError, match=r"33.3% of its items"):
        source(tmp_path, rows(("a", 2, "s zzz s")), max_invalid=0.3)


def test_a_missing_list_is_an_error_or_an_older_list_or_none_as_asked(tmp_path: Path) -> None:
    table = rows(("a", 1, "s"), ("a", 3, "q"))
    users, as_of = np.array([0, 0, 0, 1]), np.array([0, 2, 4, 1])
    none = source(tmp_path, table).lists(users, as_of)
    assert not none.found.any()
    assert (none.items == -1).all()
    older = source(tmp_path, table, missing="previous").lists(users, as_of)
    assert older.found.tolist() == [False, True, True, False]  # nobody lends a list to another user
    assert older.items[:, 0].tolist() == [-1, 3, 1, -1]
    assert older.as_of.tolist()[1:3] == [1, 3]
    with pytest.raises(InputError, match=r"no list for user 'a' as of 0 .*missing"):
        source(tmp_path, table, missing="error").lists(users, as_of)


def test_a_time_stands_for_the_last_event_not_later(tmp_path: Path) -> None:
    start = 1_600_000_000
    table = rows(("a", start + 10, "s"), ("a", start + 29, "p"), ("a", start - 1, "q"), as_of="as_of_time")
    # events 1 and 2 share the time 10: a list made then has seen both
    expected = [[3, -1, -1], [0, -1, -1], [1, -1, -1]]
    queries = [(0, 2), (0, 3), (0, -1)]
    assert ask(source(tmp_path, table), *queries) == expected
    iso = table.assign(as_of_time=pd.to_datetime(table.as_of_time, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    milliseconds = table.assign(as_of_time=table.as_of_time * 1000)
    stamps = table.assign(as_of_time=pd.to_datetime(table.as_of_time, unit="s"))
    for other in (iso, milliseconds, stamps):
        assert ask(source(tmp_path, other), *queries) == expected


def test_of_two_lists_that_saw_the_same_events_the_later_one_stands(tmp_path: Path) -> None:
    start = 1_600_000_000
    candidates = source(tmp_path, rows(("a", start + 21, "s"), ("a", start + 25, "p"), as_of="as_of_time"))
    assert ask(candidates, (0, 3)) == [[0, -1, -1]]
    assert candidates.table.counts["replaced_lists"] == 1


def test_tokens_and_latency_speak_of_the_whole_list(tmp_path: Path) -> None:
    table = rows(("a", 2, "s p"), ("7", 0, "r")).assign(prompt_tokens=[120, 120, 80], latency_s=[0.5, 0.5, np.nan])
    lists = source(tmp_path, table).lists(np.array([1, 0, 0]), np.array([0, 2, 3]))
    assert lists.output_tokens is None
    np.testing.assert_array_equal(lists.prompt_tokens, [80, 120, np.nan])
    np.testing.assert_array_equal(lists.latency_s, [np.nan, 0.5, np.nan])


def test_rows_of_unknown_users_and_of_times_past_the_log_are_counted(tmp_path: Path) -> None:
    candidates = source(tmp_path, rows(("nobody", 0, "p"), ("a", 5, "q"), ("a", 4, "r")), max_invalid=0.4)
    assert candidates.table.counts["unknown_user_rows"] == 1
    assert candidates.table.counts["beyond_log_rows"] == 1
    with pytest.raises(InputError, match=r"33.3% of its rows name users"):
        source(tmp_path, rows(("nobody", 0, "p"), ("a", 5, "q"), ("a", 4, "r")), max_invalid=0.3)


GOOD = rows(("a", 1, "s p q"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (GOOD.assign(rank=[1, np.nan, 3]), r"row 1 .*rank is not a number"),
        (GOOD.assign(rank=["1", "two", "3"]), r"row 1 .*rank"),
        (GOOD.assign(as_of=[1.0, 1.5, 1.0]), r"row 1 .*as_of is not a position"),
        (GOOD.assign(as_of=-2), r"row 0 .*as_of is not a position"),
        (GOOD.assign(user_id=["a", None, "a"]), r"row 1 .*user_id is empty"),
        (GOOD.assign(item_id=["s", "p", None]), r"row 2 .*item_id is empty"),
        (GOOD.assign(prompt_tokens=[5, 5, -1]), r"row 2 .*prompt_tokens"),
        (GOOD.drop(columns="rank"), "no column rank or score"),
        (GOOD.drop(columns="as_of"), "no column as_of or as_of_time"),
        (GOOD.iloc[:0], "empty"),
        (GOOD.rename(columns={"as_of": "as_of_time"}).assign(as_of_time="soon"), r"row 0 .*as_of_time"),
    ],
)
def test_a_bad_table_is_refused_in_one_line_that_names_the_row_or_column(
    tmp_path: Path, table: pd.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        source(tmp_path, table)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_parquet_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("user_id,item_id")
    for name, message in [("text.parquet", "Parquet"), ("none.parquet", "no such table"), (".", "Parquet|directory")]:
        with pytest.raises(InputError, match=message):
            TableCandidates(Config(str(tmp_path / name)), SmallLog(), 3)


def asked_at(start: int = 1_600_000_000) -> pd.DataFrame:
    return rows(("a", start + 10, "s"), ("a", start + 29, "p"), ("7", start + 100, "q"), as_of="as_of_time")


@pytest.mark.parametrize(
    ("as_written", "reading"),
    [
        (lambda t: t, "seconds since 1970"),
        (lambda t: t * 1000, "milliseconds since 1970"),
        (lambda t: t * 10**6, "microseconds since 1970"),
        (lambda t: t * 10**9 + 1, "nanoseconds since 1970"),
        (lambda t: (t * 10**9).astype(float), "nanoseconds since 1970"),
        (lambda t: t.astype(str), "seconds since 1970"),
        (lambda t: (t * 1000).astype(str) + " ", "milliseconds since 1970"),
        (lambda t: [Decimal(int(one)) for one in t], "seconds since 1970"),
        (lambda t: pd.to_datetime(t, unit="s").dt.strftime("%Y%m%d%H%M%S").astype(int), "digits like %Y%m%d%H%M%S"),
        (lambda t: t / 86400 + 25569 + 1e-7, "days of a spreadsheet"),
        (lambda t: pd.to_datetime(t, unit="s"), "time stamps"),
        (lambda t: pd.to_datetime(t, unit="s", utc=True).dt.tz_convert("Asia/Kolkata"), "time stamps"),
        (lambda t: pd.to_datetime(t, unit="s").dt.strftime("%Y-%m-%d %H:%M:%S UTC"), "ISO times"),
        (lambda t: pd.to_datetime(t, unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S+00"), "ISO times"),
    ],
    ids=[
        *("s", "ms", "us", "ns", "ns as floats", "s as text", "ms as text", "decimals", "digits", "days"),
        *("time stamps", "time stamps of a zone", "UTC", "+00"),
    ],
)
def test_times_are_read_in_the_one_unit_that_makes_dates_of_all(
    tmp_path: Path, as_written: Callable[[Any], Any], reading: str
) -> None:
    table = asked_at()
    candidates = source(tmp_path, table.assign(as_of_time=as_written(table.as_of_time)))
    assert ask(candidates, (0, 2), (0, 3)) == [[3, -1, -1], [0, -1, -1]]
    assert candidates.table.times.startswith(reading)
    assert "2020-09-13 12:26:50 to 2020-09-13 12:28:" in candidates.table.times


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (
            [1_600_000_010, 1_600_000_029_000, 1_600_000_100],
            "row 1 .* reads as milliseconds since 1970 and other rows as",
        ),
        ([20_200, 20_300, 20_400], r"row 0 .* is neither seconds since 1970 nor an ISO time.* \(3 such rows"),
        (
            [16e23, 16e23, 16e23],
            "is neither seconds since 1970 nor an ISO time, nor a date of our time in another unit",
        ),
        (["1600000010", "2020-09-13T12:27:09Z", "1600000000"], "row 1 .*, and other rows are numbers"),
        (["1.6E+18", "1.6E+18", "1.6E+18"], "'1.6E[+]18' has lost its last digits"),
        (
            ["2020-09-13T12:27:09Z", "2020-09-13T12:27:09", "2020-09-13T12:27:09Z"],
            "row 1 .* has no zone and other rows",
        ),
        (["13/09/2020 12:27"] * 3, "is neither seconds since 1970 nor an ISO time"),
        (pd.to_datetime([1_600_000_010] * 3), r"is 1970-01-01 00:00:01, no date of 1995 to 20.. \(another unit"),
        (np.array([16e8] * 3, dtype=np.float32), "as_of_time is float32"),
    ],
    ids=[
        "mixed",
        "small",
        "large",
        "text and numbers",
        "digits lost",
        "zones",
        "days first",
        "unit forgotten",
        "short",
    ],
)
def test_times_of_no_one_reading_are_refused(tmp_path: Path, times: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        source(tmp_path, asked_at().assign(as_of_time=times))
    assert "\n" not in str(error.value)


def test_numbers_that_two_units_make_dates_of_are_not_guessed(tmp_path: Path) -> None:
    log = SmallLog(times=SmallLog().times - 1_600_000_000 + 20_200_000)  # in August 1970
    table = rows(("a", 20_200_110, "s"), as_of="as_of_time")
    with pytest.raises(
        InputError, match=r"is 1970-08-22 19:08:30 .seconds since 1970. or 2020-01-10 .*; write ISO times"
    ):
        source(tmp_path, table, log)


def test_a_position_and_a_time_that_contradict_are_refused(tmp_path: Path) -> None:
    both = asked_at().assign(as_of=[2, 3, 0])
    assert ask(source(tmp_path, both), (0, 2)) == [[3, -1, -1]]
    with pytest.raises(InputError, match=r"row 1 .*as_of is 4, and as_of_time says 3"):
        source(tmp_path, both.assign(as_of=[2, 4, 0]))


def test_rows_that_are_there_twice_count_once(tmp_path: Path) -> None:
    table = rows(("a", 2, "s p q"), ("7", 0, "r"))
    twice = source(tmp_path, pd.concat([table, table]))
    assert ask(twice, (1, 0), (0, 2)) == [[2, -1, -1], [3, 0, 1]]
    assert twice.table.counts["repeated_rows"] == 4
    assert twice.table.counts["repeated_items"] == 0
    with pytest.raises(InputError, match=r"row 4 .*item_id is empty"):  # counted in the file as it is
        source(tmp_path, pd.concat([table, table.assign(item_id=None)]))


def test_several_lists_of_one_query_are_not_merged(tmp_path: Path) -> None:
    two = pd.concat([rows(("a", 2, "s p q")), rows(("a", 2, "r s p"))])
    with pytest.raises(InputError, match="1 lists hold their ranks more than once, the first that of user a as of 2"):
        source(tmp_path, two)
    assert ask(source(tmp_path, rows(("a", 2, "s p q")).assign(rank=[1, 1, 2])), (0, 2)) == [[0, 3, 1]]  # a tie
    ties = pd.concat(
        [rows(("a", at, "s p q r")).assign(rank=rank) for at, rank in enumerate([[1, 1, 2, 2], [1, 2, 2, 3]])]
    )
    assert ask(source(tmp_path, ties), (0, 1)) == [[3, 0, 1]]


def scored(*lists: tuple[Any, Any, str], by: int) -> pd.DataFrame:
    """The same with scores, one list's apart from another's."""
    table = rows(*lists)
    return table.assign(score=1.0 / (table["rank"] + by / 10)).drop(columns="rank")


def test_several_scored_lists_of_one_query_are_not_merged(tmp_path: Path) -> None:
    first, again = scored(("a", 2, "s p q"), ("7", 0, "r s"), by=0), scored(("a", 2, "r s p"), ("7", 0, "s p"), by=1)
    with pytest.raises(InputError, match="2 of 2 lists score items twice, and otherwise, the first that of user"):
        source(tmp_path, pd.concat([first, again]))
    some = pd.concat([first, scored(("a", 2, "s"), by=3)])  # one model's answer may name an item twice
    assert ask(source(tmp_path, some), (0, 2)) == [[3, -1, 0]]
    assert source(tmp_path, some).table.counts["repeated_items"] == 1


@pytest.mark.parametrize("told", ["prompt_tokens", "output_tokens", "latency_s"])
def test_what_speaks_of_a_whole_list_is_one_number_in_it(told: str, tmp_path: Path) -> None:
    table = rows(("a", 2, "s p q"), ("7", 0, "r s"))
    for values in ([5.0, 5, 5, 7, 7], [np.nan, 5, 5, 7, np.nan]):
        assert ask(source(tmp_path, table.assign(**{told: values})), (0, 2)) == [[3, 0, 1]]
    with pytest.raises(InputError, match=f"{told} is 6 and another number in one list, that of user a as of 2"):
        source(tmp_path, table.assign(**{told: [5.0, 5, 6, 7, 7]}))


def test_times_need_a_calendar(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clock is relative; give as_of"):
        source(tmp_path, rows(("a", 5, "s"), as_of="as_of_time"), SmallLog(clock="relative"))


def long_log() -> SmallLog:
    """40 users of 30 events; no user has an item twice, so an item in a list tells which event it is."""
    order = np.stack([np.random.default_rng(user).permutation(200)[:30] for user in range(40)])
    users, items = np.arange(40).astype(object), np.arange(200).astype(object)
    return SmallLog(users, items, np.arange(41) * 30, order.ravel().astype(np.int32), np.zeros(1200), "none")


@pytest.mark.parametrize(
    ("ahead", "verdict"),
    [
        ((1, 1, 1, 2, 2), "no sign"),  # the next item most of the time, the one after it often
        ((2, 2, 2, 3, 3), "one interaction later"),
        ((1, 1, 1, 1, 1), "have seen the item they are to predict"),
        ((0, 0, 0, 1, 2), "no leak, but the item at as_of itself"),
    ],
)
def test_a_table_shifted_by_one_interaction_is_noticed(tmp_path: Path, ahead: tuple[int, ...], verdict: str) -> None:
    log = long_log()
    lists = [
        (user, at, str(log.items[user * 30 + at + ahead[(user + at) % 5]])) for user in range(40) for at in range(26)
    ]
    path = tmp_path / "answers.parquet"
    rows(*lists).to_parquet(path)
    report = check_table(path, log)
    assert verdict in report["verdict"]
    for step in range(3):
        name = "as_of" if step == 0 else f"as_of+{step}"
        assert report["recall"][name]["recall@10"] == pytest.approx(ahead.count(step) / 5, abs=0.01)


def test_the_check_counts_lists_coverage_and_what_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "answers.parquet"
    rows(("a", 0, "s zz s p"), ("a", 3, "p"), ("7", 1, "p q")).to_parquet(path)
    report = check_table(path, SmallLog())
    assert (report["rows"], report["lists"], report["users"]) == (7, 3, 2)
    assert report["invalid_share"] == pytest.approx(2 / 7)
    assert report["list_length"] == {"min": 1, "p50": 2, "max": 4}
    assert report["coverage"]["log"] == pytest.approx(2 / 5)  # nothing follows position 1 of user 7
    assert report["verdict"].startswith("14.3% of its items are not in the log")
    rows(("a", 0, "s p"), ("7", 1, "p q")).to_parquet(path)
    assert check_table(path, SmallLog())["verdict"].startswith("too few lists (1)")
    rows(("a", 0, "s p s p"), ("7", 1, "p q")).to_parquet(path)
    assert check_table(path, SmallLog())["verdict"].startswith("33.3% of its items stand in their list already")
    rows(("a", 0, "s p"), ("nobody", 1, "p q")).to_parquet(path)
    assert check_table(path, SmallLog())["verdict"].startswith("50.0% of its rows name users that the log does not")
