"""The built-in world: what its keys promise, measured on the logs it makes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import poisson

import fleetrec.simulator.workload.synthetic as synthetic
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.synthetic import START_S, synthetic_log

SMALL: dict[str, float] = {"users": 400, "items": 300, "genres": 6, "styles": 4, "events_per_user": 60}


def world(**keys: float) -> InteractionLog:
    return synthetic_log(SyntheticWorld.model_validate({**SMALL, **keys}))


def part_of(log: InteractionLog, column: int) -> NDArray[np.int64]:
    """Code of one attribute (0 genre, 1 style, 2 series, 4 maker) of the item of every event."""
    assert log.attributes is not None
    codes = np.unique([own[column] for own in log.attributes], return_inverse=True)[1]
    return np.asarray(codes)[log.items]


def steps(log: InteractionLog) -> NDArray[np.int64]:
    return np.arange(log.n_events) - log.offsets[log.user_of_event]


def test_a_world_is_a_function_of_its_section_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    log = world()
    monkeypatch.setattr(synthetic, "_BLOCK_CELLS", 300 * 70)  # blocks of 70 users
    again = world()
    assert again.content_hash == log.content_hash
    assert np.array_equal(again.items, log.items)
    assert np.array_equal(again.times, log.times)
    assert world(seed=2).content_hash != log.content_hash


def test_a_world_that_was_kept_is_the_same_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, store = SyntheticWorld.model_validate(SMALL), ArtifactStore(tmp_path)
    made, kept_nowhere = synthetic_log(section, store), synthetic_log(section)
    monkeypatch.setattr(synthetic, "_events", None)
    kept = synthetic_log(section, store)
    assert kept.content_hash == made.content_hash == kept_nowhere.content_hash
    assert [kept.items.dtype, kept.times.dtype, kept.offsets.dtype] == [np.int32, np.float64, np.int64]


def test_times_never_fall_and_stay_in_the_calendar() -> None:
    for keys in ({}, {"days": 0.05}, {"peak_to_mean": 1, "days": 2.5}):
        log = world(**keys)
        days = keys.get("days", SyntheticWorld().days)
        assert (np.diff(log.times)[np.diff(log.user_of_event) == 0] >= 0).all()
        assert log.times.min() >= START_S
        assert log.times.max() < START_S + days * 86_400
    assert log.clock == "absolute"


def test_logs_have_the_mean_length_asked_for() -> None:
    log = world(users=4000, events_per_user=30)
    assert log.n_users == 4000
    assert log.n_events / 4000 == pytest.approx(30, rel=0.03)
    assert log.lengths.min() >= 1


def test_sessions_have_the_length_and_pauses_asked_for() -> None:
    log = world(session_length=5, event_gap=20, days=60)
    gaps = np.diff(log.times)[np.diff(log.user_of_event) == 0]
    between = gaps >= 2_400
    assert between.mean() == pytest.approx(1 / 5, rel=0.03)
    assert np.median(gaps[~between]) == pytest.approx(20, rel=0.03)


def test_sessions_follow_the_daily_cycle() -> None:
    log = world(users=3000, peak_hour=7, peak_to_mean=2, session_length=1, days=10, events_per_user=20)
    hour = (log.times - START_S) / 3600 % 24
    mean_direction = np.angle(np.exp(2j * np.pi * hour / 24).mean()) * 24 / (2 * np.pi)
    assert mean_direction == pytest.approx(7, abs=0.2)
    at_peak = (np.abs(hour - 7) < 0.5).mean() * 24
    assert at_peak == pytest.approx(2, rel=0.06)


def test_a_flat_day_has_no_peak() -> None:
    log = world(users=3000, peak_to_mean=1, session_length=1, days=10, events_per_user=20)
    by_hour = np.bincount(((log.times - START_S) / 3600 % 24).astype(int), minlength=24)
    assert by_hour.max() / by_hour.mean() < 1.08


def items_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the choice of items out, which times do not depend on: most of the time that a world takes."""
    monkeypatch.setattr(synthetic, "_walked", lambda section, catalogue, offsets, *_: np.zeros(offsets[-1], np.int32))


def fullest(log: InteractionLog, section: SyntheticWorld, window_s: float) -> tuple[int, int]:
    """The most users active in any one window of the calendar, and what the law allows with all but one in a million.

    Users are independent, so their number in a window is stochastically below a Poisson variable of the same mean
    (beyond that mean), and no window's mean is above `peak_to_mean` times the average one.
    """
    windows = round(section.days * 86_400 / window_s)
    active = np.unique(log.user_of_event * windows + ((log.times - START_S) // window_s).astype(np.int64)) % windows
    most = np.bincount(active, minlength=windows).max()
    return int(most), int(poisson.isf(1e-6 / windows, len(active) * section.peak_to_mean / windows))


@pytest.mark.parametrize(
    "keys",
    [
        {"seed": 1},
        {"seed": 2},
        {"seed": 3},
        {"events_per_user": 600, "users": 500},  # many users have more to do than the calendar holds
        {"events_per_user": 300, "days": 1, "seed": 2},
        {"peak_hour": 0, "peak_to_mean": 4},  # both ends of the calendar are in the peak
        {"peak_to_mean": 1, "days": 2.5},
    ],
)
def test_no_moment_holds_more_than_the_law_allows(keys: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    items_do_not_matter(monkeypatch)
    section = SyntheticWorld.model_validate({"users": 2000, **keys})
    log = synthetic_log(section)
    for window_s in (1, 10, 60):
        most, allowed = fullest(log, section, window_s)
        assert most <= allowed, f"{most} users in {window_s} s, where the law allows {allowed}"


def test_the_calendars_first_and_last_hours_are_like_those_of_other_days(monkeypatch: pytest.MonkeyPatch) -> None:
    items_do_not_matter(monkeypatch)
    log = world(users=20_000, days=3, peak_hour=0, events_per_user=20, event_gap=300)  # sessions of an hour
    hour = np.bincount(((log.times - START_S) // 3600).astype(int), minlength=72)
    assert hour[0] == pytest.approx(hour[[24, 48]].mean(), rel=0.1)  # standard error .03
    assert hour[-1] == pytest.approx(hour[[23, 47]].mean(), rel=0.1)


def test_a_busy_user_lives_faster_and_still_rests_between_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    items_do_not_matter(monkeypatch)
    log = world(users=200, events_per_user=3000)  # four times what four days hold
    gaps = np.diff(log.times)[np.diff(log.user_of_event) == 0]
    assert log.times.max() < START_S + 4 * 86_400
    assert np.median(gaps) < 0.5 * SyntheticWorld().event_gap
    assert np.sort(gaps)[-len(gaps) // 10] > 10 * np.median(gaps)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_popularity_follows_zipfs_law(exponent: float) -> None:
    log = world(users=40_000, events_per_user=1, noise=1, popularity_exponent=exponent)
    firsts = log.items[log.offsets[:-1]]  # later ones are never a repeat, so not drawn from all items
    counts = np.sort(np.bincount(firsts, minlength=300))[::-1][:100]
    slope = np.polyfit(np.log(np.arange(100) + 1), np.log(counts), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.06)


def series_match(log: InteractionLog, lag: int) -> tuple[float, int]:
    """Share of events (from step 30 on) whose series is that of the event `lag` before, and how many there are."""
    series = part_of(log, 2)
    at = np.flatnonzero(steps(log) >= 30)
    return float((series[at] == series[at - lag]).mean()), len(at)


def z_of_newest(log: InteractionLog) -> float:
    """How much likelier than items long ago the newest one shares its series with the next, in standard errors."""
    (near, n), (far, _) = series_match(log, 1), series_match(log, 20)
    pooled = (near + far) / 2
    return (near - far) / float(np.sqrt(2 * pooled * (1 - pooled) / n))


def test_without_freshness_the_newest_item_tells_no_more_than_an_old_one() -> None:
    assert abs(z_of_newest(world(users=1500, freshness=0))) < 3.5


def test_the_fresher_the_world_the_more_the_newest_item_tells() -> None:
    few, some, all_ = (z_of_newest(world(freshness=f)) for f in (0.4, 0.7, 1.0))
    assert 5 < few < some < all_


def hit_rate(log: InteractionLog, lags: range) -> float:
    """HR@10 of unseen items ranked by summed transition shares from the items `lags` back, counted on the log's first
    users and tested on the others."""
    train = log.user_of_event < 0.8 * log.n_users
    step, n = steps(log), log.n_items
    score = {}
    for lag in lags:
        at = np.flatnonzero(train & (step >= lag))
        counts = np.zeros((n, n))
        np.add.at(counts, (log.items[at - lag], log.items[at]), 1.0)
        score[lag] = counts / (counts.sum(axis=1, keepdims=True) + 1)
    tested = np.flatnonzero(~train & (step >= 20))
    total = np.sum([score[lag][log.items[tested - lag]] for lag in lags], axis=0)
    for row, event in enumerate(tested.tolist()):
        total[row, log.items[event - step[event] : event]] = -1.0
    own = total[np.arange(len(tested)), log.items[tested]]
    return float(((total > own[:, None]).sum(axis=1) < 10).mean())


def test_a_fresh_world_is_more_than_a_first_order_chain() -> None:
    log = world(users=1000, freshness=0.9, off_taste=0, noise=0)
    first, second, longer = hit_rate(log, range(1, 2)), hit_rate(log, range(1, 3)), hit_rate(log, range(1, 7))
    assert second > 1.15 * first
    assert longer > 1.1 * second


def test_what_is_taken_up_again_can_be_known_from_long_history_only() -> None:
    def known(resume: float) -> float:
        """Of the items of no series or maker among the last 10, the share of one that the user had before that."""
        log = world(resume=resume, freshness=1, off_taste=1, noise=0, popularity_exponent=0, items=3000, users=200)
        step, at = steps(log), np.flatnonzero(steps(log) >= 30)
        away, had = np.ones(len(at), dtype=bool), np.zeros(len(at), dtype=bool)
        for group in (part_of(log, 2), part_of(log, 4)):
            away &= (group[at[:, None] - np.arange(1, 11)] != group[at, None]).all(axis=1)
            had |= np.array([group[e] in group[e - step[e] : e - 10] for e in at.tolist()])
        return float(had[away].mean())

    assert known(0.9) > 2 * known(0.0)


def test_intents_come_from_taste_unless_they_are_off_taste() -> None:
    def genres_per_user(off_taste: float) -> float:
        log = world(freshness=1, off_taste=off_taste, noise=0, items=2000, genres=12, events_per_user=60)
        pairs = np.unique(log.user_of_event * 100 + part_of(log, 0))
        return len(pairs) / log.n_users

    assert genres_per_user(0.0) <= 3
    assert genres_per_user(0.5) > 5


def test_items_repeat_as_often_as_asked() -> None:
    def repeated(log: InteractionLog) -> float:
        pairs = np.unique(log.user_of_event * log.n_items + log.items)
        return 1 - len(pairs) / log.n_events

    assert repeated(world(events_per_user=30)) == 0
    assert repeated(world(events_per_user=30, repeats=0.1)) == pytest.approx(0.1, abs=0.01)


def test_a_series_is_of_one_genre_and_style_and_numbers_its_parts() -> None:
    log = world()
    assert log.attributes is not None
    assert log.titles is not None
    assert len(set(log.titles)) == log.n_items
    series: dict[str, list[tuple[str, ...]]] = {}
    for own in log.attributes:
        assert len(own) == 5
        series.setdefault(own[2], []).append(own)
    for members in series.values():
        assert len({own[:2] for own in members}) == 1
        assert sorted(int(own[3].removeprefix("part ")) for own in members) == list(range(1, len(members) + 1))


@pytest.mark.parametrize(
    "keys",
    [
        {"users": 1, "items": 10, "genres": 40, "events_per_user": 30},  # more events than items, empty cells
        {"users": 3, "genres": 1, "styles": 1, "series_length": 1, "session_length": 1},
        {"users": 3, "events_per_user": 0.1, "days": 0.001, "freshness": 1, "resume": 1, "off_taste": 1},
        {"users": 3, "popularity_exponent": 0, "intent_drift": 1, "repeats": 1},
    ],
)
def test_extreme_worlds_are_still_logs(keys: dict[str, float]) -> None:
    log = world(**keys)
    assert log.n_users == keys["users"]
    assert log.items.min() >= 0
    assert log.items.max() < log.n_items
    assert np.isfinite(log.times).all()
