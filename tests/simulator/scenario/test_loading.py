"""A scenario file means what a reader of it would think it means."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.scenario import Scenario, advice, check_scenario, load_scenario, resolved_yaml, sections


def load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def test_a_name_is_enough(tmp_path: Path) -> None:
    scenario = load(tmp_path, "name: a\n")
    assert scenario == Scenario(name="a")
    assert isinstance(scenario, sections.Scenario)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("90", 90), ("1.5h", 5400), ("30min", 1800), ("2 d", 172800), ("1_000", 1000), ("1e-3", 0.001)],
)
def test_durations_have_units(tmp_path: Path, text: str, seconds: float) -> None:
    assert load(tmp_path, f"name: a\nduration: {text}\n").duration == pytest.approx(seconds, rel=1e-15)


def test_other_quantities_have_units_too(tmp_path: Path) -> None:
    classes = "{name: x, share: 1, speed: 8GFLOPS, power: 500mW, battery: 1Wh, memory: 1MiB, link: "
    classes += "{kind: constant, up: 5Mbps}}"
    device_class = load(tmp_path, f"name: a\nfleet: {{classes: [{classes}]}}\n").fleet.classes[0]
    assert (device_class.speed, device_class.power, device_class.battery) == (8e9, 0.5, 3600.0)
    assert device_class.memory == 1048576
    assert isinstance(device_class.link, sections.ConstantLink)
    assert device_class.link.up == 5e6


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    text = "name: a\nfleet: {devices: 1e4, represents: 1_000_000}\nsrm: {training: {learning_rate: 1e-3}}\nseed: 010\n"
    scenario = load(tmp_path, text)
    assert (scenario.fleet.devices, scenario.fleet.represents) == (10_000, 1_000_000)
    assert scenario.srm.training.learning_rate == 0.001
    assert scenario.seed == 10


@pytest.mark.parametrize(
    ("text", "value"), [("on", True), ("yes", True), ("off", False), ("no", False), ("False", False)]
)
def test_on_and_off_are_booleans_only_where_a_boolean_is_expected(tmp_path: Path, text: str, value: bool) -> None:
    scenario = load(tmp_path, f"name: {text}\ndescription: {text}\nengine: {{batching: {text}}}\n")
    assert scenario.engine.batching is value
    assert scenario.name == scenario.description == text


def test_text_stays_text_even_where_yaml_sees_something_else(tmp_path: Path) -> None:
    scenario = load(
        tmp_path, "name: 1.10\ndescription: 12:30\nworkload: {split: {kind: global_time, at: 2019-06-01}}\n"
    )
    assert (scenario.name, scenario.description) == ("1.10", "12:30")
    assert isinstance(scenario.workload.split, sections.GlobalTimeSplit)
    assert scenario.workload.split.at == "2019-06-01"


def test_a_bare_kind_is_a_section_of_that_kind(tmp_path: Path) -> None:
    fleet = "fleet: {churn: on_off, classes: [{name: x, share: 1, link: 5g}]}"
    scenario = load(tmp_path, f"name: a\n{fleet}\nsrm: gru4rec\npolicy: {{fusion: llm_only}}\n")
    assert scenario.fleet.churn == sections.OnOff()
    assert scenario.fleet.classes[0].link == sections.PresetLink(kind="5g")
    assert scenario.srm == sections.Srm.of("gru4rec")
    assert scenario.policy.fusion == LlmOnly()


def test_a_section_with_nothing_in_it_has_its_defaults(tmp_path: Path) -> None:
    scenario = load(tmp_path, "name: a\nfleet:\npolicy:\n  request:\nllm: {}\n")
    assert scenario == Scenario(name="a")


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    text = """\
name: a
fleet:
  classes:
  - &phone {name: x, share: 0.3, power: 3W}
  - {<<: *phone, name: y, share: 0.7}
"""
    classes = load(tmp_path, text).fleet.classes
    assert [(c.name, c.share, c.power) for c in classes] == [("x", 0.3, 3.0), ("y", 0.7, 3.0)]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: a\r\nseed: 4\r\n")
    assert load_scenario(path).seed == 4


def test_rounded_shares_add_up(tmp_path: Path) -> None:
    thirds = ", ".join(f"{{name: c{i}, share: 0.3333333}}" for i in range(3))
    assert len(load(tmp_path, f"name: a\nfleet: {{classes: [{thirds}]}}\n").fleet.classes) == 3


def test_settings_without_effect_are_told_and_others_are_not(tmp_path: Path) -> None:
    assert advice(load(tmp_path, "name: a\npolicy: {mode: blocking, patience: 1s}\n")) == []
    idle = load(tmp_path, "name: a\npolicy: {patience: 1s, slate: markov, fusion: llm_only, budget: {burst: 3}}\n")
    assert [line.split(" ")[0] for line in advice(idle)] == [
        "policy.patience",
        "policy.fusion",
        "policy.budget.burst",
    ]
    paired = load(tmp_path, "name: a\nsrm: {loss: bce, training: {softmax_precision: bfloat16}}\n")
    assert advice(paired) == ["srm.training.softmax_precision has no effect while srm.loss is bce"]
    other = load(tmp_path, "name: a\nsrm: {kind: gru4rec, training: {encoder_precision: bfloat16}}\n")
    assert advice(other) == ["srm.training.encoder_precision has no effect while srm.kind is gru4rec"]
    capped = load(tmp_path, "name: a\npolicy: {request: {kind: random, ratio: 0.4}, budget: {ratio: 0.1}}\n")
    assert advice(capped) == ["policy.request.ratio 0.4 is capped by policy.budget.ratio 0.1"]
    empty = load(tmp_path, "name: a\npolicy: {slate: recent}\n")
    assert [line.split(" is ")[0] for line in advice(empty)] == ["policy.slate recent"]
    assert advice(load(tmp_path, resolved_yaml(load(tmp_path, "name: a\npolicy: {slate: popular}\n")))) == []


def test_a_scenario_made_in_python_can_be_checked_too() -> None:
    check_scenario(Scenario(name="a"))
    with pytest.raises(InputError, match=r"^srm\.loss: full_softmax is too much for kind din"):
        check_scenario(Scenario(name="a", srm=sections.Srm.of("din")))
