"""Answers that are worked out ahead are those of one question after the other."""

import threading

import pytest

from fleetrec.models.runtime.ahead import Ahead, begun


@pytest.mark.parametrize(("threads", "beside"), [("2", True), ("2", False), ("1", True)])
def test_a_search_that_is_worked_out_ahead_finds_what_it_would_find(
    monkeypatch: pytest.MonkeyPatch, threads: str, beside: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    asked: list[float] = []

    def below_root(number: float) -> bool:
        asked.append(number)
        return number * number < 2.0

    ahead = Ahead(below_root, beside)
    low, high, needed = 0.0, 2.0, 0
    while high - low > 1e-6:
        middle = (low + high) / 2
        holds = ahead.ask(middle, (middle + high) / 2, (low + middle) / 2)
        low, high = (middle, high) if holds else (low, middle)
        needed += 1
    assert low == pytest.approx(2**0.5, abs=1e-6)
    assert (len(asked) > needed) == (beside and threads == "2")


def test_the_next_answer_is_begun_before_the_first_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    met = threading.Barrier(2, timeout=30)

    def work(question: int) -> int:
        met.wait()  # broken unless two are worked out at once
        return -question

    ahead = Ahead(work, beside=True)
    assert [ahead.ask(1, 2), ahead.ask(2)] == [-1, -2]


def test_what_was_begun_ahead_is_worked_out_once_though_it_is_asked_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    met, asked = threading.Barrier(2, timeout=30), list[int]()

    def work(question: int) -> int:
        asked.append(question)
        if question < 3:
            met.wait()
        return -question

    ahead = Ahead(work, beside=True)
    assert [ahead.ask(1, 2), ahead.ask(3), ahead.ask(2)] == [-1, -3, -2]
    assert sorted(asked) == [1, 2, 3]


def test_what_goes_wrong_is_told_to_the_one_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    ahead = Ahead(lambda question: 1 // question, beside=True)
    assert ahead.ask(1, 0) == 1
    with pytest.raises(ZeroDivisionError):
        ahead.ask(0)


@pytest.mark.parametrize(("threads", "beside"), [("2", True), ("2", False), ("1", True)])
def test_work_is_begun_at_once_where_there_are_cores_and_what_it_raises_is_raised_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, threads: str, beside: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    started, here = threading.Event(), threading.get_ident()

    def work() -> int:
        started.set()
        if threading.get_ident() != here:
            raise LookupError("found nothing")
        return 7

    answer = begun(work, beside)
    if beside and threads == "2":
        assert started.wait(30)
        with pytest.raises(LookupError, match="found nothing"):
            answer()
    else:
        assert not started.is_set()
        assert answer() == 7
