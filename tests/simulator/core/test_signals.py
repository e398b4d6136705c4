"""Signals: point values, exact means and the time a trace needs, against brute force."""

import math
import time
from pathlib import Path

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.signals import Constant, Diurnal, Trace, read_bandwidth_trace, repeated_trace, signal_of

DAY_S = 86400.0


def brute_mean(signal: Trace | Diurnal, start_s: float, end_s: float, steps: int = 50_000) -> float:
    edges = np.linspace(start_s, end_s, steps + 1)
    return float(np.mean([signal.at(float(t)) for t in (edges[1:] + edges[:-1]) / 2]))


def test_a_constant_is_the_same_at_every_moment_and_on_average() -> None:
    assert Constant(3.5).at(1e9) == 3.5
    assert Constant(3.5).mean(0, 1e9) == 3.5


def test_a_trace_holds_each_value_until_the_next_time_and_starts_over_after_its_period() -> None:
    trace = Trace([0.0, 2.0, 5.0], [10.0, 0.0, 4.0], period_s=6.0)
    assert [trace.at(t) for t in (0, 1.9, 2, 4.9, 5, 5.9, 6, 8, 65)] == [10, 10, 0, 0, 4, 4, 10, 0, 4]


def test_without_a_period_the_last_value_holds_for_ever() -> None:
    assert Trace([0.0, 1.0], [5.0, 7.0]).at(1e6) == 7.0


def test_the_mean_of_a_trace_over_one_period_is_its_area_over_its_length_by_hand() -> None:
    trace = Trace([0.0, 2.0, 5.0], [10.0, 0.0, 4.0], period_s=6.0)
    assert trace.mean(0, 6) == pytest.approx((2 * 10 + 3 * 0 + 1 * 4) / 6)
    assert trace.mean(6, 24) == pytest.approx(4.0)
    assert trace.mean(1, 2.5) == pytest.approx((1 * 10 + 0.5 * 0) / 1.5)
    assert trace.mean(3, 3) == 0


def test_the_mean_of_any_interval_agrees_with_brute_force() -> None:
    trace = repeated_trace([100.0, 103.0, 104.0, 110.0], [1.0, 8.0, 0.0, 2.5])
    for start_s, end_s in ((0.5, 3.5), (2.0, 31.0), (9.9, 10.1), (0.0, 100.0)):
        assert trace.mean(start_s, end_s) == pytest.approx(brute_mean(trace, start_s, end_s), abs=2e-3)


def test_gathering_an_amount_ends_at_the_first_moment_at_which_the_area_has_grown_by_it() -> None:
    trace = Trace([0.0, 2.0, 5.0, 6.0], [10.0, 0.0, 4.0, 0.0], period_s=9.0)
    assert trace.seconds_to_gather(0, 3) == 0
    assert trace.seconds_to_gather(5, 0) == pytest.approx(0.5)
    assert trace.seconds_to_gather(20, 0) == pytest.approx(2.0)  # done as the silence begins, not when it ends
    assert trace.seconds_to_gather(21, 0) == pytest.approx(5.25)  # waits the silence out
    assert trace.seconds_to_gather(4, 2.5) == pytest.approx(3.5)
    assert trace.seconds_to_gather(24, 0) == pytest.approx(6.0)  # the whole pass
    assert trace.seconds_to_gather(34, 0) == pytest.approx(10.0)  # one second into the second pass
    assert trace.seconds_to_gather(24 * 1000, 0) == pytest.approx(999 * 9 + 6)


def test_what_is_gathered_in_the_time_it_takes_is_the_amount() -> None:
    random = np.random.default_rng(5)
    times = [0.0, *np.cumsum(random.uniform(0.1, 3, 40)).tolist()]
    trace = repeated_trace(times, np.where(random.random(41) < 0.3, 0, random.uniform(0, 5, 41)).tolist())
    for start_s, amount in zip(random.uniform(0, 300, 200), random.exponential(60, 200), strict=True):
        seconds = trace.seconds_to_gather(float(amount), float(start_s))
        gathered = trace.integral(start_s + seconds) - trace.integral(start_s)
        assert gathered == pytest.approx(amount, rel=1e-9, abs=1e-8)
        before = trace.integral(start_s + seconds * (1 - 1e-6)) - trace.integral(start_s)
        assert before < amount


def test_a_trace_that_ends_in_silence_never_delivers_more_than_it_holds() -> None:
    assert Trace([0.0, 1.0], [5.0, 0.0]).seconds_to_gather(6, 0) == math.inf


def test_a_daily_cycle_has_its_mean_and_its_peak_where_it_says() -> None:
    for peak_to_mean in (1.0, 1.5, 2.0, 4.0):
        cycle = Diurnal(30.0, peak_hour=20, peak_to_mean=peak_to_mean)
        assert cycle.at(20 * 3600) == pytest.approx(30 * peak_to_mean, rel=1e-6)
        assert cycle.mean(0, DAY_S) == pytest.approx(30.0)
        hours = [cycle.at(hour * 3600) for hour in range(24)]
        assert min(hours) > 0
        assert max(hours) == pytest.approx(hours[20])


def test_the_mean_of_part_of_a_day_agrees_with_brute_force() -> None:
    cycle = Diurnal(30.0, peak_hour=20, peak_to_mean=3.0)
    assert cycle.mean(0.7 * DAY_S, 1.9 * DAY_S) == pytest.approx(
        brute_mean(cycle, 0.7 * DAY_S, 1.9 * DAY_S, 20_000), rel=1e-6
    )


def test_a_number_is_a_constant_and_a_csv_is_a_trace_from_its_first_row_on(tmp_path: Path) -> None:
    path = tmp_path / "carbon.csv"
    path.write_text("time,grid\n2023-06-08 00:00:00,400\n2023-06-08 00:05:00,500\n2023-06-08 00:10:00,600\n")
    assert signal_of(400.0, "tariffs.carbon").at(7) == 400.0
    carbon = signal_of(str(path), "tariffs.carbon")
    assert [carbon.at(t) for t in (0, 299, 300, 600, 899, 900)] == [400, 400, 500, 600, 600, 400]


def test_the_measured_carbon_trace_repeats_after_its_31_days(data_dir: Path) -> None:
    carbon = signal_of(str(data_dir / "energy" / "grid_carbon_watttime_example.csv"), "tariffs.carbon")
    assert carbon.at(0) == pytest.approx(425.01605069)
    assert carbon.at(8928 * 300) == carbon.at(0)
    assert carbon.at(8927 * 300) == carbon.at(8928 * 300 - 1)


def test_a_bandwidth_trace_is_read_in_bits_per_second(tmp_path: Path) -> None:
    path = tmp_path / "link.txt"
    path.write_text("3.0 1.5\n\n4.0\t2.5\n5.0 0\n")
    trace = read_bandwidth_trace(str(path))
    assert [trace.at(t) for t in (0, 1, 2, 3)] == [1.5e6, 2.5e6, 0.0, 1.5e6]


def test_a_last_value_holds_for_a_moment_where_the_median_step_vanishes_beside_its_time() -> None:
    trace = repeated_trace([0.0, 1e-9, 2e-9, 1e9], [1.0, 2.0, 3.0, 4.0])
    assert trace.at(1e9) == 4.0
    assert trace.mean(0.0, 1e9) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no rows"),
        (b"0 1\n1 x\n", "row 2: expected a finite number, got 'x'"),
        (b"0 1\n1 nan\n", "row 2: expected a finite number"),
        (b"0 1\n1\n", "row 2: expected two numbers"),
        (b"0 1\n1 -2\n", "row 2: the value -2e\\+06 is negative"),
        (b"0 1\n2 1\n2 1\n", "row 3: times must increase"),
        (b"-1e9 1\n1e-9 1\n2e-9 1\n", "row 3: times must increase"),  # which they do not, counted from the first
        (b"0 1\n1 2\n1e25 3\n", "row 3: is 1e\\+25 s after the first one; give times in seconds"),
        (b"0 1\n1 1e308\n", "row 2: the value inf is too large to add up"),
        (b"0 0\n1 0\n", "every bandwidth is 0"),
        (
            b"1600000000000 5\n1600000001000 6\n",
            "row 1: 1600000000000 lies beyond the year 5000; give times in seconds",
        ),
        (b"1600000000000000000 5\n", "row 1: 1.6e\\+18 lies beyond"),
        (b"0 5000000\n1 6000000\n", r"holds 6e\+06 Mbit/s, more than any device's link; .* not kbit/s or bit/s"),
        (b"\xff\xfe\x00\x01", "not a text table"),
    ],
)
def test_a_bad_bandwidth_trace_is_refused_with_its_row(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "link.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_bandwidth_trace(str(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("time,grid\n", "holds no rows"),
        ("time,grid\n2023-13-40,5\n", "row 2: expected an ISO time or seconds"),
        ("time,grid\nyesterday,5\n", "row 2: expected a finite number"),
        ("time,grid\n0\n", "row 2: expected a time and a value"),
    ],
)
def test_a_bad_carbon_csv_is_refused_with_its_row(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "carbon.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        signal_of(str(path), "tariffs.carbon")


def test_a_missing_file_a_folder_and_an_unset_variable_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_ROOT", raising=False)
    with pytest.raises(InputError, match="No such file"):
        signal_of(str(tmp_path / "absent.csv"), "tariffs.carbon")
    with pytest.raises(InputError, match="directory"):
        signal_of(str(tmp_path), "tariffs.carbon")
    with pytest.raises(InputError, match="NO_SUCH_ROOT is not set"):
        signal_of("${NO_SUCH_ROOT}/carbon.csv", "tariffs.carbon")


def test_times_without_a_zone_do_not_depend_on_where_the_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "carbon.csv"  # a night on which many zones skip an hour
    path.write_text("time,grid\n2023-03-26 00:00:00,1\n2023-03-26 02:30:00,2\n2023-03-26 05:00:00,3\n")
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        carbon = signal_of(str(path), "tariffs.carbon")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert [carbon.at(t) for t in (2.49 * 3600, 2.5 * 3600, 4.9 * 3600, 5 * 3600)] == [1, 2, 2, 3]
