"""Beams that name no item: as many as measured, where they were searched without a trie, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest

from fleetrec import Scenario, simulate
from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile, illegal_share
from fleetrec.simulator.preparation.illegal_beams import IllegalBeams, share_of
from fleetrec.simulator.scenario.inputs import ListInputs, TrainingInputs
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.small import noted


class Counting:
    """Lists of the items 0, 1, 2, ... for everybody; those of user 0 end after half of their places."""

    name, list_length, content_hash = "counting", 100, "counting"

    def lists(self, users, as_of):
        items = np.tile(np.arange(100, dtype=np.int32), (len(users), 1))
        items[users == 0, 50:] = -1
        return CandidateLists(items, np.ones(len(users), dtype=bool), as_of)


USERS, AS_OF = np.repeat(np.arange(40), 25), np.tile(np.arange(-1, 24), 40)


def lists_at(share, users=USERS, as_of=AS_OF):
    return IllegalBeams(Counting(), share).lists(users, as_of).items


def test_a_candidate_names_no_item_with_the_share_of_its_engine_and_keeps_its_place():
    items = lists_at(0.23)
    gone = (items < 0)[USERS > 0]
    assert gone.mean() == pytest.approx(0.23, abs=4 * np.sqrt(0.23 * 0.77 / gone.size))
    assert gone.mean(axis=0) == pytest.approx(0.23, abs=5 * np.sqrt(0.23 * 0.77 / len(gone)))  # at every place
    assert np.array_equal(items[USERS > 0][~gone], np.tile(np.arange(100), (len(gone), 1))[~gone])
    assert (items[USERS == 0, 50:] == -1).all()


def test_lists_are_a_function_of_user_and_time_and_a_smaller_share_leaves_out_fewer_of_the_same():
    some = np.random.default_rng(1).permutation(len(USERS))[:60]
    assert np.array_equal(lists_at(0.2, USERS[some], AS_OF[some]), lists_at(0.2)[some])
    assert ((lists_at(0.1) < 0) <= (lists_at(0.2) < 0)).all()
    hashes = {IllegalBeams(Counting(), share).content_hash for share in (0.1, 0.2)}
    assert len(hashes | {"counting"}) == 3


@pytest.mark.parametrize(
    ("beams", "share"), [(1, 0.27), (50, 0.27), (80, 0.25), (128, 0.23), (512, 0.19), (9999, 0.17)]
)
def test_the_share_is_that_of_flashrecs_table_without_a_trie_and_none_with_one(beams, share):
    assert illegal_share(engine_profile("vllm").search, beams) == pytest.approx(share, abs=1e-4)
    assert illegal_share(engine_profile("generative_recommender").searches["flashrec"], beams) == 0.0


def scenario(tmp_path, *overrides):
    (tmp_path / "tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    return Scenario.load(tmp_path / "tiny.yaml", overrides)


ENGINE = ("llm.illegal_beams=engine", "llm.beams=128", "cloud.engine=sglang")


def test_the_engine_says_the_share_of_the_width_and_a_user_another(tmp_path):
    by_engine = ListInputs.of(scenario(tmp_path, *ENGINE))
    assert share_of(by_engine) == pytest.approx(0.23)
    assert share_of(ListInputs.of(scenario(tmp_path, *ENGINE, "llm.illegal_beams=0.4"))) == 0.4
    assert share_of(ListInputs.of(scenario(tmp_path, "cloud.engine=sglang"))) == 0.0
    taught = TrainingInputs.of(scenario(tmp_path, *ENGINE, "srm.training.kind=cooperative")).lists
    assert taught == replace(by_engine.legal(), maker="llm")  # a small model learns from items


def test_a_run_shows_lists_with_holes_and_says_so(tmp_path, store: ArtifactStore):
    plain, illegal = (
        simulate(scenario(tmp_path, *keys), store=store) for keys in ((), ("llm.illegal_beams=0.9", "llm.beams=50"))
    )
    assert noted(illegal.summary["notes"])["illegal_beams"] == {"share": 0.9, "why": "llm.illegal_beams"}
    assert "illegal_beams" not in noted(plain.summary["notes"])
    shown = [(run.interactions["rank"] >= 0).sum() for run in (plain, illegal)]
    assert shown[1] < shown[0]
    scores = [run.interactions["inconsistency"].dropna() for run in (plain, illegal)]
    assert scores[0].min() < (4 + 0.3 * 10) ** 2 < scores[1].min()  # Z: more than 10 of 20 name no item
