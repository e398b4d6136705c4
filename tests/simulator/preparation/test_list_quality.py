"""Lists of another quality: the ends are what they say, the axis a line between them, whatever the batches."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from fleetrec import Scenario, simulate
from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.preparation.list_quality import QualityMaker
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.scenario import sections
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.small import noted

USERS, EVENTS, ITEMS, LENGTH, POOL = 400, 12, 300, 20, 80
LOG = np.random.default_rng(1).integers(100, ITEMS, (USERS, EVENTS)).astype(np.int32)  # nothing popular, nothing listed
HISTORIES = Histories(np.arange(USERS + 1) * EVENTS, LOG.reshape(-1), ITEMS)
USER, AS_OF = np.repeat(np.arange(USERS), EVENTS), np.tile(np.arange(-1, EVENTS - 1), USERS)
NEXT = HISTORIES.item_at(USER, AS_OF + 1)
OWN = np.tile(np.arange(LENGTH, dtype=np.int32), (len(USER), 1))
"""everybody's list: the items 0 to 19, of which 0 to 9 are among the popular"""
POPULAR = np.r_[:10, 20:90]


def made(own=OWN, some=slice(None), popular=POPULAR, exclude_seen=False, **quality):
    maker = QualityMaker(sections.Quality(**quality), HISTORIES, popular, exclude_seen)
    found = CandidateLists(own[some], np.ones(len(own[some]), dtype=bool), AS_OF[some])
    return maker.lists(USER[some], found).items


def close(share, expected, n):
    return share == pytest.approx(expected, abs=4.5 * np.sqrt(expected * (1 - expected) / n) + 1e-12)


def test_no_blend_is_the_list_itself():
    assert np.array_equal(made(blend=1.0), OWN)


def test_a_blend_of_nothing_is_a_random_list_of_popular_items_at_every_place_alike():
    lists = made(blend=0.0)
    assert set(np.unique(lists)) == set(POPULAR.tolist())
    assert all(len(set(row)) == LENGTH for row in lists.tolist())
    for place in (0, 7, LENGTH - 1):
        counts = np.bincount(lists[:, place], minlength=ITEMS)[POPULAR]
        expected = len(lists) / POOL
        assert ((counts - expected) ** 2 / expected).sum() < 79 + 5 * np.sqrt(2 * 79)  # chi squared of 79 degrees


@pytest.mark.parametrize("blend", [0.2, 0.7])
def test_a_place_keeps_its_item_with_the_chance_of_the_blend_and_no_item_stands_twice(blend):
    lists = made(blend=blend)
    of_llm = OWN[:, 10:] == lists[:, 10:]  # items that are not popular can only have been kept
    assert close(of_llm.mean(), blend, of_llm.size)
    assert close(of_llm[:, 3].mean(), blend, len(of_llm))
    assert all(len(set(row)) == LENGTH for row in lists.tolist())


def test_a_higher_blend_keeps_what_a_lower_one_kept():
    kept = [made(blend=blend)[:, 10:] == OWN[:, 10:] for blend in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert all((low <= high).all() for low, high in pairwise(kept))
    assert not kept[0].any()
    assert kept[-1].all()


@pytest.mark.parametrize("chance", [0.1, 0.6, 1.0])
def test_lists_hit_the_next_item_as_often_as_they_know_it(chance):
    lists = made(knows_next=chance)
    hit = lists[:, 0] == NEXT
    assert close(hit.mean(), chance, len(hit))
    assert np.array_equal((lists == NEXT[:, None]).any(axis=1), hit)
    assert np.array_equal(lists[hit][:, 1:], OWN[hit][:, :-1])
    assert np.array_equal(lists[~hit], OWN[~hit])
    more = made(knows_next=min(chance + 0.2, 1.0))[:, 0] == NEXT
    assert (hit <= more).all()


def test_an_item_that_is_known_and_on_the_list_moves_to_its_front():
    own = OWN.copy()
    own[:, 5] = NEXT
    lists = made(own, knows_next=1.0)
    assert np.array_equal(lists[:, 0], NEXT)
    assert np.array_equal(lists[:, 1:], np.delete(own, 5, axis=1))


def test_a_user_without_a_next_item_has_the_list_itself():
    users, as_of = np.arange(USERS), np.full(USERS, EVENTS - 1)
    maker = QualityMaker(sections.Quality(knows_next=1.0), HISTORIES, POPULAR, False)
    lists = maker.lists(users, CandidateLists(OWN[:USERS], np.ones(USERS, dtype=bool), as_of))
    assert np.array_equal(lists.items, OWN[:USERS])


def test_lists_are_a_function_of_user_and_time_alone():
    some = np.random.default_rng(2).permutation(len(USER))[:500]
    how = {"blend": 0.4, "knows_next": 0.3}
    assert np.array_equal(made(some=some, **how), made(**how)[some])
    assert np.array_equal(made(some=some[:1], **how), made(**how)[some[:1]])


def test_a_place_that_named_no_item_names_none_and_a_list_that_is_missing_stays_away():
    own = OWN.copy()
    own[:, 15:] = -1
    assert np.array_equal(made(own, blend=0.3) < 0, own < 0)
    maker = QualityMaker(sections.Quality(blend=0.0, knows_next=1.0), HISTORIES, POPULAR, False)
    gone = CandidateLists(np.full_like(OWN, -1), np.zeros(len(OWN), dtype=bool), AS_OF)
    assert (maker.lists(USER, gone).items == -1).all()


def test_what_a_user_has_had_comes_last_where_it_would_be_hidden():
    popular = np.unique(LOG[:40])[:POOL]
    lists = made(popular=popular, blend=0.0, exclude_seen=True)
    seen = HISTORIES.first_position(USER, lists.astype(np.int64)) <= AS_OF[:, None]
    assert not seen.any()  # 12 of 80 items at most
    assert (HISTORIES.first_position(USER, made(popular=popular, blend=0.0).astype(np.int64)) <= AS_OF[:, None]).any()


def test_a_catalogue_too_small_for_replacements_leaves_places_empty():
    lists = made(popular=POPULAR[:15], blend=0.0)
    assert ((lists >= 0).sum(axis=1) == 15).all()
    assert (lists[:, :15] >= 0).all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("quality")
    (path / "small.yaml").write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(folder):
    store = ArtifactStore(folder / "cache")
    return lambda *keys: simulate(Scenario.load(folder / "small.yaml", keys), store=store)


def test_a_run_at_a_quality_of_its_own_says_so_and_one_at_the_lists_own_has_the_same_bytes(run):
    plain, same = run(), run("llm.quality={blend: 1, knows_next: 0}")
    assert all(table.equals(same.tables[name]) for name, table in plain.tables.items())
    assert plain.summary == same.summary
    assert "list_quality" not in noted(plain.summary["notes"])
    other = run("llm.quality.blend=0.4")
    assert noted(other.summary["notes"])["list_quality"] == {"blend": 0.4, "knows_next": 0.0}
    assert other.summary["models"]["llm"]["quality_of"] == "item_lm blended 40%"


def test_a_run_is_the_better_the_better_its_lists_are_whatever_its_batches(run):
    keys = ("policy.request=always", "policy.fusion=llm_only")
    qualities = ({"blend": 0.0}, {"blend": 1.0, "knows_next": 0.3}, {"blend": 1.0, "knows_next": 0.9})
    runs = [run(*keys, *(f"llm.quality.{key}={value}" for key, value in one.items())) for one in qualities]
    reached = [one.summary["accuracy"]["ndcg@10"] for one in runs]
    assert reached[0] < reached[1] < reached[2]
    stepwise = run(*keys, "llm.quality.blend=0", "engine.batching=off", "engine.sleep=off")
    assert stepwise.interactions.equals(runs[0].interactions)
    assert stepwise.requests.equals(runs[0].requests)


OWN_SOURCE = """
import numpy as np


class Mine:
    def candidates(self, histories):
        return [(history[-1] + 1 + np.arange(histories.list_length)) % histories.n_items for history in histories]
"""


def write_table(path):
    """A list for every user and place but each third, which the newest older one stands in for."""
    rows = [
        (f"u{user}", as_of, f"i{(as_of + place) % 100}", place)
        for user in range(40)
        for as_of in range(0, 25, 3)
        for place in range(20)
    ]
    pd.DataFrame(rows, columns=["user_id", "as_of", "item_id", "rank"]).to_parquet(path)


@pytest.mark.parametrize(
    "source",
    [
        "{kind: p5, dim: 16, layers: 1, heads: 2, epochs: 1, prompts_per_epoch: 100}",
        "{kind: table, path: answers.parquet, missing: previous}",
        "{kind: 'mine.py:Mine'}",
    ],
)
def test_lists_of_every_kind_of_source_get_better_as_they_are_told_to(folder, source, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "mine.py").write_text(OWN_SOURCE, encoding="utf-8")
    write_table(folder / "answers.parquet")
    store = ArtifactStore(folder / "cache")
    keys = (f"llm.candidates={source}", "policy.request=always", "policy.fusion=llm_only", "fleet.devices=15")

    def reached(*more):
        return simulate(Scenario.load("small.yaml", [*keys, *more]), store=store).summary["accuracy"]["hr@10"]

    own, knowing = reached(), reached("llm.quality.knows_next=1")
    assert knowing > own + 0.2
    assert reached("llm.quality={blend: 0.0, knows_next: 1}") > 0.2
