"""Anchored windows and what a training set may read."""

import numpy as np
import pytest

from fleetrec.models.sequences import training_set, window_start, windows_at


@pytest.mark.parametrize("max_length", [2, 3, 8, 50])
def test_a_window_re_bases_every_half_length_and_never_holds_more_than_its_length(max_length: int) -> None:
    length = max_length - max_length % 2
    positions = np.arange(5 * length)
    start = window_start(positions, max_length)
    size = positions - start + 1
    assert (start[:length] == 0).all()
    assert (start % (length // 2) == 0).all()
    assert set(np.diff(start)) <= {0, length // 2}
    assert size[length:].min() == length // 2 + 1
    assert size.max() == length


def test_windows_of_a_hand_made_log() -> None:
    offsets, items = np.array([0, 2, 9]), np.array([4, 5, 0, 1, 2, 3, 4, 5, 6], dtype=np.int32)
    users, positions = np.array([0, 1, 1, 1, 0]), np.array([1, 3, 4, 6, -1])
    # L = 4: position 4 re-bases to start 2, position 6 to start 4
    assert windows_at(offsets, items, users, positions, 4).tolist() == [
        [5, 6, 0, 0],
        [1, 2, 3, 4],
        [3, 4, 5, 0],
        [5, 6, 7, 0],
        [0, 0, 0, 0],
    ]


def test_the_hash_of_a_training_set_ignores_what_lies_beyond_validation() -> None:
    offsets, items = [0, 4, 7], [0, 1, 2, 3, 2, 1, 0]
    base = training_set(offsets, items, 4, [2, 3], [3, 3])
    later = training_set(offsets, [0, 1, 2, 0, 2, 1, 0], 4, [2, 3], [3, 3])
    held_out = training_set(offsets, [0, 1, 3, 3, 2, 1, 0], 4, [2, 3], [3, 3])
    assert base.content_hash == later.content_hash
    assert base.content_hash != held_out.content_hash
    assert base.content_hash != training_set(offsets, items, 4, [1, 3], [3, 3]).content_hash
    assert base.content_hash != training_set(offsets, items, 5, [2, 3], [3, 3]).content_hash


@pytest.mark.parametrize(
    ("fit", "valid", "items"),
    [([3, 1], [2, 1], [0, 1, 2, 0, 1]), ([1, 1], [4, 1], [0, 1, 2, 0, 1]), ([1, 1], [1, 1], [0, 1, 9, 0, 1])],
)
def test_a_training_set_that_contradicts_itself_is_refused(fit: list[int], valid: list[int], items: list[int]) -> None:
    with pytest.raises(ValueError, match="must"):
        training_set([0, 3, 5], items, 3, fit, valid)
