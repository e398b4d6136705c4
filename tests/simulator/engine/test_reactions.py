"""Users who choose live the same life however far ahead of the clock it is computed, and differ by policy alone."""

from typing import Any

import numpy as np
import pytest

from tests.simulator.reacting import UPDATES, lives, reacting

POLICIES: dict[str, dict[str, Any]] = {
    "random": {},
    "always, blocking": {"request": {"kind": "always"}, "mode": "blocking", "patience": 0.3},
    "staleness": {"request": {"kind": "staleness", "threshold": 2}},
    "every": {"request": {"kind": "every", "n": 3}, "decide_at": ["interaction", "answer", "online"]},
    "inconsistency": {"request": {"kind": "inconsistency", "threshold": 17.5}},
    "entropy": {"request": {"kind": "uncertainty", "threshold": 0.9}, "mode": "blocking"},
    "session start": {"request": {"kind": "session_start"}},
    "congestion": {"request": {"kind": "congestion"}, "budget": {"ratio": 0.3}},
    "nightly": {"request": {"kind": "nightly_on_wifi", "at": "1h", "window": "20h"}},
    "pushed": {"request": {"kind": "cloud_push", "every": "1h", "at": "1min", "window": "30min"}},
    "never": {"request": {"kind": "never"}},
    "both": {"slate": "both"},
    "cloud srm": {"slate": "cloud_srm", "request": {"kind": "always"}},
    "srm": {"slate": "srm"},
    "popular": {"slate": "popular"},
    "markov": {"slate": "markov"},
    "learnt weight": {"fusion": "online"},
    "staleness weight": {"fusion": "staleness"},
    **{f"update {name}": {"update": update} for name, update in UPDATES.items() if name != "inside the encoder"},
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_a_life_that_is_computed_ahead_is_the_one_that_is_lived_step_by_step(policy: dict[str, Any]) -> None:
    scenario = reacting(policy=policy)
    ahead, stepped = lives(scenario), lives(scenario, ahead=False)
    assert all(table.equals(stepped[name]) for name, table in ahead.items())
    assert len(ahead["interactions"]) > 30
    learns = scenario.policy.update.learns
    assert (ahead["interactions"][["version", "adaptation"]] > 0).any(axis=None) == learns


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": {"exclude_seen": False}},
        {"workload": {"exclude_seen": "refill"}},
        {"srm": {"kind": "din", "dim": 8, "max_length": 8, "epochs": 0, "loss": "bce"}},
        {"srm": {"kind": "sasrec", "dim": 8, "layers": 1, "heads": 1, "max_length": 8, "epochs": 0}},
        {"fleet": {"devices": 40}},
        {"fleet": {"devices": 40}, "policy": {"update": UPDATES["fleet"] | {"learn_from": "all"}}},
        {"srm": {"item_table": {"kind": "with_list"}}, "policy": {"update": UPDATES["drift"]}},
        {"fleet": {"fallback": "popular", "preloaded": False}},
        {
            "policy": {"slate": "recent"},
            "workload": {"exclude_seen": False, "users": {"kind": "choice", "skip": -6, "satisfied": -3}},
        },
        {"fleet": {"churn": {"kind": "on_off", "online": "20min", "offline": "10min", "leavers": 0.4}}},
        {"workload": {"users": {"kind": "choice", "organic": 0.5, "patience": 1.5, "churns": -1}}},
    ],
    ids=str,
)
def test_so_it_is_in_other_worlds(changes: dict[str, Any]) -> None:
    scenario = reacting(**changes)
    ahead, stepped = lives(scenario), lives(scenario, ahead=False)
    assert all(table.equals(stepped[name]) for name, table in ahead.items())
    assert len(ahead["interactions"]) > 20


def test_what_clones_of_a_user_had_before_the_run_is_known_and_learnt_from_once() -> None:
    known = set()
    for devices in (16, 40):
        told = lives(reacting(fleet={"devices": devices}, policy={"update": UPDATES["fleet"]}))["updates"]
        released = told[told["event"] == "released"]
        assert (released["interactions"].diff() == released["new_interactions"]).iloc[1:].all()
        known.add(int((released["interactions"] - released["new_interactions"]).iloc[0]))
    assert len(known) == 1


def test_every_interaction_is_an_opportunity_that_was_taken_and_its_rank_is_the_place_taken() -> None:
    tables = lives(reacting())
    told, lived = tables["opportunities"], tables["interactions"]
    taken = told[told["outcome"].isin(("slate", "organic"))].reset_index(drop=True)
    assert taken["item"].tolist() == lived["item"].tolist()
    assert taken["t_s"].tolist() == lived["t_s"].tolist()
    of_slate = taken["outcome"] == "slate"
    assert of_slate.any()
    assert (taken.loc[of_slate, "place"] == lived.loc[of_slate, "rank"]).all()
    assert (lived.groupby("device")["step"].diff().dropna() == 1).all()


def test_users_who_ignore_the_screen_do_the_same_under_every_policy() -> None:
    workload = {"users": {"kind": "choice", "organic": 1.0}}
    kinds = [{"request": {"kind": kind}} for kind in ("always", "never")]
    one, other = (lives(reacting(workload=workload, policy=policy))["opportunities"] for policy in kinds)
    assert len(one) > 80
    assert one.equals(other)


def test_two_policies_meet_the_same_users_in_the_same_moods() -> None:
    kinds = [{"request": {"kind": kind}} for kind in ("always", "never")]
    one, other = (lives(reacting(policy=policy))["opportunities"] for policy in kinds)
    assert not one.equals(other)
    both = one.merge(other, on=["device", "opportunity"])
    came = both[(both["outcome_x"] != "away") & (both["outcome_y"] != "away")]
    assert len(came) > 80
    assert ((came["outcome_x"] == "organic") == (came["outcome_y"] == "organic")).all()


def test_no_screen_is_better_than_the_best_one() -> None:
    looked = lives(reacting())["opportunities"].dropna(subset="value")
    assert len(looked) > 40
    assert (looked["value"] <= looked["best_value"]).all()
    assert (looked["value"] < looked["best_value"]).mean() > 0.5


def test_before_a_screen_that_waits_users_wait_or_leave() -> None:
    slow = {"request": {"kind": "always"}, "mode": "blocking", "patience": "10min"}
    fleet = {"classes": [{"name": "far", "share": 1, "link": {"kind": "constant", "rtt": "4min"}}]}
    told = lives(reacting(policy=slow, fleet=fleet, cloud={"request_timeout": "10min"}))["opportunities"]
    assert (told["outcome"] == "wait").sum() > 5
    assert np.isnan(told.loc[told["outcome"] == "wait", "value"]).all()
    assert (told.loc[told["outcome"] == "wait", "ends"] == "session").any()
