"""A run whose users react tells what they did, by whom, and judges predictions by what they found alone."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleetrec.models.metrics import clustered_ratio
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.ranking.growing_scores import GrowingScores
from fleetrec.simulator.results.engagement import device_totals
from fleetrec.simulator.simulation import simulate
from tests.simulator.handed_over import Formula
from tests.simulator.reacting import UPDATES, reacting, run


def test_a_run_in_which_all_is_found_alone_has_the_accuracy_of_all_it_recorded() -> None:
    found = run(reacting(workload={"users": {"kind": "choice", "organic": 1.0}}))
    ranks = found.interactions["rank"]
    assert found.summary["engagement"]["slate_share"] == 0
    assert found.summary["accuracy"]["hr@10"] == ((ranks >= 0) & (ranks < 10)).mean()


def test_clones_are_one_user_wherever_users_are_counted() -> None:
    found = run(reacting(fleet={"devices": 40}, workload={"users": {"kind": "choice", "organic": 0.5}}))
    users = found.devices["user"].to_numpy()
    assert len(users) == 40
    assert len(set(users)) == 16
    totals = device_totals(found.tables["opportunities"], 40, found.summary["simulated_seconds"])
    mean, half = clustered_ratio(totals["choices"].to_numpy(), totals["days"].to_numpy(), pd.factorize(users)[0])
    held = found.summary["engagement"]
    assert held["intervals"]["choices_per_day"] == pytest.approx([mean - half, mean + half])
    told = found.tables["opportunities"].query("outcome in ('slate', 'organic')").reset_index(drop=True)
    lived = found.interactions[(told["outcome"] == "organic").to_numpy()]
    hits = ((lived["rank"] >= 0) & (lived["rank"] < 10)).groupby(users[lived["device"]]).mean()
    assert found.summary["accuracy"]["per_user"]["hr@10"] == pytest.approx(hits.mean())
    assert {note.key: note.values for note in found.notes}["users_cloned"] == {"devices": 40, "users": 16}
    assert found.tables["users"]["user"].max() == 15


def test_groups_add_up_to_the_run_and_its_note_says_who_its_users_are() -> None:
    found = run(reacting())
    whole, ways = found.summary["engagement"], found.summary["engagement_by"]
    assert {"class", "activity", "taste"} == set(ways)
    assert all(sum(group["choices"] for group in way.values()) == whole["choices"] > 0 for way in ways.values())
    taken = found.summary["feedback_by"]
    assert any(taken.values())
    for way, groups in taken.items():
        for name, group in groups.items():
            assert group["choices"] == ways[way][name]["choices"] >= 20
            assert 0 <= group["gini"] <= 1 >= group["coverage"] > 0
    told = {note.key: note.text for note in found.notes}
    assert "built-in world" in told["engagement"]
    assert "prediction" not in told
    assert found.summary["headline"].startswith("Users took")


def test_baselines_rest_on_no_state_that_nobody_computed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    scenario = reacting(fleet={"devices": 40}, policy={"request": {"kind": "never"}, "update": UPDATES["fleet"]})
    found, made = [], GrowingScores.__init__
    for value in (0.0, 7.0):

        def begin(self: Any, *given: Any, left_there: float = value) -> None:
            made(self, *given)
            self._states.fill_(left_there)

        monkeypatch.setattr(GrowingScores, "__init__", begin)
        found.append(simulate(scenario, store=ArtifactStore(tmp_path / f"{value}"), candidates=Formula))
    one, other = found
    assert one.summary["hangs_on"] == other.summary["hangs_on"]
    assert one.baselines.equals(other.baselines)
