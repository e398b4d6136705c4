"""Users of the user's own: what they see, what comes of their answers, and what they may not do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec import InputError, Leave
from fleetrec.simulator.scenario import sections
from tests.simulator.asked_user import Asked
from tests.simulator.own_file import own_file
from tests.simulator.reacting import UPDATES, lives, reacting, run

TASTE = """\
from fleetrec import Leave


class Mine:
    skip: float = 0.0

    def next(self, slate, now):
        if not slate.ready:
            return None
        worth = slate.utility(slate.items[:5]) + slate.gumbel(slate.items[:5])
        if slate.uniform("moody") < 0.1:
            return Leave(for_s=7200)
        if slate.uniform("tired") < 0.05:
            return "stop"
        self.before = getattr(self, "before", 0) + 1
        return slate.items[worth.argmax()] if worth.max(initial=-9) > self.skip else self.before % slate.n_items
"""


def by(does: Callable[[Any, float], Any], **changes: Any) -> dict[str, pd.DataFrame]:
    """The lives of users who do so."""
    Asked.does = does  # type: ignore[attr-defined]
    return lives(sections.with_kind(reacting(**changes), "workload.users", Asked))


def named(folder: Path, source: str, **changes: Any) -> sections.Scenario:
    users = {"kind": f"{own_file(folder, source)}:Mine"}
    return reacting(**{**changes, "workload": {**changes.get("workload", {}), "users": users}})


def test_who_asks_for_words_of_items_that_the_log_does_not_have_is_told_how_to_give_them(tmp_path: Path) -> None:
    rows = [f"u{user},i{(user * 7 + n) % 40},{1e9 + 3600 * n:.0f}" for user in range(20) for n in range(20)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    wordless = {"workload": {"interactions": {"path": str(tmp_path / "log.csv")}}}
    with pytest.raises(InputError) as told:
        by(lambda slate, now: slate.attributes(0) and None, **wordless)
    assert str(told.value).startswith(
        "workload.users: they ask for words of items, and the log has none; name the column"
    )
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": {"request": {"kind": "always"}, "mode": "blocking", "patience": 0.3}, "fleet": {"devices": 30}},
        {"policy": {"slate": "srm"}},
        {"policy": {"request": {"kind": "inconsistency", "threshold": 17.5}}},
    ],
    ids=str,
)
def test_their_lives_are_the_same_whatever_is_computed_in_bulk(changes: dict[str, Any], tmp_path: Path) -> None:
    scenario = named(tmp_path, TASTE, **changes)
    ahead, stepped = lives(scenario), lives(scenario, ahead=False)
    assert all(table.equals(stepped[name]) for name, table in ahead.items())
    told = ahead["opportunities"]
    assert {"slate", "organic", "skip", "away"} <= set(told["outcome"])
    assert set(told["ends"]) == {"", "session", "life"}


def test_what_they_take_is_had_from_the_screen_or_else_found_alone() -> None:
    seen: list[tuple[list[int], list[int], float, float]] = []

    def takes(slate: Any, now: float) -> int:
        seen.append((slate.items.tolist(), slate.history.tolist(), now, slate.waited_s))
        return int(slate.items[2]) if slate.opportunity % 2 and len(slate.items) > 2 else 7

    tables = by(takes)
    told, lived = tables["opportunities"], tables["interactions"]
    assert len(told) == len(lived) == len(seen) > 50
    assert set(told["outcome"]) == {"slate", "organic"}
    assert (told.loc[told["outcome"] == "slate", "place"] == 2).all()
    assert (told.loc[told["outcome"] == "slate", "opportunity"] % 2 == 1).all()
    assert told["item"].tolist() == lived["item"].tolist()
    told_again = sorted(seen, key=lambda one: one[2])
    assert [now for *_, now, _ in told_again] == sorted(told["t_s"])
    assert all(7 not in items for items, history, *_ in seen if 7 in history)  # seen items leave the screen
    assert sorted(waited for *_, waited in seen) == pytest.approx(sorted(lived["slate_latency_s"]), abs=1e-6)


def test_leaving_ends_a_session_and_a_user_comes_back_when_it_says_so() -> None:
    def leaves(slate: Any, now: float) -> Any:
        return Leave(for_s=4 * 3600.0) if slate.user % 2 else "leave"

    told = by(leaves)["opportunities"]
    came = told[told["outcome"] != "away"]
    gaps = came.groupby("device")["t_s"].diff().dropna()
    stays = came["device"][gaps.index] % 2 == 1
    assert (gaps[stays] >= 4 * 3600.0).all()
    assert gaps[~stays].min() < 2 * 3600.0
    assert (came.groupby(["device", "session"]).size() == 1).all()
    assert set(told.loc[told["outcome"] == "away", "device"] % 2) == {1}
    of_one = told[told["device"] == told["device"].iloc[-1]]
    assert (of_one["session"].diff().dropna() == 1).all()  # a session is come to, or missed


def test_a_user_who_stops_never_comes_again_and_one_who_waits_sees_nothing() -> None:
    slow = {"request": {"kind": "always"}, "mode": "blocking", "patience": "10min"}
    far = {"classes": [{"name": "far", "share": 1, "link": {"kind": "constant", "rtt": "4min"}}]}

    def stops(slate: Any, now: float) -> Any:
        assert len(slate.items) == 0 or slate.ready
        return 3 if slate.opportunity == 0 else None if slate.opportunity < 3 else "stop"

    told = by(stops, policy=slow, fleet=far, cloud={"request_timeout": "10min"})["opportunities"]
    assert "wait" in set(told["outcome"])
    assert (told.groupby("device").size() == 4).all()
    assert (told.groupby("device")["ends"].last() == "life").all()


def test_draws_are_keyed_by_user_and_opportunity_and_noise_by_item_as_well() -> None:
    drawn: dict[tuple[int, int], tuple[float, list[float]]] = {}

    def draws(slate: Any, now: float) -> Any:
        key = slate.user, slate.opportunity
        here = slate.uniform("mine"), slate.gumbel([3, 4]).tolist()
        assert drawn.setdefault(key, here) == here
        assert slate.gumbel([4])[0] == here[1][1]
        return None if slate.uniform("other") < 0.5 else 5

    for kind in ("always", "never"):
        by(draws, policy={"request": {"kind": kind}})
    values = np.array([value for value, _ in drawn.values()])
    assert len(values) > 50
    assert len(set(values.tolist())) == len(values)


def test_worth_is_that_of_users_who_choose() -> None:
    """Who takes the best by utility and noise of the whole catalogue does as those do who find all alone."""

    def finds(slate: Any, now: float) -> int:
        every = np.arange(slate.n_items)
        return int((slate.utility(every) + slate.gumbel(every)).argmax())

    alone = {"organic": 1.0, "returns": 800.0, "churns": -800.0, "patience": 1e6}
    own = by(finds)["opportunities"]
    built_in = lives(reacting(workload={"users": {"kind": "choice", **alone}}))["opportunities"]
    assert len(own) > 100
    assert own["item"].tolist() == built_in["item"].tolist()


def test_what_users_take_in_this_world_is_what_the_small_model_learns_to_show() -> None:
    seen: list[tuple[float, int]] = []

    def wants(slate: Any, now: float) -> int:
        seen.append((now, int(slate.items[0])))
        return 7

    update = UPDATES["drift"] | {"kind": "fleet", "drift": None, "learning_rate": 0.1, "epochs": 5}
    tables = by(wants, policy={"slate": "srm", "update": update}, workload={"exclude_seen": False})
    released_s = tables["updates"].query("event == 'released'")["t_s"].iloc[0]
    before, after = ([item == 7 for t_s, item in seen if (t_s > released_s + 3600) == late] for late in (False, True))
    assert np.mean(before) < 0.5 < np.mean(after)
    assert len(after) > 20


def test_a_run_tells_what_they_took_and_not_what_it_was_worth(tmp_path: Path) -> None:
    found = run(named(tmp_path, TASTE))
    held = found.summary["engagement"]
    assert held["choices"] > 50
    assert held["regret"] is None
    assert held["satisfaction"] is None
    assert "code of your own" in {note.key: note.text for note in found.notes}["engagement"]


WRONG = {
    "a word": ('return "go"', r"mine\.py:1: Mine\.next returned 'go'; return an item from 0 to 79, None, \"leave\""),
    "no item": ("return slate.n_items", r"Mine\.next returned 80; return an item from 0 to 79"),
    "true": ("return True", r"Mine\.next returned True; return an item"),
    "half an item": ("return 1.5", r"Mine\.next returned 1\.5; return an item"),
    "the past": ("from fleetrec import Leave\n        return Leave(-1)", r"Mine\.next returned Leave\(for_s=-1\)"),
    "raises": ("return slate.mood", r"mine\.py:3: AttributeError: .*'mood'"),
    "sets": ("slate.ready = True", r"mine\.py:3: AttributeError: 'ready' of what it is handed can only be read"),
    "prints": ("print(now)", r"mine\.py:3: prints, and standard output is for results"),
    "draws": ("import random\n        random.random()", r"Mine\.next: changes the global random numbers"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_what_they_may_not_do_ends_the_run_with_one_line(mistake: str, tmp_path: Path) -> None:
    body, expected = WRONG[mistake]
    scenario = named(tmp_path, f"class Mine:\n    def next(self, slate, now):\n        {body}\n")
    with pytest.raises(InputError, match=expected) as told:
        run(scenario)
    assert "\n" not in str(told.value)
