"""The live view: on a terminal, after a while, and only then."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from fleetrec.models.early_stopping import train_epochs
from fleetrec.models.runtime.progress import Lines, LiveView, RichProgress, in_words


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=140)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_work_that_ends_within_two_seconds_shows_nothing() -> None:
    console, clock = terminal(), Clock()
    view = LiveView(console, "simulating", 100, clock)
    clock.now = 1.9
    view.advance(99)
    view.show({"queue": "3"})
    view.end()
    assert written(console) == ""
    assert not view.watched


def test_longer_work_shows_how_far_it_is_how_fast_and_how_long_it_takes() -> None:
    console, clock = terminal(), Clock()
    view = LiveView(console, "simulating", 1000, clock, at_most=True)
    clock.now = 10.0
    view.advance(250, "1 failed")
    view.show({"queue": "3", "NDCG@10 so far": "0.1234"})
    with console.capture() as shown:
        console.print(view)
    view.end()
    text = shown.get()
    for part in (
        "simulating",
        "250/1,000",
        "25/s",
        "at most 30 s left",
        "1 failed",
        "queue 3",
        "NDCG@10 so far 0.1234",
    ):
        assert part in text  # 250 in 10 s: 25 a second, so 750 more take 30 s


def test_output_that_goes_to_a_file_holds_nothing_of_it() -> None:
    console = Console(file=io.StringIO())
    with RichProgress(console).task("runs", 3) as task:
        assert not task.watched
        task.advance(3)
        task.show({"failed": "1"})
    assert written(console) == ""


def test_work_of_minutes_that_nobody_watches_tells_soon_how_long_it_takes_and_then_a_line_a_minute() -> None:
    file, clock = io.StringIO(), Clock()
    task = Lines(file, "training item_lm", 1000, clock)
    for second in range(1, 201):
        clock.now = float(second)
        task.advance(2, f"loss {second}")
    assert file.getvalue().splitlines() == [
        "training item_lm: 20/1,000, 8 min 10 s left, loss 10",  # 2 a second, so 980 more take 490 s
        "training item_lm: 40/1,000, 8 min 00 s left, loss 20",
        "training item_lm: 80/1,000, 7 min 40 s left, loss 40",
        "training item_lm: 160/1,000, 7 min 00 s left, loss 80",
        "training item_lm: 280/1,000, 6 min 00 s left, loss 140",
        "training item_lm: 400/1,000, 5 min 00 s left, loss 200",
    ]


def test_a_training_tells_how_good_it_is_so_far_in_every_line_and_after_how_many_epochs_it_ends_at_the_latest() -> None:
    file, clock = io.StringIO(), Clock()
    task = Lines(file, "training sasrec", 300, clock, at_most=True)
    scores = iter([{"ndcg@10": 0.0}, {"ndcg@10": 0.2}, {"ndcg@10": 0.1}, {"ndcg@10": 0.1}])

    def learn(epoch: int, fallen: int) -> float:
        for _ in range(100):
            clock.now += 1.0
            task.advance(1)
        return 1.5

    train_epochs(torch.nn.Linear(1, 1), 3, 3, learn, lambda: next(scores), task)
    after_second = "after epoch 2 of at most 3: loss 1.500, ndcg@10 0.1000, best 0.2000"
    after_first = "after epoch 1 of at most 3: loss 1.500, ndcg@10 0.2000, best 0.2000"
    assert file.getvalue().splitlines() == [
        "training sasrec: 10/300, at most 4 min 50 s left",
        "training sasrec: 20/300, at most 4 min 40 s left",
        "training sasrec: 40/300, at most 4 min 20 s left",
        "training sasrec: 80/300, at most 3 min 40 s left",
        f"training sasrec: 140/300, at most 2 min 40 s left, {after_first}",
        f"training sasrec: 200/300, at most 1 min 40 s left, {after_first}",
        f"training sasrec: 260/300, at most 40 s left, {after_second}",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (18_420, "5 h 07 min"),
        (86_400, "24 h 00 min"),
        (270_000, "3 d 3 h"),
    ],
)
def test_times_are_told_in_two_places(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
    assert in_words(float(np.float64(seconds))) == words
