import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections import GlobalTimeSplit, PerUserSplit
from fleetrec.simulator.workload.splitting import split_log, training_set
from tests.simulator.workload.logs import DAY_0, make_log

DAY = 86_400.0


def test_a_global_cut_streams_what_is_at_or_after_it_and_teaches_only_what_is_before() -> None:
    log = make_log([[1e9, 1e9 + 1, 1e9 + 5, 1e9 + 9], [1e9 + 2, 1e9 + 3, 1e9 + 5]])
    split = split_log(log, GlobalTimeSplit(at="2001-09-09T01:46:45Z", min_history=2))  # 1e9 + 5
    assert split.cut_time == 1e9 + 5
    assert split.train_end.tolist() == [2, 2]
    assert split.history.tolist() == [2, 2]
    assert split.counts["streamed_events"] == 3
    assert split.future_share == 0


def test_users_of_a_global_cut_are_streamed_onboarded_ended_or_too_short_and_all_are_counted() -> None:
    before, after = [1e9 + i for i in range(6)], [1e9 + 100 + i for i in range(6)]
    users = {
        "streamed": before[:3] + after[:1],
        "onboarded": before[:1] + after[:4],
        "newcomer": after[:5],
        "ended": before[:5],
        "ended_short": before[:1],
        "too_short": after[:3],
    }
    split = split_log(make_log(list(users.values())), GlobalTimeSplit(at="2001-09-09T01:47:30Z", min_history=3))
    assert split.streamed.tolist() == [True, True, True, False, False, False]
    assert split.history.tolist() == [3, 3, 3, 5, 1, 3]
    assert split.train_end.tolist() == [3, 1, 0, 5, 1, 0]
    counts = split.counts
    assert (counts["streamed"], counts["onboarded_after_cut"]) == (3, 2)
    assert (counts["ended_before_cut"], counts["too_short"]) == (2, 1)
    assert counts["streamed"] + counts["ended_before_cut"] + counts["too_short"] == counts["users"]


def test_a_cut_at_a_share_never_splits_events_of_the_same_moment() -> None:
    log = make_log([[DAY_0 + DAY * (i // 4) for i in range(20)]])
    split = split_log(log, GlobalTimeSplit(at=0.5))
    assert split.history.tolist() == [8]


def test_the_last_events_of_each_user_are_streamed_as_far_as_the_history_allows() -> None:
    split = split_log(make_log([range(30), range(12), range(6), range(5)], "relative"), PerUserSplit(last=10))
    assert split.history.tolist() == [20, 5, 5, 5]
    assert split.streamed.tolist() == [True, True, True, False]
    assert split.counts["shortened"] == 2
    assert split.counts["too_short"] == 1
    assert split.train_end.tolist() == split.history.tolist()


def test_the_future_share_counts_other_users_training_events_that_are_later() -> None:
    # Streamed: 5 and 100. Training: 1..4 and 11..14. Later than 5: half of them; later than 100: none.
    log = make_log([[1, 2, 3, 4, 5], [11, 12, 13, 14, 100]], "shared")
    assert split_log(log, PerUserSplit(last=1, min_history=2)).future_share == pytest.approx(0.25)
    unknown = split_log(make_log([[1, 2, 3], [11, 12, 13]], "relative"), PerUserSplit(last=1, min_history=2))
    assert np.isnan(unknown.future_share)
    assert "cannot tell" in unknown.description


def test_what_is_held_out_lies_before_the_stream_and_is_the_newest() -> None:
    log = make_log([range(60)] * 40 + [range(7)] * 10, "relative")
    split = split_log(log, PerUserSplit(last=20))
    data = training_set(split, seed=3, valid_users=8, valid_tail=10)
    held_out = data.valid_end - data.fit_end
    assert (data.valid_end == split.train_end).all()
    assert set(held_out[held_out > 0].tolist()) == {8}  # 40 // 5
    assert (held_out > 0).sum() == 8
    assert (training_set(split, seed=3, valid_users=8, valid_tail=10).fit_end == data.fit_end).all()
    assert (training_set(split, seed=4, valid_users=8, valid_tail=10).fit_end != data.fit_end).any()


def test_changing_the_stream_changes_nothing_that_models_see() -> None:
    log = make_log([[1e9 + i for i in range(30)]] * 8)
    other = make_log([[1e9 + i for i in range(30)]] * 8)
    split, changed = (split_log(x, GlobalTimeSplit()) for x in (log, other))
    other.items[other.times >= split.cut_time] = 7
    assert training_set(split, 1, 512, 10).content_hash == training_set(changed, 1, 512, 10).content_hash


@given(
    st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=12), min_size=1, max_size=8),
    st.integers(1, 6),
    st.one_of(st.floats(0.05, 0.95), st.integers(1, 15)),
)
def test_every_event_is_known_or_streamed_and_nothing_learns_from_the_stream(
    users: list[list[int]], min_history: int, how: float
) -> None:
    log = make_log([sorted(user) for user in users], "shared")
    section = GlobalTimeSplit(at=how, min_history=min_history)
    try:
        split = split_log(log, section if isinstance(how, float) else PerUserSplit(last=how, min_history=min_history))
    except InputError:
        return
    assert (split.train_end <= split.history).all()
    assert (split.history <= log.lengths).all()
    assert ((split.history < log.lengths) == split.streamed).all()
    assert (split.history[split.streamed] >= min_history).all()
    if split.cut_time is not None:
        position = np.arange(log.n_events) - log.offsets[log.user_of_event]
        trained = position < split.train_end[log.user_of_event]
        streamed = position >= split.history[log.user_of_event]
        assert (log.times[trained] < split.cut_time).all()
        assert (log.times[streamed] >= split.cut_time).all()


@pytest.mark.parametrize(
    ("clock", "section", "said"),
    [
        ("relative", GlobalTimeSplit(), "kind: per_user"),
        ("none", GlobalTimeSplit(), "kind: per_user"),
        ("absolute", GlobalTimeSplit(at=1.5), "between 0 and 1"),
        ("absolute", GlobalTimeSplit(at="next week"), "ISO time"),
        ("absolute", GlobalTimeSplit(at="1999-01-01"), "later workload.split.at"),
        ("absolute", GlobalTimeSplit(at="2999-01-01"), "earlier workload.split.at"),
        ("absolute", PerUserSplit(min_history=30), "smaller workload.split.min_history"),
        ("shared", GlobalTimeSplit(at="2020-01-01"), "share such as 0.8"),
    ],
)
def test_a_split_that_cannot_be_is_refused_with_the_way_out(clock, section, said) -> None:  # type: ignore[no-untyped-def]
    log = make_log([[DAY_0 + DAY * i for i in range(20)]], clock)
    with pytest.raises(InputError, match=said):
        split_log(log, section)
