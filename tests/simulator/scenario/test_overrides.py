"""`--set` changes one thing of a scenario and nothing else."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.policies.request.every import EveryRequest
from fleetrec.simulator.policies.request.inconsistency import InconsistencyRequest
from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.scenario import Scenario, load_scenario, sections

FILE = """\
name: fleet
seed: 3
fleet:
  devices: 100
  churn: {kind: on_off, online: 2h, leavers: 0.1}
  classes:
  - {name: fast, share: 0.4, link: {kind: constant, rtt: 10ms}}
  - {name: slow, share: 0.6}
policy:
  request: {kind: inconsistency, ratio: 0.2}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FILE)
    return path


def load(path: Path, *overrides: str) -> Scenario:
    return load_scenario(path, overrides)


def test_a_value_replaces_the_files_and_leaves_the_rest(path: Path) -> None:
    changed = load(path, "fleet.devices=500", "duration=2h")
    plain = load(path)
    assert (changed.fleet.devices, changed.duration) == (500, 7200.0)
    assert changed.fleet.model_copy(update={"devices": 100}) == plain.fleet
    assert changed.policy == plain.policy


def test_the_last_of_two_overrides_of_one_key_holds(path: Path) -> None:
    assert load(path, "seed=4", "seed=5").seed == 5


def test_a_seed_of_its_own_replaces_the_files_and_the_overrides(path: Path) -> None:
    assert Scenario.load(path, ["seed=4"], seed=9).seed == 9
    with pytest.raises(InputError, match=r"^--seed -1: seed: expected a whole number of at least 0"):
        Scenario.load(path, seed=-1)


def test_setting_a_kind_drops_what_the_new_kind_lacks_and_keeps_what_it_has(path: Path) -> None:
    assert load(path, "fleet.churn.kind=always_on").fleet.churn == sections.AlwaysOn()
    assert load(path, "policy.request.kind=random").policy.request == RandomRequest(ratio=0.2)
    changed = load(path, "policy.request.kind=every", "policy.request.n=7")
    assert changed.policy.request == EveryRequest(n=7)


def test_a_key_may_be_set_before_the_kind_that_has_it(path: Path) -> None:
    changed = load(path, "policy.request.n=7", "policy.request.kind=every")
    assert changed.policy.request == EveryRequest(n=7)


def test_a_whole_section_or_a_bare_kind_replaces_the_section(path: Path) -> None:
    assert load(path, "policy.request={kind: random, ratio: 0.3}").policy.request == RandomRequest(ratio=0.3)
    assert load(path, "policy.request=random").policy.request == RandomRequest()
    assert load(path, "fleet.churn=on_off").fleet.churn == sections.OnOff()
    changed = load(path, "fleet.churn=always_on", "fleet.churn.kind=on_off", "fleet.churn.online=1h")
    assert changed.fleet.churn == sections.OnOff(online=3600.0)


def test_a_key_of_a_bare_kind_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\nfleet: {churn: on_off}\nsrm: gru4rec\n")
    scenario = load(path, "fleet.churn.leavers=0.5", "srm.dim=32")
    assert scenario.fleet.churn == sections.OnOff(leavers=0.5)
    assert (scenario.srm.kind, scenario.srm.dim) == ("gru4rec", 32)


def test_items_of_a_list_go_by_place_or_by_name(path: Path) -> None:
    changed = load(path, "fleet.classes.slow.share=0.5", "fleet.classes.0.share=0.5", "fleet.classes.fast.link.rtt=1s")
    assert [c.share for c in changed.fleet.classes] == [0.5, 0.5]
    assert changed.fleet.classes[0].link == sections.ConstantLink(rtt=1.0)
    replaced = load(path, "fleet.classes.slow={name: other, share: 0.6}")
    assert [c.name for c in replaced.fleet.classes] == ["fast", "other"]


def test_what_the_file_does_not_give_is_there_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\n")
    default = load(path)
    low_end = default.fleet.classes[2].model_copy(update={"speed": 5e9})
    assert load(path, "fleet.classes.low_end.speed=5GFLOPS").fleet.classes == (*default.fleet.classes[:2], low_end)
    assert load(path, "workload.arrivals.time_scale=0.5").workload.arrivals == sections.ReplayArrivals(time_scale=0.5)
    assert load(path, "llm.candidates.epochs=3").llm.candidates == ItemLm(epochs=3)


def test_a_section_given_in_part_keeps_the_defaults_of_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\n")
    default = load(path).llm.candidates
    changed = load(path, "llm.candidates.training.seed=8").llm.candidates
    assert isinstance(default, ItemLm)
    assert isinstance(changed, ItemLm)
    assert changed.training == default.training.model_copy(update={"seed": 8})
    path.write_text("name: a\nllm: {candidates: {kind: item_lm, training: {seed: 8}}}\n")
    assert load(path).llm.candidates == changed


def test_words_beside_sections_can_be_set_and_left(path: Path) -> None:
    assert load(path, "fleet.preloaded=false").fleet.preloaded is False
    assert load(path, "fleet.preloaded=off").fleet.preloaded is False
    assert load(path, "fleet.preloaded=false", "fleet.preloaded.lag=3").fleet.preloaded == sections.Preloaded(lag=3)
    log = load(path, "workload.interactions.path=log.csv")
    assert log.workload.interactions == sections.LogFile(path="log.csv")
    back = load(path, "workload.interactions.path=log.csv", "workload.interactions=synthetic")
    assert back.workload.interactions == "synthetic"


def test_null_is_as_if_not_given(path: Path) -> None:
    request = load(path, "policy.request.ratio=null", "policy.request.threshold=18").policy.request
    assert request == InconsistencyRequest(threshold=18.0)
    assert load(path, "duration=1h", "duration=none").duration is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("my logs/out #1.csv", "my logs/out #1.csv"),
        ("#1.csv", "#1.csv"),
        ("it's #1", "it's #1"),
        ("'a #1'", "a #1"),
        ('"#1"', "#1"),
    ],
)
def test_a_value_is_not_cut_at_what_would_begin_a_comment_in_a_file(path: Path, value: str, text: str) -> None:
    assert load_scenario(path, [f"description={value}"]).description == text


@pytest.mark.parametrize(
    "override",
    [
        "name='a' #1",
        "fleet.churn={kind: on_off, online: 2h} # x",
        "workload.interactions=path: a #1.csv",
        "fleet.churn={kind: trace, path: a #1.csv}",
        "name=[draft].csv",
        "name=*.csv",
    ],
)
def test_what_cannot_be_told_from_a_comment_or_from_signs_of_yaml_asks_for_quotes(path: Path, override: str) -> None:
    with pytest.raises(InputError, match="in quotes") as error:
        load_scenario(path, [override])
    assert "\n" not in str(error.value)


def test_values_may_hold_equal_signs_and_quotes(path: Path) -> None:
    assert load(path, "description=a=b").description == "a=b"
    assert load(path, "description='12'").description == "12"
    assert load(path, "name=2024").name == "2024"


BAD = {
    "policy.reqest.kind=random": "unknown key 'reqest' in policy (did you mean 'request'?)",
    "polcy.request=random": "unknown key 'polcy' (did you mean 'policy'?)",
    "policy.request.rato=0.3": "unknown key 'rato' in policy.request (did you mean 'ratio'?)",
    "policy.request.n=3": "unknown key 'n' in policy.request of kind 'inconsistency' (keys: kind, ratio, ",
    "policy.request.kind=randm": "policy.request: unknown kind 'randm' (did you mean 'random'? kinds: ",
    "policy.request={kind: random, rato: 1}": "unknown key 'rato' in policy.request of kind 'random'",
    "fleet.classes.slwo.share=1": "fleet.classes has no item 'slwo' (did you mean 'slow'?)",
    "fleet.classes.7.share=1": "fleet.classes has no item '7' (items: fast, slow)",
    "fleet.classes.slow.shar=1": "unknown key 'shar' in fleet.classes.slow (did you mean 'share'?)",
    "fleet.devices.x=1": "fleet.devices holds a plain value; it has no key 'x'",
    "fleet.devices=many": "fleet.devices: expected a whole number of at least 1 such as 2000, 500k or 2M, got 'many'",
    "fleet.devices=": "fleet.devices: expected a whole number of at least 1 such as 2000, 500k or 2M, got nothing",
    "fleet.devices": "expected dotted.key=value, such as fleet.devices=500",
    "=3": "expected dotted.key=value",
    "fleet..devices=3": "expected dotted.key=value",
    "policy.request={kind: random": "cannot be read as YAML: ",
    "fleet.classes.slow.share=0.5": "fleet.classes: the shares must add up to 1, but 0.4 + 0.5 = 0.9",
}


@pytest.mark.parametrize("override", BAD)
def test_a_mistake_names_the_override_itself(path: Path, override: str) -> None:
    with pytest.raises(InputError) as caught:
        load(path, override)
    assert str(caught.value).startswith(f"--set {override}: ")
    assert BAD[override] in str(caught.value)
    assert "\n" not in str(caught.value)
