"""Item ids against hand-made logs: unique, of one length, and shared where items belong together."""

import numpy as np
import pytest

from fleetrec.models.llm.item_ids import ItemIds, collaborative_ids, item_ids, sequential_ids, trie_of
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import TrainingSet, training_set


def log_of(histories: list[list[int]], n_items: int) -> TrainingSet:
    ends = np.array([len(own) for own in histories])
    return training_set(np.concatenate([[0], np.cumsum(ends)]), np.concatenate(histories), n_items, ends, ends)


def two_circles(n_items: int = 60, users: int = 80) -> TrainingSet:
    """Half of the users have even items only, the other half odd ones only."""
    rng = np.random.default_rng(3)
    return log_of([(2 * rng.integers(0, n_items // 2, 12) + user % 2).tolist() for user in range(users)], n_items)


@pytest.mark.parametrize("kind", ["sequential", "collaborative"])
@pytest.mark.parametrize("n_items", [1, 2, 7, 60, 1500])
def test_every_item_has_an_id_of_its_own_even_those_nobody_has_had(kind: str, n_items: int) -> None:
    rng = np.random.default_rng(n_items)
    data = log_of([rng.integers(0, max(1, n_items // 2), 8).tolist() for _ in range(40)], n_items)
    ids = item_ids(kind, data, seed=1)
    assert len(np.unique(ids.codes, axis=0)) == n_items == ids.n_items
    assert ids.codes.min() >= 0
    assert ids.codes.max() < ids.width


def test_sequential_ids_are_the_digits_of_the_order_in_which_users_come_to_have_items() -> None:
    ids = sequential_ids(log_of([[7, 3, 7], [3, 8, 0]], 9))
    order = [7, 3, 8, 0, 1, 2, 4, 5, 6]  # had, in order; then those nobody had
    assert ids.width == 3
    assert [tuple(ids.codes[item]) for item in order] == [(n // 3, n % 3) for n in range(9)]


def test_ids_learn_nothing_from_held_out_events() -> None:
    data = log_of([[0, 1, 2], [3, 4, 5]], 6)
    held_out = training_set(data.offsets, [0, 1, 5, 3, 4, 2], 6, [2, 2], [3, 3])
    other = training_set(data.offsets, [0, 1, 2, 3, 4, 5], 6, [2, 2], [3, 3])
    for kind in ("sequential", "collaborative"):
        np.testing.assert_array_equal(item_ids(kind, held_out, 1).codes, item_ids(kind, other, 1).codes)


def test_collaborative_ids_begin_alike_for_items_that_the_same_users_have() -> None:
    ids = collaborative_ids(two_circles(), seed=1)
    odd = np.arange(ids.n_items) % 2
    share_odd = np.bincount(ids.codes[:, 0], odd) / np.maximum(np.bincount(ids.codes[:, 0]), 1)
    assert np.abs(share_odd[ids.codes[:, 0]] - odd).mean() < 0.1  # by chance it is 0.5


def test_collaborative_ids_are_the_same_whenever_they_are_made() -> None:
    np.testing.assert_array_equal(collaborative_ids(two_circles(), 1).codes, collaborative_ids(two_circles(), 1).codes)


def test_every_path_of_the_tree_ends_at_the_item_whose_id_it_spells() -> None:
    ids = ItemIds(np.array([[0, 1, 1], [0, 0, 2], [2, 0, 0], [0, 1, 0]]), 3)
    tree = trie_of(ids)
    for item, code in enumerate(ids.codes.tolist()):
        node = tree.root
        for depth, token in enumerate(code):
            assert tree.prefix[node, :depth].tolist() == code[:depth]
            node = tree.children[node, token]
        assert node == item
    assert (tree.children >= 0).sum() == tree.n_nodes - 1  # every node but the root is one node's child


def test_an_unknown_kind_of_ids_is_refused() -> None:
    with pytest.raises(InputError, match="sequential or collaborative"):
        item_ids("random", two_circles(), 1)
