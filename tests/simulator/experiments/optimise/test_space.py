"""Spaces and goals as users write them."""

from pathlib import Path

import pytest
import yaml

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.optimise import default_space, read_goals, read_seeds, read_space
from fleetrec.simulator.experiments.optimise.space import SearchParameter, Space, label_of, overrides_of
from fleetrec.simulator.scenario import Scenario
from tests.simulator.tiny import scenario_of

SPACE = """
policy.request.kind: [random, every]
policy.request.ratio: {low: 0.1, high: 0.5, step: 0.2, when: {policy.request.kind: random}}
policy.request.n: {low: 2, high: 32, log: true, integer: true, when: {policy.request.kind: [every]}}
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_parameter_exists_only_beside_the_kinds_that_it_belongs_to(tmp_path: Path) -> None:
    space = read_space(written(tmp_path, SPACE))
    low = space.settings(lambda parameter: 0.0)
    high = space.settings(lambda parameter: 0.99)
    assert low == {"policy.request.kind": "random", "policy.request.ratio": 0.1}
    assert high["policy.request.kind"] == "every"
    assert "policy.request.ratio" not in high


def test_a_space_that_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\n", encoding="utf-8")
    for space in (read_space(written(tmp_path, SPACE)), default_space(Scenario.load(path).policy)):
        assert read_space(written(tmp_path, yaml.safe_dump(space.as_file(), sort_keys=False))) == space


def test_steps_have_equal_shares_and_a_log_range_is_even_in_ratios() -> None:
    step = SearchParameter("a", low=0.1, high=0.5, step=0.2)
    assert [step.value(place) for place in (0.0, 0.32, 0.34, 0.65, 0.67, 0.999)] == [0.1, 0.1, 0.3, 0.3, 0.5, 0.5]
    log = SearchParameter("b", low=2, high=32, log=True, integer=True)
    assert [log.value(place) for place in (0.0, 0.25, 0.5, 0.75)] == [2, 4, 8, 16]


def test_a_section_whose_kind_changes_keeps_nothing_of_its_old_kind(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\npolicy: {request: {kind: staleness, threshold: 2}}\n", encoding="utf-8")
    settings = {"policy.request.kind": "inconsistency", "policy.request.ratio": 0.3, "fleet.devices": 7}
    loaded = Scenario.load(path, overrides_of(settings))
    assert loaded.policy.request.model_dump() == {
        "kind": "inconsistency",
        "ratio": 0.3,
        "threshold": None,
        "terms": "both",
    }
    assert loaded.fleet.devices == 7


def test_the_default_space_holds_together_at_all_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\n", encoding="utf-8")
    space = default_space(Scenario.load(path).policy)
    space.check(lambda settings: Scenario.load(path, overrides_of(settings)), "space")
    assert {"policy.request.kind", "policy.request.ratio", "policy.fusion.srm_weight", "policy.slate"} <= set(
        space.keys
    )


OWN = """\
from typing import Literal

from fleetrec import RequestPolicy, Seconds, Share


class Mine(RequestPolicy):
    ratio: Share = 0.5
    after: Seconds = 4000
    chance: Share = 0.5
    unseen: int = 3
    mood: Literal["good", "bad"] = "good"
    calm: bool = True
    name: str = "mine"
    most: float | None = None

    def wants(self, device):
        return True
"""


def test_a_policy_of_ones_own_is_searched_beside_the_built_in_ones_by_its_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN, encoding="utf-8")
    Path("s.yaml").write_text("name: s\npolicy: {request: {kind: 'mine.py:Mine', after: 1h}}\n", encoding="utf-8")
    space = default_space(Scenario.load("s.yaml").policy)
    parameters = {parameter.key: parameter for parameter in space.parameters}
    kind, only = "policy.request.kind", {"policy.request.kind": ("mine.py:Mine",)}
    assert parameters[kind].choices[-1] == "mine.py:Mine"
    assert parameters["policy.request.ratio"].when == {kind: ("random", "inconsistency", "mine.py:Mine")}
    assert parameters["policy.request.after"] == SearchParameter(
        "policy.request.after", (900, 1800, 3600, 7200, 14400), when=only
    )
    assert parameters["policy.request.unseen"].choices == (1, 2, 3, 6, 12)
    assert parameters["policy.request.chance"] == SearchParameter("policy.request.chance", low=0, high=1, when=only)
    assert parameters["policy.request.mood"].choices == ("good", "bad")
    assert parameters["policy.request.calm"].choices == (False, True)
    assert parameters["policy.request.name"].choices == ("mine",)
    assert "policy.request.most" not in parameters
    space.check(lambda settings: Scenario.load("s.yaml", overrides_of(settings)), "space")
    assert read_space(written(tmp_path, yaml.safe_dump(space.as_file(), sort_keys=False))) == space


def test_a_class_says_what_is_tried_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    says = 'searched = {"unseen": [1, 2], "after": {"low": 60, "high": 600, "log": True}}'
    Path("mine.py").write_text(
        OWN.replace("class Mine(RequestPolicy):\n", f"class Mine:\n    {says}\n"), encoding="utf-8"
    )
    Path("s.yaml").write_text("name: s\npolicy: {request: 'mine.py:Mine'}\n", encoding="utf-8")
    parameters = {parameter.key: parameter for parameter in default_space(Scenario.load("s.yaml").policy).parameters}
    assert parameters["policy.request.unseen"].choices == (1, 2)
    assert (parameters["policy.request.after"].low, parameters["policy.request.after"].log) == (60, True)
    Path("mine.py").write_text(
        OWN.replace("(RequestPolicy):\n", ":\n    searched = {'after': {'low': 60}}\n"), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"mine\.py:6: searched: policy\.request\.after: a range needs low and high"):
        default_space(Scenario.load("s.yaml").policy)


def test_a_kind_in_a_space_file_is_looked_for_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    space = read_space(written(tmp_path / "spaces", "policy.request.kind: [never, 'mine.py:Mine']\n"))
    assert space.parameters[0].choices == ("never", "spaces/mine.py:Mine")
    with pytest.raises(InputError, match=r"other\.py does not exist"):
        read_space(written(tmp_path / "spaces", "policy.request.kind: ['other.py:Mine']\n"))


def test_a_scenario_whose_slate_never_asks_has_no_default_space() -> None:
    with pytest.raises(InputError, match=r"policy\.slate: srm uses no list"):
        default_space(scenario_of(policy={"slate": "srm", "request": {"kind": "never"}}).policy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 3\n", r"space\.yaml:1: a: expected a list"),
        ("a: []\n", "an empty list"),
        ("a: [1, 1]\n", "names a value twice"),
        ("a: {low: 1}\n", "needs low and high"),
        ("a: {low: 2, high: 1}\n", "not less than"),
        ("a: {low: 0, high: 1, log: true}\n", "above 0"),
        ("a: {low: 0, high: 1, steps: 3}\n", "unknown key 'steps'"),
        ("a: {low: 0.5, high: 2, integer: true}\n", "integer, but"),
        ("a: {choices: [1], low: 0, high: 1}\n", "drop one of the two"),
        ("a: {low: 0, high: 1, when: {b: [1]}}\nb: [1]\n", "'b' is no parameter above"),
        ("", "expected dotted keys"),
    ],
)
def test_what_is_no_space_is_one_line_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read_space(written(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_key_that_no_scenario_has_is_found_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("name: s\n", encoding="utf-8")
    space = Space((SearchParameter("policy.budgt.ratio", (0.5, 1.0)),))
    with pytest.raises(InputError, match=r"policy\.budgt\.ratio=0\.5: .*did you mean"):
        space.check(lambda settings: Scenario.load(path, overrides_of(settings)), "space.yaml")


def test_a_label_says_kinds_first_and_what_they_are_set_to() -> None:
    settings = {"policy.request.kind": "random", "policy.request.ratio": 0.3, "policy.fusion.srm_weight": 2.0}
    assert label_of(settings) == "random ratio=0.3, srm_weight=2"


def test_goals_are_dotted_names_and_limits_may_have_units() -> None:
    goals = read_goals(["ndcg@10"], ["cost.usd_marginal"], ["latency_s.slate.p95=200ms", "requests.ratio=0.4"])
    assert dict(goals.directions) == {"accuracy.ndcg@10": "maximize", "cost.usd_marginal": "minimize"}
    assert dict(goals.limits) == {"latency_s.slate.p95": 0.2, "requests.ratio": 0.4}
    figures = {"latency_s.slate.p95": 0.3, "requests.ratio": 0.2}
    assert goals.excess(figures) == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("limit", ["latency_s.slate.p95", "latency_s.slate.p95=fast", "requests.ratio=a", "=3"])
def test_a_limit_that_cannot_be_read_is_one_line(limit: str) -> None:
    with pytest.raises(InputError, match="--limit"):
        read_goals(["ndcg@10"], ["cost.usd_marginal"], [limit])


def test_one_way_alone_is_no_front() -> None:
    with pytest.raises(InputError, match="one to --minimize"):
        read_goals(["ndcg@10"], [], [])


def test_seeds_are_different_whole_numbers() -> None:
    assert read_seeds("3, 1") == [3, 1]
    for wrong in ("1,1", "a", "1.5", ""):
        with pytest.raises(InputError, match="--seeds"):
            read_seeds(wrong)
