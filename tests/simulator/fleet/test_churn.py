"""Presence: stationary shares against renewal theory, timelines against interval arithmetic by hand."""

from math import inf
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.fleet.devices import FleetTable, build_fleet
from fleetrec.simulator.fleet.presence import Intervals, Presence, alternating_offline, build_presence, merged
from fleetrec.simulator.scenario.sections import AlwaysOn, Churn, Fleet, OnOff, PresenceTrace

HOUR_S = 3600.0


def fleet_of(n_devices: int) -> FleetTable:
    return build_fleet(Fleet(devices=n_devices), n_devices, Draws(1))


def intervals(*devices: list[tuple[float, float]]) -> Intervals:
    rows = np.array([(i, a, b) for i, spans in enumerate(devices) for a, b in spans], dtype=float).reshape(-1, 3)
    return Intervals.of(len(devices), rows[:, 0].astype(np.int64), rows[:, 1], rows[:, 2])


def no_outages(n_devices: int) -> Intervals:
    return intervals(*([] for _ in range(n_devices)))


def presence_of(churn: Churn, n_devices: int, horizon_s: float, seed: int = 1, start_s: float = 0.0) -> Presence:
    starts = np.full(n_devices, start_s)
    return build_presence(churn, fleet_of(n_devices), horizon_s, starts, Draws(seed), no_outages(n_devices))


def timeline(joined_s: float, left_s: float, *offline: tuple[float, float]) -> Presence:
    return Presence(np.array([joined_s]), np.array([left_s]), intervals(list(offline)))


def test_an_always_on_device_is_reachable_from_the_end_of_its_history_on() -> None:
    presence = presence_of(AlwaysOn(), 1, 100.0, start_s=5.0)
    assert not presence.reachable(0, 4.999)
    assert presence.reachable(0, 5.0)
    assert presence.reachable(0, 1e9)
    assert presence.next_reachable(0, 0.0) == 5.0
    assert presence.reachable_until(0, 7.0) == inf


def test_a_device_is_gone_from_the_start_of_an_offline_period_and_back_at_its_end() -> None:
    presence = timeline(0, 100, (10, 20), (30, 40))
    assert [presence.reachable(0, t) for t in (0, 9.9, 10, 19.9, 20, 35, 40, 99, 100)] == [
        True, True, False, False, True, False, True, True, False,
    ]  # fmt: skip
    assert presence.next_reachable(0, 15) == 20
    assert presence.next_reachable(0, 25) == 25
    assert presence.next_reachable(0, 100) == inf
    assert presence.reachable_until(0, 25) == 30
    assert presence.reachable_until(0, 15) == 15
    assert presence.reachable_until(0, 50) == 100


def test_a_device_comes_online_at_the_ends_of_its_offline_periods() -> None:
    presence = timeline(5.0, 100.0, (10.0, 20.0), (50.0, 60.0))
    assert [presence.next_online(0, t) for t in (5.0, 15.0, 19.0, 20.0, 60.0)] == [20.0, 20.0, 20.0, 60.0, inf]
    assert presence.next_online(0, 0.0) == 5.0


def test_a_device_that_joins_while_offline_becomes_reachable_when_it_comes_back() -> None:
    assert timeline(15, inf, (10, 20)).next_reachable(0, 0) == 20
    assert timeline(10, inf, (10, 20)).next_reachable(0, 0) == 20


def test_a_device_that_leaves_while_offline_is_not_reachable_again() -> None:
    for left_s in (15.0, 20.0):
        presence = timeline(0, left_s, (10, 20))
        assert presence.reachable(0, 9)
        assert presence.next_reachable(0, 12) == inf


def test_a_device_that_never_joins_is_never_reachable() -> None:
    presence = timeline(inf, inf, (10, 20))
    assert not presence.reachable(0, 50)
    assert presence.next_reachable(0, 0) == inf


def test_outages_inside_and_across_offline_periods_merge_with_them() -> None:
    union = merged(
        intervals([(0, 50), (60, 70)], [], [(5, 6)]),
        intervals([(10, 20), (30, 40), (65, 80), (90, 95)], [(1, 2)], [(6, 7)]),
    )
    assert union.offsets.tolist() == [0, 3, 4, 5]
    assert union.start_s.tolist() == [0, 60, 90, 1, 5]
    assert union.end_s.tolist() == [50, 80, 95, 2, 7]


@st.composite
def _spans(draw: st.DrawFn) -> list[tuple[float, float]]:
    cuts = sorted(draw(st.sets(st.integers(0, 60), max_size=10)))
    return [(float(a), float(b)) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(_spans(), _spans(), st.integers(0, 60), st.integers(0, 70)), min_size=1, max_size=4),
)
def test_reachable_means_joined_not_left_not_offline_and_no_outage(
    devices: list[tuple[list[tuple[float, float]], list[tuple[float, float]], int, int]],
) -> None:
    joined = np.array([float(d[2]) for d in devices])
    left = np.array([float(d[3]) if d[3] <= 60 else inf for d in devices])
    presence = Presence(joined, left, merged(intervals(*(d[0] for d in devices)), intervals(*(d[1] for d in devices))))
    for device, (churn, outages, _, _) in enumerate(devices):
        for t in np.arange(-0.5, 75, 0.5):
            here = joined[device] <= t < left[device] and not any(a <= t < b for a, b in churn + outages)
            assert presence.reachable(device, float(t)) == here
            if here:
                assert presence.next_reachable(device, float(t)) == t


def test_many_queries_at_once_give_what_each_gives_alone() -> None:
    presence = presence_of(OnOff(online=3000, offline=2000, late_joiners=0.3, leavers=0.4), 400, 86400.0)
    device, moment = np.repeat(np.arange(400), 51), np.tile(np.linspace(0, 86400, 51), 400)
    moment[::7] = presence.edges_s[np.arange(len(moment[::7])) % len(presence.edges_s)]
    alone = [presence.reachable(d, t) for d, t in zip(device.tolist(), moment.tolist(), strict=True)]
    assert presence.reachable_at(device, moment).tolist() == alone


def test_the_share_online_is_stationary_from_the_first_moment_at_on_over_on_plus_off() -> None:
    n_devices = 20_000
    presence = presence_of(OnOff(online=4 * HOUR_S, offline=HOUR_S), n_devices, 86400.0)
    everyone = np.arange(n_devices)
    moments = (0.0, 60.0, HOUR_S, 6 * HOUR_S, 12 * HOUR_S, 24 * HOUR_S)
    share = np.array([presence.reachable_at(everyone, np.full(n_devices, t)).mean() for t in moments])
    assert np.abs(share - 0.8).max() < 4.5 * np.sqrt(0.8 * 0.2 / n_devices)


def test_offline_periods_have_their_mean_length_and_come_as_often_as_renewal_theory_says() -> None:
    n_devices, online_s, offline_s, horizon_s = 4000, 7200.0, 1800.0, 10 * 86400.0
    found = alternating_offline("x", np.full(n_devices, online_s), np.full(n_devices, offline_s), horizon_s, Draws(5))
    lengths = found.end_s - found.start_s
    assert lengths.mean() == pytest.approx(offline_s, rel=4 / np.sqrt(len(lengths)))
    # stationary: online-to-offline moves come at rate 1 / (on + off); those offline at 0 have one more period
    expected = n_devices * (horizon_s / (online_s + offline_s) + offline_s / (online_s + offline_s))
    assert len(lengths) == pytest.approx(expected, rel=4 / np.sqrt(expected))


def test_time_online_between_two_offline_periods_is_exponential() -> None:
    found = alternating_offline("x", np.full(200, 50.0), np.full(200, 10.0), 60_000.0, Draws(6))
    same = found.device[1:] == found.device[:-1]
    gaps = (found.start_s[1:] - found.end_s[:-1])[same]
    assert gaps.mean() == pytest.approx(50, rel=4 / np.sqrt(len(gaps)))
    for quantile in (0.1, 0.5, 0.9, 0.99):
        share_below = np.mean(gaps < -50 * np.log(1 - quantile))
        assert abs(share_below - quantile) < 4 * np.sqrt(quantile * (1 - quantile) / len(gaps))


def test_a_longer_run_only_adds_to_a_timeline() -> None:
    short, long = (
        alternating_offline("x", np.full(50, 500.0), np.full(50, 100.0), horizon_s, Draws(2))
        for horizon_s in (5000.0, 20_000.0)
    )
    for device in range(50):
        a, b = short.offsets[device], short.offsets[device + 1]
        c = long.offsets[device]
        assert short.start_s[a:b].tolist() == long.start_s[c : c + b - a].tolist()


def test_late_joiners_join_uniformly_over_the_run_and_the_others_at_its_start() -> None:
    joined = presence_of(OnOff(late_joiners=0.25), 20_000, 1000.0).joined_s
    late = joined[joined > 0]
    assert abs(len(late) - 5000) < 4 * np.sqrt(20_000 * 0.25 * 0.75)
    assert abs(late.mean() - 500) < 4 * 1000 / np.sqrt(12 * len(late))
    assert late.max() <= 1000


@pytest.mark.parametrize("churn", [AlwaysOn(join_over=HOUR_S), OnOff(join_over=HOUR_S)])
def test_a_fleet_joins_uniformly_over_the_time_it_is_given(churn: Churn) -> None:
    joined_s = presence_of(churn, 4000, 24 * HOUR_S, start_s=100.0).joined_s - 100.0
    assert joined_s.min() >= 0
    assert joined_s.max() < HOUR_S
    assert joined_s.mean() == pytest.approx(HOUR_S / 2, abs=4 * HOUR_S / np.sqrt(12 * 4000))
    assert (joined_s < HOUR_S / 4).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / 4000))


def test_leavers_leave_uniformly_after_they_joined_and_the_others_stay() -> None:
    presence = presence_of(OnOff(leavers=0.25), 20_000, 1000.0)
    gone = presence.left_s[np.isfinite(presence.left_s)]
    assert abs(len(gone) - 5000) < 4 * np.sqrt(20_000 * 0.25 * 0.75)
    assert abs(gone.mean() - 500) < 4 * 1000 / np.sqrt(12 * len(gone))
    both = presence_of(OnOff(leavers=1.0, late_joiners=1.0), 1000, 1000.0)
    assert (both.left_s > both.joined_s).all()


def test_nobody_joins_before_its_history_is_complete() -> None:
    assert presence_of(OnOff(late_joiners=0.5), 500, 1000.0, start_s=300.0).joined_s.min() == 300.0


def test_two_seeds_differ_and_one_seed_repeats() -> None:
    churn = OnOff(late_joiners=0.2, leavers=0.2)
    first, again, other = (presence_of(churn, 200, 86400.0, seed).edges_s for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:100], other[:100])


def test_an_infinite_time_online_means_no_offline_period() -> None:
    found = alternating_offline("x", np.array([inf, 10.0]), np.array([5.0, 5.0]), 1000.0, Draws(1))
    assert found.offsets[1] == 0
    assert found.offsets[2] > 0


def test_more_periods_than_memory_can_hold_are_refused_before_they_are_drawn() -> None:
    with pytest.raises(InputError, match="offline periods in the run"):
        presence_of(OnOff(online=0.01, offline=0.01), 1000, 86400.0)


def write(path: Path, *rows: str) -> str:
    path.write_text("\n".join(("device,start_s,end_s", *rows)) + "\n")
    return str(path)


def read(
    path: str, start_s: NDArray[np.float64] | None = None, clock: Literal["run", "calendar"] = "run", zero: Any = None
) -> Presence:
    starts = np.zeros(3) if start_s is None else start_s
    trace = PresenceTrace(path=path, clock=clock)
    return build_presence(trace, fleet_of(3), 100.0, starts, Draws(1), no_outages(3), zero_s=zero)


ZERO = 1_600_000_000.0  # 2020-09-13T12:26:40Z


@pytest.mark.parametrize(
    "row",
    ["1600000010,1600000020", "1600000010000,1600000020000", "2020-09-13T12:26:50Z,2020-09-13T14:27:00+02:00"],
    ids=["s", "ms", "dates"],
)
def test_a_presence_trace_may_be_on_the_calendar_of_the_log(tmp_path: Path, row: str) -> None:
    rows = [f"0,{row}", "1,1599999000,1600000030", "2,1599990000,1599999990"]
    presence = read(write(tmp_path / "t.csv", *rows), clock="calendar", zero=ZERO)
    assert presence.joined_s.tolist() == [10, 0, inf]  # the last one left before the run
    assert presence.left_s.tolist() == [20, 30, inf]


@pytest.mark.parametrize(
    ("rows", "clock", "zero", "said"),
    [
        (["0,1600000010,1600000020"], "run", None, "after 31 years of the run; .* set fleet.churn.clock: calendar"),
        (["0,1600000010000,1600000020000"], "run", None, "after 31 years of the run"),
        (["0,2020-09-13T12:26:50Z,2020-09-13T12:27:00Z"], "run", None, "row 2: '2020-.*' is a date, .*clock: calendar"),
        (["0,200,300"], "run", None, "every device comes after the run's end, 100 s, as fleet.churn.clock: run counts"),
        (["0,10,20"], "calendar", ZERO, "row 2: 10 is no date of 1995 to 2100"),
        (["0,1700000000,1700000010"], "calendar", ZERO, "every device comes after the run's end"),
        (["0,1500000000,1500000010"], "calendar", ZERO, "every device leaves before the run's start"),
        (["0,1600000010,1600000020"], "calendar", None, "fleet.churn.clock: calendar needs a log with dates"),
        (["0,2020-13-13 00:00,2020-09-13"], "calendar", ZERO, "row 2: expected an ISO time or seconds"),
    ],
)
def test_a_presence_trace_on_another_clock_is_refused(
    tmp_path: Path, rows: list[str], clock: Literal["run", "calendar"], zero: float | None, said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        read(write(tmp_path / "t.csv", *rows), clock=clock, zero=zero)
    assert "\n" not in str(error.value)


def test_a_presence_trace_is_followed_exactly(tmp_path: Path) -> None:
    presence = read(write(tmp_path / "t.csv", "1,50,60", "0,10,20", "1,5,30", "0,20,25"))
    assert presence.joined_s.tolist() == [10, 5, inf]
    assert presence.left_s.tolist() == [25, 60, inf]
    assert [presence.reachable(0, t) for t in (9, 10, 20, 24, 25)] == [False, True, True, True, False]
    assert [presence.reachable(1, t) for t in (5, 30, 49, 50, 60)] == [True, False, False, True, False]
    assert not presence.reachable(2, 50)


def test_a_presence_trace_does_not_bring_a_device_before_its_history_is_complete(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "0,10,40", "1,0,5")
    presence = read(path, start_s=np.array([25.0, 25.0, 25.0]))
    assert presence.next_reachable(0, 0) == 25
    assert presence.next_reachable(1, 0) == inf


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["0,10,20", "0,15,30"], "row 3: overlaps another row of device 0"),
        (["0,10,5"], "row 2: end_s 5 is not after start_s 10"),
        (["0,-1,5"], "row 2: start_s -1 is negative"),
        (["7,0,5"], "row 2: unknown device 7; devices are 0 to 2"),
        (["0.5,0,5"], "row 2: unknown device 0.5"),
        (["0,0,nan"], "row 2: expected a finite number, got 'nan'"),
        (["a,0,1"], "row 2: expected a finite number, got 'a'"),
        (["0,0"], "row 2: expected three cells"),
        ([], "holds no rows"),
    ],
)
def test_a_bad_presence_trace_is_refused_with_its_row(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(write(tmp_path / "t.csv", *rows))


def test_a_presence_trace_needs_its_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("0,10,20\n")
    with pytest.raises(InputError, match="row 1: expected the header device,start_s,end_s"):
        read(str(tmp_path / "t.csv"))
