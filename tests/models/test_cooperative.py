"""The cooperative step teaches a small model the order inside the LLM's lists."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.cooperative import cooperate_or_load, order_quality, ranking_tasks
from fleetrec.models.srm.trained import TrainedSrm, train_or_load_srm
from fleetrec.simulator.scenario.sections import Srm, SrmTraining
from tests.models.srm_cases import Config, Training, cycle_log

ITEMS = 30


def taught(**changes: Any) -> SrmTraining:
    return Training(**{"list_learning_rate": 1e-2, "list_epochs": 4, "missed": "add"} | changes)


class LastComes:
    """Lists of 10 drawn at random, in which the item that comes next stands last where it is there at all."""

    name = "random"
    content_hash = "random"
    list_length = 10

    def __init__(self, data: TrainingSet, found: bool = True):
        self.data, self.found = data, found
        self.asked: list[tuple[int, int]] = []

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        rows = []
        for user, step in zip(users.tolist(), as_of.tolist(), strict=True):
            self.asked.append((user, step))
            following = (int(self.data.items[self.data.offsets[user] + step]) + 1) % ITEMS
            others = np.random.default_rng([user, step]).permutation(ITEMS)
            others = others[others != following]
            rows.append([*others[:9], following if step % 2 else others[9]])
        items = np.array(rows, dtype=np.int32).reshape(-1, 10)
        return CandidateLists(items, np.full(len(users), self.found), as_of)


def untaught(config: Srm, data: TrainingSet, store: ArtifactStore) -> TrainedSrm:
    return train_or_load_srm(config, data, store, 1)


@pytest.mark.parametrize(
    "config", [Config("sasrec", epochs=0), Config("gru4rec", loss="bce", epochs=0), Config("din", loss="bce", epochs=0)]
)
def test_it_learns_to_order_lists(config: Srm, tmp_path: Path) -> None:
    data, store = cycle_log(150, ITEMS, 14), ArtifactStore(tmp_path)
    before = untaught(config, data, store)
    source = LastComes(data)

    def cooperate() -> TrainedSrm:
        return cooperate_or_load(before, config, taught(), data, source, store, 1, "cpu", NullProgress())

    after = cooperate()
    _, held_out = ranking_tasks(data, source, taught(), before.model.max_length)
    assert order_quality(after.model, held_out) > order_quality(before.model, held_out) + 0.1
    again = cooperate()
    assert again.content_hash == after.content_hash != before.content_hash
    for one, other in zip(again.model.parameters(), after.model.parameters(), strict=True):
        assert bool((one == other).all())


def test_lists_are_asked_at_training_prefixes_only_and_missed_items_are_put_last() -> None:
    data = cycle_log(20, ITEMS, 12, held_out=3)
    source = LastComes(data)
    learning, held_out = ranking_tasks(data, source, taught(lists=4), 8)
    learning_asked, held_asked = source.asked[:80], source.asked[80:]
    assert len(learning.right) == 80
    assert all(step + 1 < 9 for _, step in learning_asked)  # the item to come is a training event too
    assert sorted(held_asked) == [(user, step) for user in range(20) for step in (8, 9, 10)]
    assert (learning.right == 9).all()
    assert (held_out.right.reshape(20, 3) == np.array([-1, 9, -1])).all()
    skipping, _ = ranking_tasks(data, LastComes(data), taught(lists=4, missed="skip"), 8)
    assert len(skipping.right) == sum(step % 2 for _, step in learning_asked)


def test_a_source_without_lists_of_training_prefixes_is_an_error() -> None:
    data = cycle_log(5, ITEMS, 8)
    with pytest.raises(InputError, match="no candidate list of a training prefix"):
        ranking_tasks(data, LastComes(data, found=False), taught(), 8)
