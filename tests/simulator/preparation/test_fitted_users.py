"""Users who choose are fitted on what no recommender has learnt from, and live as held-out users do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.fitted_users import (
    compare_users,
    exposed,
    fit_users,
    fitted_notes,
    ks,
    live,
    roles_of,
)
from fleetrec.simulator.scenario.sections import GlobalTimeSplit, SyntheticWorld, Workload
from fleetrec.simulator.workload.splitting import SplitLog, split_log
from fleetrec.simulator.workload.synthetic import synthetic_log
from fleetrec.simulator.workload.synthetic_exposures import ExposureWorld
from fleetrec.simulator.workload.users.fitted import FittedUsers
from tests.simulator.reacting import lives, reacting, run

WORLD = SyntheticWorld(users=250, items=60, events_per_user=50, repeats=0.3)


@pytest.fixture(scope="module")
def split() -> SplitLog:
    return split_log(synthetic_log(WORLD), GlobalTimeSplit(at=0.6))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def fitted(split: SplitLog, store: ArtifactStore) -> FittedUsers:
    return fit_users(split, store, 1, NullProgress())


def test_held_out_users_lend_nothing_to_the_fit(split: SplitLog) -> None:
    roles = roles_of(split)
    assert not (roles.held_out & roles.fitting).any()
    assert (roles.validating <= roles.fitting).all()
    assert ((roles.held_out | roles.fitting) == split.streamed).all()


def test_what_is_learnt_does_not_depend_on_what_held_out_users_did(
    split: SplitLog, fitted: FittedUsers, tmp_path: Path
) -> None:
    log, roles = split.log, roles_of(split)
    place = np.arange(log.n_events) - log.offsets[log.user_of_event]
    theirs = roles.held_out[log.user_of_event] & (place >= split.history[log.user_of_event])
    other = replace(log, items=np.where(theirs, 0, log.items), content_hash="other")
    again = fit_users(replace(split, log=other), ArtifactStore(tmp_path), 1, NullProgress())
    assert again.laws == fitted.laws


def test_items_of_which_nothing_is_known_are_told(split: SplitLog, store: ArtifactStore, fitted: FittedUsers) -> None:
    ids = np.array([f"i{n}" for n in range(62)], dtype=object)
    wider = replace(split, log=replace(split.log, item_ids=ids))  # with two that nobody had
    fit = fit_users(wider, store, 1, NullProgress()).fit
    told = {one.key: one.values for one in fitted_notes(fit)}
    assert told["users_unknown_items"] == fit["items"] == {"items": 62, "unknown": 2}
    assert "users_unknown_items" not in {one.key for one in fitted_notes(fitted.fit)}


def test_they_are_fitted_once(split: SplitLog, store: ArtifactStore, fitted: FittedUsers) -> None:
    kept = fit_users(split, store, 1, NullProgress())
    users = np.flatnonzero(roles_of(split).held_out)[:5]
    for one, other in zip(live(split, kept, users), live(split, fitted, users), strict=True):
        assert one.tolist() == other.tolist()
    assert len(list((store.root / "users").iterdir())) == 1


def test_their_choices_are_distributed_as_those_of_held_out_users(split: SplitLog, fitted: FittedUsers) -> None:
    figures = compare_users(split, fitted)
    rows = {row["what"]: row for row in figures["compared"]}
    assert rows["repeats"]["model_mean"] == pytest.approx(rows["repeats"]["held_out_mean"], abs=0.08)
    for what in ("popularity", "session_length_after_others"):
        assert rows[what]["ks"] < 0.15, what
    assert figures | {"items": {"items": 60, "unknown": 0}} == {**fitted.fit}
    for row in rows.values():
        curve = row["curve"]
        assert curve["model"][-1] == curve["held_out"][-1] == 1
        apart = np.abs(np.subtract(curve["model"], curve["held_out"])).max()
        assert row["ks"] - 0.1 <= apart <= row["ks"] + 1e-4


def test_a_user_lives_alike_in_any_company(split: SplitLog, fitted: FittedUsers) -> None:
    users = np.flatnonzero(split.streamed)[:6]
    together, alone = live(split, fitted, users), live(split, fitted, users[:1])
    assert together[0].tolist() == alone[0].tolist()


def test_users_of_a_log_who_choose_live_one_life_however_it_is_computed(tmp_path: Path) -> None:
    log = synthetic_log(WORLD.model_copy(update={"users": 40, "events_per_user": 25, "days": 2}))
    rows = [
        f"u{user},i{item},{int(time)}" for user, item, time in zip(log.user_of_event, log.items, log.times, strict=True)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    scenario = reacting(
        workload={"interactions": {"path": str(tmp_path / "log.csv")}, "users": {"kind": "choice", "organic": 0.3}},
        fleet={"devices": 6},
    )
    ahead, stepped = lives(scenario), lives(scenario, ahead=False)
    assert all(table.equals(stepped[name]) for name, table in ahead.items())
    assert {"slate", "organic"} <= set(ahead["opportunities"]["outcome"])
    told = run(scenario).summary
    assert {"users_fitted", "users_assumed"} <= {one["key"] for one in told["notes"]}
    assert told["users_fit"]["compared"][0]["what"] == "popularity"


def test_how_far_down_they_look_is_that_of_what_was_shown_where_the_log_says_it(
    split: SplitLog, fitted: FittedUsers, tmp_path: Path
) -> None:
    pa_csv.write_csv(ExposureWorld().table(), tmp_path / "shown.csv")  # clicks fall as 1 / position
    columns = {"clicked": "clicked", "position": "position", "propensity": "propensity"}

    def seen(**columns: str) -> FittedUsers:
        log = {"path": str(tmp_path / "shown.csv"), "columns": columns}
        return exposed(fitted, split, Workload.model_validate({"interactions": log, "users": {"kind": "choice"}}))

    assert seen(**columns).laws.examination == pytest.approx(1.0, abs=0.1)
    assert seen(**columns).laws.examination != fitted.laws.examination == 1.0
    assert "users_examination" in [one.key for one in fitted_notes(seen(**columns).fit)]
    assert seen() is seen(clicked="clicked") is exposed(fitted, split, Workload()) is fitted


def test_a_log_of_few_users_is_one_line() -> None:
    few = split_log(synthetic_log(SyntheticWorld(users=8, items=30)), GlobalTimeSplit())
    with pytest.raises(InputError, match="too few to fit users who choose on"):
        roles_of(few)


def test_the_distance_of_two_samples_is_the_largest_of_their_shares() -> None:
    assert ks(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 4])) == 0
    assert ks(np.array([1.0, 1, 1, 2]), np.array([1.0, 2, 2, 2])) == 0.5
    assert ks(np.array([1.0]), np.array([5.0])) == 1
