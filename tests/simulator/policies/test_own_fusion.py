"""Fusion rules of the user's own, in a run."""

from pathlib import Path

import pandas as pd
import pytest

from fleetrec import InputError
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.scenario import sections
from tests.simulator.own_file import own_file
from tests.simulator.tiny import records_of, scenario_of

ADDED = """\
from fleetrec import FusionRule


class Mine(FusionRule):
    weight: float = 1.0

    def fuse(self, view):
        lists = view.lists
        n = lists.logits.shape[-1]
        return -(lists.llm_rank + 1) / n + self.weight * (0.5 - (lists.srm_rank + 0.5) / n)
"""
PLAIN = ADDED.replace("from fleetrec import FusionRule\n\n\n", "").replace("(FusionRule)", "")


def named(folder: Path, source: str, **keys: object) -> sections.Scenario:
    """The tiny scenario with a fusion from this source."""
    return scenario_of(policy={"fusion": {"kind": f"{own_file(folder, source)}:Mine", **keys}})


@pytest.mark.parametrize("source", [ADDED, PLAIN], ids=["subclass", "plain"])
def test_an_own_rule_orders_as_the_built_in_one_of_its_formula(
    source: str, tmp_path: Path, store: ArtifactStore
) -> None:
    own = records_of(named(tmp_path, source, weight=2.0), store)
    built_in = records_of(scenario_of(policy={"fusion": {"kind": "linear", "srm_weight": 2.0}}), store)
    other = records_of(scenario_of(policy={"fusion": {"kind": "linear", "srm_weight": 0.0}}), store)
    pd.testing.assert_frame_equal(own["interactions"], built_in["interactions"])
    assert (own["interactions"]["rank"] != other["interactions"]["rank"]).any()


WRONG = {
    "raises": ("return view.lists.logits / (1 // 0)", r"mine\.py:3: ZeroDivisionError"),
    "one number": ("return 1.0", r"mine\.py:1: Mine\.fuse returned scores \(\) of candidates \(\d+, 20\); return one"),
    "no number": ("return view.lists.logits * float('nan')", r"mine\.py:1: Mine\.fuse returned a score that is no"),
    "prints": ("print(view)\n        return view.lists.logits", r"mine\.py:3: prints"),
    "complex": ("return view.lists.logits * 1j", r"mine\.py:1: Mine\.fuse returned complex numbers; return one real"),
    "no array": ("return 'all'", r"mine\.py:1: Mine\.fuse: ValueError: could not convert string to float"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_rule_that_gives_no_scores_ends_the_run_with_one_line(
    mistake: str, tmp_path: Path, store: ArtifactStore
) -> None:
    body, expected = WRONG[mistake]
    scenario = named(tmp_path, f"class Mine:\n    def fuse(self, view):\n        {body}\n")
    with pytest.raises(InputError, match=expected) as told, sections.silent(scenario):
        records_of(scenario, store)
    assert "\n" not in str(told.value)


def test_a_rule_without_its_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises((InputError, ValueError), match=r"Mine has no method fuse\(self, view\); give it one"):
        named(tmp_path, "class Mine:\n    power: float = 1.0\n")
