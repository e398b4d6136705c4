"""What taking nothing is worth follows from screens that users were shown, and comes back where it is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.fitted_users import exposed, fit_users, fitted_notes, past_of, roles_of
from fleetrec.simulator.preparation.shown_screens import Screens, leaves, screens_of, skip_of, worth
from fleetrec.simulator.scenario.sections import PerUserSplit, SyntheticWorld, Workload
from fleetrec.simulator.scenario.sections.workload import LogFile
from fleetrec.simulator.workload.exposures import Exposures, read_exposures
from fleetrec.simulator.workload.splitting import SplitLog, split_log
from fleetrec.simulator.workload.synthetic import synthetic_log
from fleetrec.simulator.workload.users.fitted import FittedUsers
from fleetrec.simulator.workload.users.utility import Moments

SPLIT = PerUserSplit(last=15, min_history=5)
PLACES, EXAMINATION = 5, 0.7


@pytest.fixture(scope="module")
def split() -> SplitLog:
    return split_log(synthetic_log(SyntheticWorld(users=150, items=60, events_per_user=30, repeats=0.3)), SPLIT)


@pytest.fixture(scope="module")
def fitted(split: SplitLog, tmp_path_factory: pytest.TempPathFactory) -> FittedUsers:
    return fit_users(split, ArtifactStore(tmp_path_factory.mktemp("cache")), 1, NullProgress())


def shown(split: SplitLog, rng: np.random.Generator, screens: int = 40) -> Exposures:
    """Screens of items drawn blindly, at moments of each user's stream; nothing is clicked."""
    log = split.log
    user = np.repeat(np.arange(log.n_users), screens)
    begin, end = log.times[log.offsets[:-1] + split.history], log.times[log.offsets[1:] - 1]
    t_s = begin[user] + rng.random(len(user)) * (end - begin)[user]
    rows = np.repeat(np.arange(len(user)), PLACES)
    item, position = rng.integers(0, log.n_items, len(rows)), np.tile(np.arange(PLACES), len(user))
    none = np.zeros(len(rows), dtype=np.bool_)
    ids = log.user_ids.tolist(), log.item_ids.tolist()
    return Exposures("shown", *ids, user[rows], item, position, none, np.ones(len(rows)), (), rows, t_s[rows])


def test_what_taking_nothing_is_worth_comes_back_from_what_such_users_left(
    split: SplitLog, fitted: FittedUsers
) -> None:
    rng, truth = np.random.default_rng(1), 1.5
    screens = screens_of(split, shown(split, rng)).of(split.streamed, 4_000)
    value = worth(split, fitted, screens, EXAMINATION)
    left = rng.random(len(value)) < leaves(value, truth)
    share = left.mean()
    assert 0.2 < share < 0.8
    error = np.sqrt(share * (1 - share) / len(value)) / (leaves(value, truth) * leaves(-value, -truth)).mean()
    assert skip_of(value, share) == pytest.approx(truth, abs=3 * error)
    assert leaves(value, skip_of(value, 0.3)).mean() == pytest.approx(0.3, abs=1e-6)


def test_a_screen_is_worth_what_its_items_are_to_who_had_what_it_had_by_then(
    split: SplitLog, fitted: FittedUsers
) -> None:
    """Against the laws of a user who chooses, one screen at a time, and in any company."""
    some = screens_of(split, shown(split, np.random.default_rng(2))).of(roles_of(split).held_out, 40)
    value = worth(split, fitted, some, EXAMINATION)
    for n in (0, 7, 39):
        user, until = int(some.user[n]), some.t_s[n]
        begin = split.log.offsets[user]
        had = int((split.log.times[begin : split.log.offsets[user + 1]] < until).sum())
        assert had > split.history[user]  # the first of its stream, at the least
        known = replace(split, history=np.where(np.arange(split.log.n_users) == user, had, split.history))
        nothing = np.zeros(1, dtype=np.int64)
        at = Moments(nothing, nothing, nothing, some.t_s[n : n + 1])
        utility = fitted.catalogue(fitted.initial(past_of(known, np.array([user]))), at)[0]
        summed = sum(np.exp(utility[item]) / (1 + place) ** EXAMINATION for place, item in enumerate(some.items[n]))
        assert value[n] == pytest.approx(np.log(summed))


def test_screens_come_whole_after_what_is_told_as_history(split: SplitLog) -> None:
    log = shown(split, np.random.default_rng(3), screens=4)
    assert len(screens_of(split, log).user) == 4 * split.streamed.sum()
    early = replace(log, t_s=np.zeros_like(log.t_s))
    assert not len(screens_of(split, early).user)
    assert log.screen is not None
    broken = replace(log, screen=np.where(log.screen % 2 == 0, -1, log.screen))
    assert len(screens_of(split, broken).user) == 2 * split.streamed.sum()
    strange = replace(log, item_ids=[f"never taken {n}" for n in range(split.log.n_items)])
    assert not len(screens_of(split, strange).of(split.streamed).user)
    assert isinstance(screens_of(split, replace(log, t_s=None)), Screens)


def rows_of(path: Path, split: SplitLog, fitted: FittedUsers, truth: float) -> pa.Table:
    """The log of what users had, and of what they were shown at random and left, in one file."""
    rng, log = np.random.default_rng(4), split.log
    seen = screens_of(split, shown(split, rng, screens=20))
    lefts = rng.random(len(seen.user)) < leaves(worth(split, fitted, seen, 0.0), truth)
    user = [*log.user_ids[log.user_of_event], *np.repeat(log.user_ids[seen.user], PLACES)]
    item = [*log.item_ids[log.items], *log.item_ids[seen.items.ravel()]]
    n_first = log.n_events
    click = np.zeros((len(seen.user), PLACES), dtype=np.int64)
    click[~lefts, 0] = 1  # which of them does not count here
    table = pa.table(
        {
            "user_id": pa.array([str(one) for one in user]),
            "item_id": pa.array([str(one) for one in item]),
            "timestamp": np.concatenate([log.times, np.repeat(seen.t_s, PLACES)]),
            "slate": [f"s{n}" for n in range(n_first)]
            + [f"r{n}" for n in range(len(seen.user)) for _ in range(PLACES)],
            "is_click": np.concatenate([np.ones(n_first, dtype=np.int64), click.ravel()]),
            "is_rand": np.concatenate([np.zeros(n_first, dtype=np.int64), np.ones(click.size, dtype=np.int64)]),
        }
    )
    pa_csv.write_csv(table, path)
    return table


def test_a_log_of_what_was_shown_says_how_often_users_take_nothing(
    split: SplitLog, fitted: FittedUsers, tmp_path: Path
) -> None:
    table = rows_of(tmp_path / "log.csv", split, fitted, truth=2.0)
    columns = {"clicked": "is_click", "random": "is_rand", "slate": "slate"}
    section = LogFile.model_validate({"path": str(tmp_path / "log.csv"), "columns": columns})
    read = read_exposures(section)
    assert read.screen is not None
    assert len(np.unique(read.screen)) * PLACES == table["is_rand"].to_pylist().count(1) == len(read.user)
    workload = Workload.model_validate({"interactions": section.model_dump(exclude_unset=True), "users": "choice"})
    seen = exposed(fitted, split, workload)
    assert seen.laws.examination == fitted.laws.examination
    row = seen.fit["compared"][-1]
    assert row["what"] == "left"
    assert row["held_out_mean"] == pytest.approx(row["others_mean"], abs=0.06)
    assert row["ks"] < 0.06
    assert len(row["by_worth"]) == 5
    assert [one.key for one in fitted_notes(seen.fit)] == ["users_fitted", "users_assumed", "users_leave"]
    assert "half the time" in fitted_notes(fitted.fit)[1].text
    assert "half the time" not in fitted_notes(seen.fit)[1].text
