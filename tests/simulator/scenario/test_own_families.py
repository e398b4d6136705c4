"""What a user may rely on for a kind of their own under every key that has kinds: the same keys, errors and doors."""

import pickle
import re
from pathlib import Path

import pytest

from fleetrec import InputError, Scenario
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep
from fleetrec.simulator.scenario import json_schema, resolved_yaml, sections
from fleetrec.simulator.scenario.shapes import families_below

FAMILIES = {key: base for key, base in families_below(sections.Scenario).items() if ".N." not in key}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fleet.yaml").write_text("name: fleet\nllm: {served_as: llama-3.1-8b}\n", encoding="utf-8")


def good(key: str) -> str:
    """A class of the family under `key`, with a key of its own."""
    return f"class Mine:\n    own_key: float = 1.0\n\n    def {FAMILIES[key].family.methods[0]}:\n        return None\n"


def load(source: str, *overrides: str) -> Scenario:
    Path("mine.py").write_text(source, encoding="utf-8")
    return Scenario.load("fleet.yaml", overrides)


def at(scenario: sections.Scenario, key: str) -> sections.Kind:
    value: object = scenario
    for name in key.split("."):
        value = getattr(value, name)
    assert isinstance(value, sections.Kind)
    return value


def test_there_are_these_families() -> None:
    assert set(FAMILIES) == {
        "srm",
        "llm.candidates",
        "cloud.admission",
        "cloud.router",
        "cloud.order",
        "policy.request",
        "policy.fusion",
        "policy.slate",
        "policy.update",
        "workload.users",
    }


@pytest.mark.parametrize("key", FAMILIES)
def test_a_class_is_a_kind_with_its_keys_in_scenarios_other_processes_resolved_files_and_schemas(key: str) -> None:
    scenario = load(good(key), f"{key}=mine.py:Mine", f"{key}.own_key=2")
    kind = at(scenario, key)
    assert kind.kind == "mine.py:Mine"
    assert kind.own_key == 2.0  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    Path("resolved.yaml").write_text(resolved_yaml(scenario), encoding="utf-8")
    assert Scenario.load("resolved.yaml") == scenario
    assert json_schema({key: "mine.py:Mine"})["$defs"]["Mine"]["properties"]["own_key"]["default"] == 1.0
    for setting, expected in {
        f"{key}.own_kye=3": r"unknown key 'own_kye' in .* \(did you mean 'own_key'\?\)",
        f"{key}.own_key=much": "expected a number, got 'much'",
    }.items():
        with pytest.raises(InputError, match=expected):
            load(good(key), f"{key}=mine.py:Mine", setting)


BAD: dict[str, tuple[str, str]] = {
    "missing": ("other.py:Mine", r"other\.py does not exist"),
    "no Python": ("mine.py:Mine", r"mine\.py:\d+: cannot be read as Python"),
    "no such name": ("mine.py:Mini", r"mine\.py has no class 'Mini' \(did you mean 'Mine'\?\)"),
    "no method": ("mine.py:Mine", r"mine\.py:1: Mine has no method METHOD; give it one"),
    "no argument": ("mine.py:Mine", r"mine\.py:1: Mine\.NAME takes \(\); write it as def METHOD"),
    "async": ("mine.py:Mine", r"mine\.py:1: Mine\.NAME is async; write it as def METHOD"),
    "yields": ("mine.py:Mine", r"mine\.py:1: Mine\.NAME yields, .*; write it as def METHOD"),
    "no type": ("mine.py:Mine", r"mine\.py:1: Mine\.other has no type; write other: int = 3"),
    "raises": ("mine.py:Mine", r"mine\.py:6: ZeroDivisionError"),
    "prints": ("mine.py:Mine", r"mine\.py:6: prints, and standard output is for results"),
    "random": ("mine.py:Mine", r"mine\.py: changes the global random numbers of random"),
}


def spoilt(source: str, mistake: str) -> str:
    added = {
        "raises": "1 // 0\n",
        "prints": "print('hello')\n",
        "random": "import random\nrandom.seed(random.random())\n",
    }
    changed = {
        "no Python": source.replace("return None", "return ("),
        "no argument": re.sub(r"\(self.*\)", "()", source),
        "async": source.replace("    def ", "    async def "),
        "yields": source.replace("return None", "yield None"),
        "no method": source.replace("    def ", "    def other_"),
        "no type": source.replace("    def ", "    other = 3\n\n    def "),
    }
    return changed.get(mistake, source + added.get(mistake, ""))


@pytest.mark.parametrize("key", FAMILIES)
@pytest.mark.parametrize("mistake", BAD)
def test_a_class_that_cannot_be_used_is_one_line(mistake: str, key: str) -> None:
    if mistake == "no argument" and key == "srm":
        pytest.skip("what it builds is given by name, where it has a parameter for it")
    name, expected = BAD[mistake]
    method = FAMILIES[key].family.methods[0].replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(
        InputError, match=expected.replace("METHOD", method).replace("NAME", method.split("\\(")[0])
    ) as told:
        load(spoilt(good(key), mistake), f"{key}={name}")
    assert str(told.value).startswith(f"--set {key}={name}: {key}: ")
    assert "\n" not in str(told.value)


MODULE = """\
from torch import nn


class Mine(nn.Module):
    def __init__(self, n_items: int):
        super().__init__()

"""
MISWRITTEN = {
    "next_ask": ("policy.request", good("policy.request"), "def next_ask(self, device)", r"\(self, device, row\)"),
    "fit": ("llm.candidates", good("llm.candidates"), "async def fit(self, data)", r"\(self, data\)"),
    "forward": ("srm", MODULE, "def forward(self, windows, users)", r"\(self, windows\)"),
    "score": ("srm", MODULE, "async def score(self, history, candidates)", r"\(self, history, candidates\)"),
}


@pytest.mark.parametrize("name", MISWRITTEN)
def test_a_method_that_could_not_be_called_is_one_line_before_the_run(name: str) -> None:
    key, source, method, expected = MISWRITTEN[name]
    line = rf"mine\.py:\d+: Mine\.{name} (is async|takes \(self.*\)); write it as def {name}{expected}$"
    with pytest.raises(InputError, match=line):
        load(f"{source}    {method}:\n        return None\n", f"{key}=mine.py:Mine")


@pytest.mark.parametrize("key", FAMILIES)
def test_a_sweep_takes_a_relative_path_from_its_own_folder(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "mine.py").write_text(good(key), encoding="utf-8")
    (tmp_path / "sweeps" / "sweep.yaml").write_text(
        f"name: swept\nbase: ../fleet.yaml\nseeds: [1]\nvariants:\n"
        f"  - {{name: own, set: {{{key}.kind: 'mine.py:Mine'}}, axes: {{{key}.own_key: [1, 2]}}}}\n",
        encoding="utf-8",
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    plan = make_plan(read_sweep(tmp_path / "sweeps" / "sweep.yaml"))
    kinds = [at(plan.scenario(variant.name, 1), key) for variant in plan.manifest.variants]
    assert [kind.own_key for kind in kinds] == [1.0, 2.0]  # type: ignore[attr-defined]
    assert {kind.own_source().path for kind in kinds} == {tmp_path / "sweeps" / "mine.py"}
