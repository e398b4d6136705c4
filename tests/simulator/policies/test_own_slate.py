"""Slates of the user's own, in a run."""

from pathlib import Path

import pandas as pd
import pytest

from fleetrec import InputError
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.scenario import sections
from tests.simulator.own_file import own_file
from tests.simulator.tiny import records_of, scenario_of

FUSED = """\
import numpy as np
from fleetrec import Slate


class Mine(Slate):
    length: int = 20

    def show(self, view, scores):
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.length]
        return np.take_along_axis(view.items, order, axis=1)
"""
PLAIN = FUSED.replace("from fleetrec import Slate\n", "").replace("(Slate)", "")


def named(folder: Path, source: str, **keys: object) -> sections.Scenario:
    return scenario_of(policy={"slate": {"kind": f"{own_file(folder, source)}:Mine", **keys}})


@pytest.mark.parametrize("source", [FUSED, PLAIN], ids=["subclass", "plain"])
def test_a_slate_that_shows_the_fused_list_is_the_built_in_one(
    source: str, tmp_path: Path, store: ArtifactStore
) -> None:
    own, built_in = records_of(named(tmp_path, source), store), records_of(scenario_of(), store)
    assert (own["interactions"]["rank"] >= 0).mean() > 0.05
    for name, table in own.items():
        pd.testing.assert_frame_equal(table, built_in[name])


def test_what_is_not_shown_is_a_miss_and_what_the_user_has_had_leaves_the_screen(
    tmp_path: Path, store: ArtifactStore
) -> None:
    whole, short = (records_of(named(tmp_path, FUSED, length=n), store)["interactions"]["rank"] for n in (20, 5))
    assert short.max() == 4
    assert (short[(whole >= 0) & (short >= 0)] == whole[(whole >= 0) & (short >= 0)]).all()
    assert (short[whole >= 5] == -1).mean() > 0.5  # the others moved up, since items that the user has had leave
    first = FUSED.replace("order = ", "scores = np.where(view.items % 2, scores, -1e9)\n        order = ")
    odd = records_of(named(tmp_path, first), store)["interactions"]
    assert (odd["rank"] != whole).any()


WRONG = {
    "no array": ("return None", r"mine\.py:4: Mine\.show returned an array of no object; return item numbers"),
    "scores": ("return scores", r"Mine\.show returned an array of \d+x20 float64; return item numbers, a row for each"),
    "one row": ("return view.items[:1]", r"Mine\.show returned an array of 1x20 int64; .* each of \d+ devices"),
    "no such item": ("return view.items + 10**6", r"returned an item that there is not; return -1, or a number below"),
    "twice": ("return np.repeat(view.items, 2, axis=1)", r"Mine\.show returned an item twice on one screen"),
    "raises": ("return view.mood", r"mine\.py:6: AttributeError: .*'mood'"),
    "random": (
        "np.random.rand()\n        return view.items",
        r"Mine\.show: changes the global random numbers of numpy",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_slate_that_gives_no_items_ends_the_run_with_one_line(
    mistake: str, tmp_path: Path, store: ArtifactStore
) -> None:
    body, expected = WRONG[mistake]
    scenario = named(
        tmp_path, f"import numpy as np\n\n\nclass Mine:\n    def show(self, view, scores):\n        {body}\n"
    )
    with pytest.raises(InputError, match=expected) as told:
        records_of(scenario, store)
    assert "\n" not in str(told.value)
