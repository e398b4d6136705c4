from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import (
    DiurnalArrivals,
    EmpiricalArrivals,
    GlobalTimeSplit,
    PerUserSplit,
    PoissonArrivals,
    ReplayArrivals,
    SessionArrivals,
)
from fleetrec.simulator.workload.arrivals import Stream, arrival_times, gap_summary, gaps_of
from fleetrec.simulator.workload.splitting import split_log
from tests.simulator.workload.logs import DAY_0, make_log

HOUR, DAY = 3600.0, 86_400.0


def stream_of(
    times: Sequence[Sequence[float]],
    arrivals: Any,
    clock: Any = "absolute",
    split: Any = None,
    users: Sequence[int] | None = None,
    horizon_s: float | None = None,
    seed: int = 1,
) -> Stream:
    chosen = split_log(make_log(times, clock), split or PerUserSplit(last=3, min_history=1))
    who = np.flatnonzero(chosen.streamed) if users is None else np.asarray(users)
    return arrival_times(chosen, arrivals, who, horizon_s, Draws(seed))


def of_device(stream: Stream, device: int) -> list[float]:
    return stream.t_s[stream.device_offsets[device] : stream.device_offsets[device + 1]].tolist()


def test_replay_of_a_global_cut_keeps_the_calendar_with_the_cut_as_time_zero() -> None:
    times = [[DAY_0, DAY_0 + 10, DAY_0 + 25], [DAY_0 + 5, DAY_0 + 20, DAY_0 + 20, DAY_0 + 40]]
    at = "2017-07-14T02:40:20Z"  # DAY_0 + 20
    stream = stream_of(times, ReplayArrivals(), split=GlobalTimeSplit(at=at, min_history=1))
    assert of_device(stream, 0) == [5]
    assert of_device(stream, 1) == [0, 0, 20]
    assert stream.step.tolist() == [2, 1, 2, 3]
    assert stream.horizon_s == 20
    assert stream.calendar
    assert stream.zero_s == DAY_0 + 20
    assert stream.start_s.tolist() == [0, 0]


def test_a_device_whose_user_appears_after_the_cut_starts_when_its_history_is_complete() -> None:
    times = [[DAY_0, DAY_0 + 100, DAY_0 + 200], [DAY_0 + 130, DAY_0 + 150, DAY_0 + 170]]
    stream = stream_of(times, ReplayArrivals(), split=GlobalTimeSplit(at="2017-07-14T02:41:40Z", min_history=2))
    assert stream.start_s.tolist() == [0, 50]
    assert of_device(stream, 1) == [70]


def test_replay_of_last_events_starts_at_the_first_of_the_fleet_and_devices_join_after_their_history() -> None:
    times = [[DAY_0, DAY_0 + 10, DAY_0 + 20, DAY_0 + 30], [DAY_0 + 500, DAY_0 + 510, DAY_0 + 511, DAY_0 + 530]]
    stream = stream_of(times, ReplayArrivals())
    assert of_device(stream, 0) == [0, 10, 20]
    assert of_device(stream, 1) == [500, 501, 520]
    assert stream.start_s.tolist() == [0, 490]
    assert stream.zero_s == DAY_0 + 10


def test_without_a_common_clock_each_device_starts_at_its_newest_known_event() -> None:
    stream = stream_of([[0, 10, 20, 50], [0, 500, 500, 501]], ReplayArrivals(), clock="relative")
    assert of_device(stream, 0) == [10, 20, 50]
    assert of_device(stream, 1) == [500, 500, 501]
    assert not stream.calendar
    assert stream.start_s.tolist() == [0, 0]


def test_scaling_shortens_only_what_exceeds_a_pause_unless_all_is_asked_for() -> None:
    log = [[DAY_0, DAY_0 + 60, DAY_0 + 60, DAY_0 + 60 + 1800 + 1000]]
    pauses = stream_of(log, ReplayArrivals(time_scale=0.1))
    assert of_device(pauses, 0) == pytest.approx([0, 0, 1800 + 100])
    assert not pauses.calendar
    everything = stream_of(log, ReplayArrivals(time_scale=0.1, scale="all"))
    assert of_device(everything, 0) == pytest.approx([0, 0, 280])
    assert everything.calendar


@pytest.mark.parametrize(
    ("arrivals", "clock"),
    [
        (ReplayArrivals(), "shared"),
        (ReplayArrivals(time_scale=0.5, scale="all"), "absolute"),
        (ReplayArrivals(shift="uniform"), "absolute"),
        (PoissonArrivals(per_day=10), "absolute"),
    ],
    ids=["no dates", "scaled", "shifted", "generated"],
)
def test_what_is_not_replayed_on_the_logs_own_dates_has_no_date(arrivals: Any, clock: Any) -> None:
    assert stream_of([[DAY_0, DAY_0 + 10, DAY_0 + 20, DAY_0 + 60]], arrivals, clock=clock).zero_s is None


def test_ties_stay_ties_and_order_stays_order_under_every_replay() -> None:
    rng = np.random.default_rng(5)
    times = [np.sort(DAY_0 + rng.integers(0, 40, 60) * 977.3).tolist() for _ in range(20)]
    plain = stream_of(times, ReplayArrivals(), split=PerUserSplit(last=40))
    ties = np.diff(plain.t_s) == 0
    for section in (
        ReplayArrivals(time_scale=0.3),
        ReplayArrivals(time_scale=0.3, scale="all"),
        ReplayArrivals(shift="uniform"),
        ReplayArrivals(time_scale=0.3, shift="uniform"),
    ):
        stream = stream_of(times, section, split=PerUserSplit(last=40))
        inside = np.ones(len(stream.t_s) - 1, dtype=bool)
        inside[stream.device_offsets[1:-1] - 1] = False
        gaps = np.diff(stream.t_s)[inside]
        assert (gaps >= 0).all()
        assert ((gaps == 0) == ties[inside]).all()


def test_shifted_streams_are_moved_whole_within_the_horizon_and_clones_get_moments_of_their_own() -> None:
    users = [0] * 500
    stream = stream_of(
        [[DAY_0, DAY_0 + 5, DAY_0 + 15, DAY_0 + 115]], ReplayArrivals(shift="uniform"), users=users, horizon_s=1000
    )
    starts = np.array([of_device(stream, device)[0] for device in range(500)])
    assert np.allclose(np.diff(stream.t_s.reshape(500, 3)), [10, 100])
    assert len(set(starts.tolist())) == 500
    assert stream.t_s.max() <= 1000
    # Uniform over [0, 890]: the mean of 500 has a standard error of 11.5.
    assert abs(starts.mean() - 445) < 4 * 11.5
    assert starts.max() > 870
    assert not stream.calendar


def test_interactions_after_the_horizon_are_dropped_and_counted() -> None:
    stream = stream_of([[DAY_0, DAY_0 + 10, DAY_0 + 20, DAY_0 + 60]], ReplayArrivals(), horizon_s=15)
    assert of_device(stream, 0) == [0, 10]
    assert stream.dropped_after_horizon == 1
    assert stream.horizon_s == 15


def test_poisson_gaps_are_exponential_with_the_given_rate() -> None:
    stream = stream_of([range(401)] * 50, PoissonArrivals(per_day=24), "none", PerUserSplit(last=400, min_history=1))
    gaps = np.diff(stream.t_s.reshape(50, 400), prepend=0.0)
    assert gaps.mean() == pytest.approx(HOUR, rel=4 / np.sqrt(20_000))
    assert gaps.std() == pytest.approx(HOUR, rel=0.04)
    assert (gaps > HOUR).mean() == pytest.approx(np.exp(-1), abs=0.015)


def test_diurnal_arrivals_have_the_daily_mean_and_the_peak_of_their_cycle() -> None:
    section = DiurnalArrivals(per_day=50, peak_hour=6, peak_to_mean=3)
    stream = stream_of([range(502)] * 100, section, "none", PerUserSplit(last=500, min_history=1))
    whole = stream.t_s[stream.t_s < 8 * DAY]  # far fewer than 500 a device
    assert len(whole) == pytest.approx(100 * 50 * 8, rel=4 / np.sqrt(40_000))
    hours = np.histogram(whole % DAY / HOUR, bins=24, range=(0, 24))[0] / len(whole) * 24
    assert hours[5:7].mean() == pytest.approx(3, rel=0.06)
    assert hours.argmax() in (5, 6)


def test_sessions_have_their_mean_length_and_median_gap_and_do_not_overlap() -> None:
    section = SessionArrivals(per_day=4, events=8, gap=20, peak_to_mean=1)
    stream = stream_of([range(802)] * 40, section, "none", PerUserSplit(last=800, min_history=1))
    gaps = np.diff(stream.t_s.reshape(40, 800))
    assert (gaps >= 0).all()
    assert np.median(gaps[gaps < 10 * 60]) == pytest.approx(20, rel=0.05)
    assert (gaps > 10 * 60).mean() == pytest.approx(1 / 8, rel=0.1)  # few gaps inside reach 10 min, few breaks less
    days = stream.t_s.reshape(40, 800)[:, -1] / DAY
    assert days.mean() == pytest.approx(800 / 8 / 4, rel=0.1)


@pytest.mark.parametrize("section", [PoissonArrivals(), DiurnalArrivals(), SessionArrivals()])
def test_a_devices_generated_stream_depends_on_no_other_device_and_on_the_seed(section: Any) -> None:
    split = PerUserSplit(last=9, min_history=1)
    three = stream_of([range(10)] * 3, section, "none", split)
    one = stream_of([range(10)], section, "none", split)
    assert of_device(one, 0) == of_device(three, 0)
    assert of_device(three, 0) != of_device(three, 1)
    assert of_device(stream_of([range(10)], section, "none", split, seed=2), 0) != of_device(one, 0)


def test_gaps_are_summed_up_within_devices_only() -> None:
    stream = stream_of(
        [[DAY_0, DAY_0, DAY_0, DAY_0 + 30], [DAY_0, DAY_0 + 7000, DAY_0 + 7010, DAY_0 + 7010]], ReplayArrivals()
    )
    summary = gap_summary(gaps_of(stream))
    assert summary["median_gap_s"] == 5  # of 0, 30, 10, 0
    assert summary["mean_gap_s"] == 10
    assert summary["zero_gap_share"] == 0.5
    assert (
        gap_summary(gaps_of(stream_of([[0, 1]], ReplayArrivals(), split=PerUserSplit(last=1, min_history=1))))[
            "median_gap_s"
        ]
        is None
    )


def test_a_log_without_times_cannot_be_replayed() -> None:
    with pytest.raises(InputError, match="kind: sessions"):
        stream_of([range(5)], ReplayArrivals(), "none")


def test_own_pauses_come_again_in_their_order() -> None:
    times = [[DAY_0 + t for t in (0, 10, 30, 1000, 1007, 1500, 5000)]] * 2
    stream = stream_of(times, EmpiricalArrivals(), split=PerUserSplit(last=3, min_history=1))
    for device in range(2):
        first, *later = of_device(stream, device)
        assert 0 < first < 10  # of the oldest pause of three, which began before the run
        assert np.diff([first, *later]).tolist() == [20, 970]


def test_own_pauses_of_more_than_a_day_are_as_long_as_such_pauses_are_in_the_stream_and_end_at_the_same_hour() -> None:
    """Before the cut nobody paused for long, since the log had just begun."""
    gaps = [60.0, 1.5 * DAY, 1.25 * DAY, 60.0, 60.0, 1.25 * DAY, 60.0, 1.5 * DAY, 60.0] + [60.0, 30.3 * DAY] * 4
    times = [(DAY_0 + np.cumsum(gaps)).tolist()] * 40
    stream = stream_of(times, EmpiricalArrivals(), split=PerUserSplit(last=8, min_history=1))
    came = gaps_of(stream)
    assert (came[came <= DAY] == 60.0).all()
    assert (came[came > DAY] // DAY == 30).all()
    assert set(np.round(came[came > DAY] % DAY / DAY, 6)) == {0.25, 0.5}
    assert (came > DAY).mean() == pytest.approx(3 / 7)  # of the newest eight before the stream, but for the first


def test_with_too_short_a_history_another_user_lends_its_pauses() -> None:
    times = [[DAY_0, *(DAY_0 + 10 + t for t in (0, 5, 5, 90))], [DAY_0, *(DAY_0 + 50 + t for t in (0, 5, 5, 90))]]
    split = PerUserSplit(last=4, min_history=1)
    for section in (EmpiricalArrivals(), EmpiricalArrivals(after="others")):
        stream = stream_of(times, section, split=split)
        assert of_device(stream, 0) == of_device(stream, 1) == [0, 5, 5, 90]


def test_donors_come_about_as_often() -> None:
    lengths = [4] * 30 + [40] * 30
    times = [
        [DAY_0, *(DAY_0 + 10 + n * gap for n in range(n_events))]
        for n_events, gap in zip(lengths, [7] * 30 + [3] * 30, strict=True)
    ]
    stream = stream_of(times, EmpiricalArrivals(after="others"), split=PerUserSplit(last=40, min_history=1))
    assert np.diff(of_device(stream, 5)).tolist() == [7, 7, 7]
    assert set(np.diff(of_device(stream, 45)).tolist()) == {3}


def test_empirical_moments_do_not_depend_on_the_fleet() -> None:
    times = [[DAY_0 + t * (u + 1) for t in range(12)] for u in range(6)]
    for section in (EmpiricalArrivals(), EmpiricalArrivals(after="others")):
        whole = stream_of(times, section, split=PerUserSplit(last=4, min_history=1))
        one = stream_of(times, section, split=PerUserSplit(last=4, min_history=1), users=[0])
        assert of_device(one, 0) == of_device(whole, 0)


def test_without_times_there_are_no_pauses_to_take() -> None:
    with pytest.raises(InputError, match="has no times to take pauses from"):
        stream_of([range(10)] * 3, EmpiricalArrivals(), "none")
