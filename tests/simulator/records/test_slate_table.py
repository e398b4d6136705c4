"""A window of slates says the same of a slate as a list of all of them."""

import numpy as np
import pytest

import fleetrec.simulator.records.slate_table as module
from fleetrec.simulator.records.slate_table import SlateTable

NAMES = ("device", "as_of", "step", "weights", "list_time_s", "rank", "inconsistency")


def test_slates_in_use_and_new_ones_are_remembered_and_the_others_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEWEST_HELD", 100)
    rng, table = np.random.default_rng(1), SlateTable()
    all_rows: list[tuple[int, int, int, int, float]] = []
    shown = np.full(20, -1)
    table.in_use = lambda: shown
    held = []
    for _ in range(40):
        since = len(all_rows)
        for _ in range(30):
            device = int(rng.integers(20))
            row = (device, int(rng.integers(9)), int(rng.integers(50)), int(rng.integers(3)), float(rng.random()))
            n = int(rng.integers(1, 4))
            first = table.add(*row[:3], row[4], row[3], n)
            assert first == len(all_rows)
            all_rows += [(device, row[1], row[2] + step, row[3], row[4]) for step in range(n)]
            shown[device] = first if rng.random() < 0.7 else shown[device]
        new = table.unplaced()
        assert new["step"].tolist() == [row[2] for row in all_rows[since:]]
        ranks = np.arange(since, len(all_rows))
        table.placed(ranks, ranks / 7)
        asked = np.unique(np.concatenate([shown[shown >= 0], ranks]))
        table.forget()
        found = table.columns(asked, *NAMES)
        for place, name in enumerate(NAMES[:5]):
            assert found[place].tolist() == [all_rows[number][place] for number in asked], name
        assert found[5].tolist() == asked.tolist()
        assert found[6].tolist() == (asked / 7).astype(np.float32).tolist()
        held.append(len(table.made()["step"]))
    assert len(table) == len(all_rows) > 2000
    assert max(held[10:]) <= 400, "the window does not grow with the run"


def test_a_table_that_keeps_all_forgets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FEWEST_HELD", 2)
    table = SlateTable()
    table.in_use, table.keeps_all = lambda: np.empty(0, dtype=np.int64), True
    for step in range(5):
        table.add(0, -1, step, 0.0, 0)
        table.placed(np.array([step]), np.zeros(1))
        table.forget()
    assert table.made()["step"].tolist() == [0, 1, 2, 3, 4]
