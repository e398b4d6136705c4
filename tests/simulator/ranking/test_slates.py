"""Slates against a slow, independent computation, one query at a time, in exact rational arithmetic."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from fleetrec.models.baselines import all_baselines
from fleetrec.models.candidates import CandidateLists
from fleetrec.simulator.policies.fusion.linear import LinearFusion
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.uncertainty import SCORES
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.lookahead import LookAhead, Scorer
from fleetrec.simulator.ranking.other_slates import JoinedSlates
from fleetrec.simulator.ranking.slates import BaselineSlates, CatalogueSlates, ListSlates, Queries
from fleetrec.simulator.ranking.srm_logits import StateScores
from fleetrec.simulator.ranking.weight_versions import DeviceWeights

ITEMS, USERS, LENGTH, DIM, N = 40, 6, 30, 8, 10


@dataclass
class FixedLists:
    """Lists drawn once per (user, as_of), some places invalid."""

    items: np.ndarray
    list_length: int = N
    name = "fixed"
    content_hash = "fixed"

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        return CandidateLists(self.items[users, as_of], np.ones(len(users), dtype=bool), as_of)


@dataclass
class World:
    histories: Histories
    scores: StateScores
    states: np.ndarray
    vectors: np.ndarray
    source: FixedLists

    def sequence(self, user: int) -> list[int]:
        low, high = self.histories.offsets[user : user + 2]
        return [int(item) for item in self.histories.items[low:high]]

    def logit(self, user: int, step: int, item: int) -> Fraction:
        state = self.states[user * LENGTH + step]
        return sum(
            (Fraction(float(a)) * Fraction(float(b)) for a, b in zip(state, self.vectors[item], strict=True)),
            Fraction(0),
        )


@pytest.fixture(scope="module")
def world() -> World:
    generator = np.random.default_rng(5)

    def grid(*shape: int) -> np.ndarray:
        return (np.round(generator.normal(size=shape) * 4) / 4).astype(np.float32)  # coarse, so that ties occur

    offsets = np.arange(USERS + 1) * LENGTH
    items = generator.integers(ITEMS, size=USERS * LENGTH).astype(np.int32)
    states, vectors = grid(USERS * LENGTH, DIM), grid(ITEMS, DIM)
    lists = np.stack([[generator.permutation(ITEMS)[:N] for _ in range(LENGTH)] for _ in range(USERS)])
    lists[generator.random(lists.shape) < 0.1] = -1
    known, first = np.ones(ITEMS, dtype=bool), np.zeros(USERS, dtype=np.int64)
    scores = StateScores(torch.from_numpy(states), offsets, first, torch.from_numpy(vectors), known)
    return World(Histories(offsets, items, ITEMS), scores, states, vectors, FixedLists(lists.astype(np.int32)))


def some_queries(world: World, count: int, seed: int = 0) -> Queries:
    generator = np.random.default_rng(seed)
    user = generator.integers(USERS, size=count)
    step = generator.integers(5, LENGTH - 3, size=count)
    as_of = np.maximum(step - generator.integers(0, 5, size=count), 0)
    target = generator.integers(ITEMS, size=count)
    weights = np.zeros(count, dtype=np.int64)
    return Queries(user, step, as_of, target, step + generator.integers(0, 2, size=count), weights)


def place_by_hand(order: list[int], target: int, seen: set[int]) -> int:
    shown = [item for item in order if item not in seen]
    return shown.index(target) if target in shown else -1


def linear_rank_order(world: World, user: int, step: int, named: list[int], extra: list[int]) -> list[int]:
    """Rule 3 on ranks, as the paper would do it with a sorted list: the LLM's order first, then the SRM's own."""
    items = [item for item in named if item >= 0] + extra
    llm_rank = {i: (i if i < len(items) - len(extra) else len(named)) for i in range(len(items))}
    return fused_order(world, user, step, items, llm_rank, len(named) + (len(named) if extra else 0))


def fused_order(
    world: World, user: int, step: int, items: list[int], llm_rank: dict[int, int], width: int
) -> list[int]:
    by_srm = sorted(range(len(items)), key=lambda i: (-world.logit(user, step, items[i]), i))
    srm_rank = {i: place for place, i in enumerate(by_srm)}

    def fused(i: int) -> Fraction:
        lead = Fraction(1) - (Fraction(srm_rank[i]) + Fraction(1, 2)) / width - Fraction(1, 2)
        return -Fraction(llm_rank[i] + 1, width) + lead

    return [items[i] for i in sorted(range(len(items)), key=lambda i: (-fused(i), i))]


def list_slates(world: World, exclude_seen: bool = True, refill: bool = False) -> ListSlates:
    fallback = CatalogueSlates(world.histories, world.scores, N, exclude_seen)
    fusion = RunningFusion(LinearFusion())
    uncertainty = SCORES["inconsistency"]
    return ListSlates(world.histories, world.scores, world.source, fusion, fallback, exclude_seen, uncertainty, refill)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_list_is_reranked_and_fused_as_by_hand(world: World, exclude_seen: bool) -> None:
    queries = some_queries(world, 300)
    ranks, _ = list_slates(world, exclude_seen).place(queries)
    for i in range(len(queries)):
        user, step = int(queries.user[i]), int(queries.step[i])
        order = linear_rank_order(world, user, step, world.source.items[user, queries.as_of[i]].tolist(), [])
        seen = set(world.sequence(user)[: int(queries.seen_upto[i]) + 1]) if exclude_seen else set()
        assert ranks[i] == place_by_hand(order, int(queries.target[i]), seen)


def test_a_refilled_list_is_as_by_hand(world: World) -> None:
    queries = some_queries(world, 300, seed=6)
    ranks, gaps = list_slates(world, refill=True).place(queries)
    for i in range(len(queries)):
        user, step = int(queries.user[i]), int(queries.step[i])
        named = [item for item in world.source.items[user, queries.as_of[i]].tolist() if item >= 0]
        had = set(world.sequence(user)[: step + 1])
        kept = [item for item in named if item not in had]
        others = sorted(set(range(ITEMS)) - had - set(named), key=lambda item: (-world.logit(user, step, item), item))
        items = kept + others[: len(named) - len(kept)]
        llm_rank = {place: named.index(item) if item in named else N for place, item in enumerate(items)}
        order = fused_order(world, user, step, items, llm_rank, N)
        later = set(world.sequence(user)[: int(queries.seen_upto[i]) + 1])  # had after the ranking, before the display
        assert ranks[i] == place_by_hand(order, int(queries.target[i]), later)
    np.testing.assert_array_equal(gaps, list_slates(world).place(queries)[1])  # scores are of the list as received


def test_a_refilled_slate_shows_nothing_seen_and_is_as_long_as_its_list(world: World) -> None:
    one = some_queries(world, 40, seed=7)
    slates = list_slates(world, refill=True)
    for i in range(len(one)):
        user, step, as_of = (np.full(ITEMS, int(column[i])) for column in (one.user, one.step, one.as_of))
        queries = Queries(user, step, as_of, np.arange(ITEMS), step, np.zeros_like(user))
        ranks, _ = slates.place(queries)
        shown = np.flatnonzero(ranks >= 0)
        assert not set(shown.tolist()) & set(world.sequence(user[0])[: step[0] + 1])
        length = int((world.source.items[user[0], as_of[0]] >= 0).sum())
        assert sorted(ranks[shown].tolist()) == list(range(length))


def test_the_srm_over_the_catalogue_shows_its_best_unseen_items(world: World) -> None:
    queries = some_queries(world, 200)
    ranks, _ = CatalogueSlates(world.histories, world.scores, N, True).place(queries)
    for i in range(len(queries)):
        user, step = int(queries.user[i]), int(queries.step[i])
        order = sorted(range(ITEMS), key=lambda item: (-world.logit(user, step, item), item))
        seen = set(world.sequence(user)[: int(queries.seen_upto[i]) + 1])
        rank = place_by_hand(order, int(queries.target[i]), seen)
        assert ranks[i] == (rank if rank < N else -1)


def test_joined_slates_add_the_srms_own_best_behind_the_llms_list(world: World) -> None:
    queries = some_queries(world, 120)
    fallback = CatalogueSlates(world.histories, world.scores, N, True)
    joined = JoinedSlates(world.histories, world.scores, world.source, RunningFusion(LinearFusion()), fallback, True)
    ranks, _ = joined.place(queries)
    for i in range(len(queries)):
        user, step = int(queries.user[i]), int(queries.step[i])
        named = world.source.items[user, queries.as_of[i]].tolist()
        past = set(world.sequence(user)[: step + 1])
        best = sorted(set(range(ITEMS)) - past, key=lambda item: (-world.logit(user, step, item), item))[:N]
        order = linear_rank_order(world, user, step, named, [item for item in best if item not in named])
        rank = place_by_hand(order, int(queries.target[i]), set(world.sequence(user)[: int(queries.seen_upto[i]) + 1]))
        assert ranks[i] == (rank if rank < N else -1)


@pytest.mark.parametrize("refill", [False, True])
def test_targets_that_one_fusion_has_found_are_those_of_another(world: World, refill: bool) -> None:
    queries = some_queries(world, 300, seed=8)
    targets = list_slates(world, refill=refill).targets(queries)
    placed = []
    for fusion in (LinearFusion(srm_weight=0.2), LinearFusion(srm_weight=5.0), LlmOnly()):
        fallback = CatalogueSlates(world.histories, world.scores, N, True)
        parts = world.histories, world.scores, world.source, RunningFusion(fusion), fallback
        slates = ListSlates(*parts, True, refill=refill)
        placed.append(slates.place(queries)[0])
        assert slates.ranks(targets, len(queries)).tolist() == placed[-1].tolist()
    assert (placed[0] != placed[1]).any()


def test_permuting_the_jobs_of_a_batch_changes_nothing(world: World) -> None:
    queries = some_queries(world, 500, seed=3)
    shuffle = np.random.default_rng(1).permutation(len(queries))
    for slates in (
        list_slates(world),
        list_slates(world, refill=True),
        CatalogueSlates(world.histories, world.scores, N, True),
    ):
        ranks, gaps = slates.place(queries)
        again, gaps_again = slates.place(queries.take(shuffle))
        assert (again == ranks[shuffle]).all()
        np.testing.assert_array_equal(gaps_again, gaps[shuffle])


def test_one_job_a_call_gives_what_a_batch_gives(world: World) -> None:
    queries = some_queries(world, 200, seed=4)
    users = np.arange(USERS)
    batched = Scorer(list_slates(world), world.histories, users, 8, True, DeviceWeights(world.scores)).place(queries)
    single = Scorer(list_slates(world), world.histories, users, 8, False, DeviceWeights(world.scores)).place(queries)
    assert (batched[0] == single[0]).all()
    np.testing.assert_array_equal(batched[1], single[1])


@pytest.mark.parametrize("fewest_followed", [1, 64])  # all at once, and each fill one step further
@pytest.mark.parametrize("lists_ahead", [True, False])
def test_what_is_computed_ahead_is_what_is_computed_on_demand(
    world: World, lists_ahead: bool, fewest_followed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetrec.simulator.ranking.lookahead._FEWEST_FOLLOWED", fewest_followed)
    users, slates = np.arange(USERS), list_slates(world)
    no_ties = np.zeros(USERS * LENGTH, dtype=bool)
    look_ahead = LookAhead(slates, 18.5, users * LENGTH, users * 0, no_ties, lists_ahead)
    ahead = Scorer(slates, world.histories, users, 4, True, DeviceWeights(world.scores), look_ahead)
    generator = np.random.default_rng(2)
    step, as_of = np.full(USERS, 5), np.full(USERS, 5)
    ahead.prefetch_all(as_of, step)
    for _ in range(200):
        device = int(generator.integers(USERS))
        step[device] = min(step[device] + 1, LENGTH - 1)
        if generator.random() < 0.3:
            as_of[device] = step[device]
            ahead.prefetch(device, int(as_of[device]), int(step[device]), 0)
        steps = np.arange(step[device], LENGTH)
        user, listed = np.full(len(steps), device), np.full(len(steps), as_of[device])
        gaps = slates.place(Queries(user, steps, listed, np.full(len(steps), -1), steps, np.zeros_like(steps)))[1]
        asked = (device, int(as_of[device]), int(step[device]), 0)
        high = next((int(s) for s, gap in zip(steps, gaps, strict=True) if gap >= 18.5), LENGTH)
        if generator.random() < 0.5:
            assert step[device] <= ahead.next_uncertain(*asked) <= high
        assert ahead.uncertainty(*asked) == gaps[0]
        assert step[device] <= ahead.next_uncertain(*asked) <= high


def test_what_was_placed_ahead_is_what_is_placed_afterwards(world: World) -> None:
    users, slates = np.arange(USERS), list_slates(world)
    look_ahead = LookAhead(slates, 18.5, users * LENGTH, users * 0, np.zeros(USERS * LENGTH, dtype=bool), True)
    ahead = Scorer(slates, world.histories, users, 4, True, DeviceWeights(world.scores), look_ahead)
    ahead.prefetch_all(np.full(USERS, 5), np.full(USERS, 5))
    ahead.uncertainty(0, 5, 5, 0)
    for first in (5, 15):  # two calls, with steps that do not fall
        steps = np.tile(np.arange(first, first + 10), USERS)
        who, listed = np.repeat(users, 10), np.full(10 * USERS, 5)
        queries = Queries(who, steps, listed, world.histories.item_at(who, steps + 1), steps, np.zeros_like(steps))
        for got, expected in zip(ahead.place_next(queries), slates.place(queries), strict=True):
            np.testing.assert_array_equal(got, expected)


def test_a_device_without_a_list_shows_its_fallback(world: World) -> None:
    queries = some_queries(world, 50)
    bare = Queries(queries.user, queries.step, np.full(50, -1), queries.target, queries.seen_upto, queries.weights)
    ranks, gaps = list_slates(world).place(bare)
    assert (ranks == CatalogueSlates(world.histories, world.scores, N, True).place(bare)[0]).all()
    assert np.isnan(gaps).all()


def test_the_popular_slate_refills_what_the_user_has_had(world: World) -> None:
    learn_end = np.full(USERS, LENGTH // 2)
    popular = all_baselines(world.histories.offsets, world.histories.items, ITEMS, learn_end)["popular"]
    trained = [item for user in range(USERS) for item in world.sequence(user)[: LENGTH // 2]]
    order = sorted(range(ITEMS), key=lambda item: (-trained.count(item), item))
    queries = some_queries(world, 200)
    ranks, _ = BaselineSlates(popular, ITEMS, N, True).place(queries)
    for i in range(len(queries)):
        seen = set(world.sequence(int(queries.user[i]))[: int(queries.seen_upto[i]) + 1])
        rank = place_by_hand(order, int(queries.target[i]), seen)
        assert ranks[i] == (rank if rank < N else -1)


def test_first_positions_are_those_of_a_plain_search(world: World) -> None:
    users = np.arange(USERS)
    items = np.tile(np.arange(ITEMS), (USERS, 1))
    found = world.histories.first_position(users, items)
    for user in range(USERS):
        sequence = world.sequence(user)
        for item in range(ITEMS):
            assert found[user, item] == (sequence.index(item) if item in sequence else 2**62)
