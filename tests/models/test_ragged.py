"""Rows of different lengths, against the same by hand."""

import numpy as np

from fleetrec.models.runtime.ragged import ragged


def test_every_entry_has_its_owner_and_its_number_and_owners_of_nothing_have_none() -> None:
    owner, number = ragged(np.array([2, 0, 3, 1]))
    assert owner.tolist() == [0, 0, 2, 2, 2, 3]
    assert number.tolist() == [0, 1, 0, 1, 2, 0]
    assert [len(part) for part in ragged(np.zeros(3, dtype=np.int64))] == [0, 0]
