"""Rankings in compiled code are those of `ListSlates`, to the last bit: one test drives both."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.core.machine_code import SWITCH, Demand, machine_code
from fleetrec.simulator.policies.fusion.gated import GatedFusion
from fleetrec.simulator.policies.fusion.linear import LinearFusion
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.reciprocal_rank import ReciprocalRankFusion
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.fusion.srm_only import SrmOnly
from fleetrec.simulator.policies.uncertainty import SCORES, WithCoin
from fleetrec.simulator.ranking import one_pass
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.one_pass import DEMAND
from fleetrec.simulator.ranking.slates import CatalogueSlates, ListSlates, Queries
from fleetrec.simulator.ranking.srm_logits import StateScores
from fleetrec.simulator.scenario.sections.fusion import FusionRule
from tests.simulator.ranking.test_slates import FixedLists

ITEMS, USERS = 30, 5
RULES = [
    LinearFusion(),
    LinearFusion(srm_weight=0.35),
    GatedFusion(gate=0.3),
    ReciprocalRankFusion(srm_weight=0.5, constant=7.3),
    LlmOnly(),
]


class ByThePlaceAlone(LinearFusion):
    """A rule of somebody's own, which fuses in another way than the one it is made from."""

    kind: str = ""  # type: ignore[assignment]  # its own name is put here

    def fuse(self, view: ListView) -> np.ndarray:
        """The LLM's order."""
        return -view.lists.llm_rank


def _slates(seed: int, length: int, rule: FusionRule, hides_seen: bool, score: str, grows: bool = False) -> ListSlates:
    """Coarse numbers, so that logits and scores tie; short logs, some of them empty; items that the SRM does not know,
    places of lists without an item, and items that stand in a list twice."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 12, size=USERS)
    offsets = np.append(0, np.cumsum(lengths))
    log = generator.integers(ITEMS, size=offsets[-1]).astype(np.int32)
    states = (np.round(generator.normal(size=(12 * USERS, 4))) / 2).astype(np.float32)
    vectors = (np.round(generator.normal(size=(ITEMS, 4))) / 2).astype(np.float32)
    lists = generator.integers(-3, ITEMS, size=(USERS, 12, length)).clip(-1).astype(np.int32)
    known, rows = generator.random(ITEMS) < 0.9, 12 * np.arange(USERS + 1)
    scores = StateScores(
        torch.from_numpy(states), rows, np.zeros(USERS, dtype=np.int64), torch.from_numpy(vectors), known
    )
    histories = Histories(offsets, log, ITEMS)
    if grows:  # half of each log has been written so far
        before = lengths // 4
        histories = GrowingHistories(offsets, log, ITEMS, before, np.arange(USERS))
        histories.lengths[:] = lengths // 2
    fallback, uncertainty = CatalogueSlates(histories, scores, length, hides_seen), WithCoin(SCORES[score])
    source = FixedLists(lists, length)
    return ListSlates(histories, scores, source, RunningFusion(rule), fallback, hides_seen, uncertainty)


def _queries(seed: int, count: int) -> Queries:
    generator = np.random.default_rng(seed)
    user, step = generator.integers(USERS, size=count), generator.integers(12, size=count)
    as_of = np.maximum(step - generator.integers(0, 6, size=count), -1)
    target, seen_upto = generator.integers(-1, ITEMS, size=count), step + generator.integers(0, 2, size=count)
    return Queries(user, step, as_of, target, seen_upto, np.zeros(count, dtype=np.int64))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 17),
    st.integers(0, 150),
    st.sampled_from(RULES),
    st.booleans(),
    st.sampled_from(["inconsistency", "rank_gap", "invalid_penalty"]),
    st.booleans(),
    st.integers(1, 20),
)
def test_compiled_rankings_and_screens_are_those_of_the_slates(
    seed: int, length: int, count: int, rule: FusionRule, hides_seen: bool, score: str, grows: bool, depth: int
) -> None:
    slates, queries = _slates(seed, length, rule, hides_seen, score, grows), _queries(seed + 1, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DEMAND, "_code", machine_code(one_pass._CODE, ""))
        patch.setattr(one_pass, "_RANKINGS_PER_PIECE", 40)
        compiled = *slates.place_and_score(queries), slates.screens(queries, depth)
        patch.setenv(SWITCH, "off")
        plain = *slates.place_and_score(queries), slates.screens(queries, depth)
    for ours, theirs in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_compiled_code_does_not_know_is_left_to_the_slates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEMAND, "code", lambda more: pytest.fail("compiled code was asked for"))
    _slates(0, 9, SrmOnly(), True, "rank_gap").place(_queries(1, 50))  # its scores are logits
    _slates(0, 9, LinearFusion(score="list_softmax"), True, "rank_gap").place(_queries(1, 50))
    _slates(0, 9, ByThePlaceAlone(), True, "rank_gap").place(_queries(1, 50))
    _slates(0, 9, LinearFusion(), True, "entropy").place_and_score(_queries(1, 50))


def test_compiled_code_is_loaded_once_it_pays() -> None:
    demand = Demand(one_pass._CODE, "", 1_000, 3_000)
    assert demand.code(999) is None
    assert demand.code(2_001) is not None
