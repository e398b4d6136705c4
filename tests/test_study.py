"""The study of LSC4Rec's claims: its sweeps can be planned on every data set, and its page keeps its words."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep

FOLDER = Path(__file__).parent.parent / "experiments" / "lsc4rec"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The study's driver; it is a script, so its folder is put on the path as Python does for one that is run."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import study as found

    return found


@pytest.mark.data
def test_every_sweep_of_the_study_can_be_planned_on_each_of_its_data_sets(study: ModuleType, data_dir: Path) -> None:
    for data, held in study.STUDIES.items():
        for part in held.parts:
            if part not in study.REPLAYS:
                settings = [*held.settings, *held.of_part.get(part, ())]
                plan = make_plan(read_sweep(FOLDER / f"{part}.yaml", study.ROOT / held.scenario), settings)
                assert plan.n_runs > 0, f"{part} on {data}"


def test_a_page_keeps_its_words_and_the_tables_that_nothing_is_measured_for(study: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    page = tmp_path / "lsc4rec_study.md"
    text = "# Words\n<!-- begin fusion -->\n| old |\n<!-- end fusion -->\nMore words.\n"
    page.write_text(text, encoding="utf-8")
    study.write_page(tmp_path / "nothing", ["ml-1m"], tmp_path)
    assert page.read_text(encoding="utf-8") == text


def test_results_of_one_data_set_leave_those_of_others_on_the_page(study: ModuleType) -> None:
    from merging import merged, table

    old = table(["data", "policy", "5%"], [["a", "random", ".1"], ["b", "random", ".2"], ["c", "random", ".3"]])
    new = table(["data", "policy", "5%", "10%"], [["b", "random", ".4", ".5"], ["b", "learned", ".6", ""]])
    rows = [
        ["a", "random", ".1", ""],
        ["b", "random", ".4", ".5"],
        ["b", "learned", ".6", ""],
        ["c", "random", ".3", ""],
    ]
    assert merged(old, new, 2) == table(["data", "policy", "5%", "10%"], rows)
    by_data = merged(table(["claim", "a", "b"], [["x", "1", "2"]]), table(["claim", "b"], [["x", "3"], ["y", "4"]]), 1)
    assert by_data == table(["claim", "a", "b"], [["x", "1", "3"], ["y", "", "4"]])


def test_a_place_for_a_table_that_does_not_exist_is_told(study: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "lsc4rec_study.md"
    page.write_text("<!-- begin fusoin -->\n<!-- end fusoin -->\n", encoding="utf-8")
    with pytest.raises(InputError, match="no table is named 'fusoin'"):
        study.write_page(tmp_path, [], tmp_path)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1234, "+.1234"), (-0.00116, "−.0012"), (0.0, "+.0000"), (1.25, "+1.2500")]
)
def test_a_difference_is_written_to_four_places_with_its_sign(study: ModuleType, value: float, text: str) -> None:
    from results import signed

    assert signed(value) == text


def test_an_interval_that_leaves_out_zero_stands_out(study: ModuleType) -> None:
    from results import Difference

    assert str(Difference(0.01, 0.005, 0.015)) == "**+.0100 [+.0050, +.0150]**"
    assert str(Difference(0.01, -0.005, 0.025)) == "+.0100 [−.0050, +.0250]"


@pytest.mark.parametrize("replicates", [None, 5])
def test_an_interval_that_ends_at_zero_has_a_p_of_five_percent(study: ModuleType, replicates: int | None) -> None:
    from results import Difference

    assert Difference(0.01, 0.0, 0.02, replicates).p == pytest.approx(0.05)
    assert Difference(0.01, -0.01, 0.03, replicates).p > 0.1
    assert Difference(0.0, 0.0, 0.0).p == 1.0


def test_a_claim_among_many_is_bold_where_holm_rejects_it(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three intervals of the normal law: p of 0.0001, 0.03 and 0.2; by Holm 0.0003, 0.06 and 0.2."""
    import claims
    from results import Difference

    def of(z: float) -> Difference:
        return Difference(z, z - 1.959964, z + 1.959964, shares=(0.2, 0.19))

    monkeypatch.setattr(claims, "differences", lambda *_: {"x": {"a": of(3.89), "b": of(2.17)}, "y": {"b": of(1.28)}})
    (_, a, b), (_, nothing, c) = claims.claims(Path("unused"), ["a", "b"])
    assert [cell.startswith("**") for cell in (a, b, c)] == [True, False, False]
    assert nothing == ""
    assert b.endswith("] at .2000 and .1900")


def test_policies_of_a_replay_spend_the_share_that_they_are_told() -> None:
    from benchmarks.request_policies import Stream
    from fleetrec.simulator.core.randomness import Draws
    from fleetrec.simulator.policies.counterfactual import Decisions

    def decisions(users: int, count: int) -> Decisions:
        zero = np.zeros(users, dtype=np.int64)
        return Decisions(np.arange(users), zero, zero + count, zero - 1)

    held_out, stream = decisions(50, 10), decisions(400, 12)
    rng, nothing = np.random.default_rng(1), np.zeros(stream.base[-1])
    scores = rng.random(held_out.base[-1]), rng.random(stream.base[-1]) ** 3  # far lower in the stream
    held: Any = SimpleNamespace(decisions=held_out)
    unused: Any = None
    at = Stream(unused, unused, unused, held, stream, nothing, nothing)
    for ratio in (0.05, 0.2, 0.5):
        asked, _ = at.following(scores, ratio, Draws(1))
        assert asked.mean() == pytest.approx(ratio, rel=0.05)
    user, decision, number = stream.pairs()
    age = np.zeros(stream.base[-1])
    age[stream.pair(user, decision, number)] = decision + 1 - number
    asked, _ = at.within(np.ones(len(age), dtype=bool), 0.5, Draws(1), age)
    assert (asked.reshape(400, 12).sum(axis=1) == 6).all(), "the oldest half at each decision: every second one of each"


def test_a_thinned_sweep_is_its_file_with_the_first_seeds_alone(study: ModuleType, tmp_path: Path) -> None:
    sweep = FOLDER / "fusion.yaml"
    copy = study.thinned(sweep, tmp_path / "fusion-yelp", {"seeds": 1})
    assert copy.read_text(encoding="utf-8") == sweep.read_text(encoding="utf-8").replace("[1, 2, 3]", "[1]")
    assert study.thinned(sweep, tmp_path / "fusion-yelp", {"seeds": 3}) == sweep
