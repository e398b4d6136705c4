"""Kinds of the user's own, as a scenario names them: what is read, and what is said of what cannot be."""

import pickle
import sys
from pathlib import Path

import pytest

from fleetrec import InputError, RequestPolicy, Scenario, Seconds
from fleetrec.simulator.results.run_identity import run_id
from fleetrec.simulator.scenario import json_schema, resolved_yaml, sections

GOOD = """\
from fleetrec import RequestPolicy, Seconds


class Evenings(RequestPolicy):
    \"\"\"In the evening.\"\"\"

    after: Seconds = 18 * 3600.0
    unseen: int = 3

    def wants(self, device):
        return device.time_of_day_s >= self.after and device.staleness >= self.unseen
"""
PLAIN = """\
from typing import Literal

from fleetrec import Seconds


class Evenings:
    after: Seconds = "18h"
    mood: Literal["good", "bad"] = "good"
    score = "entropy"

    def wants(self, device):
        return device.time_of_day_s >= self.after
"""
DATACLASS = """\
from dataclasses import dataclass


@dataclass(frozen=True)
class Evenings:
    after: float
    links: tuple[str, ...] = ("wifi",)

    def wants(self, device):
        return device.time_of_day_s >= self.after
"""
WANTS = "    def wants(self, device):\n        return True\n"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def load(source: str, request: str = "mine.py:Evenings", *overrides: str) -> Scenario:
    """A scenario whose request is that, beside a file with this source."""
    Path("mine.py").write_text(source, encoding="utf-8")
    Path("fleet.yaml").write_text(f'name: fleet\npolicy:\n  request: "{request}"\n', encoding="utf-8")
    return Scenario.load("fleet.yaml", overrides)


def values(policy: sections.RequestPolicy) -> dict[str, object]:
    return {name: getattr(policy, name) for name in type(policy).model_fields}


def test_fields_of_a_class_are_keys_with_units_and_defaults() -> None:
    defaults = {"kind": "mine.py:Evenings", "after": 64800.0, "unseen": 3}
    assert values(load(GOOD).policy.request) == defaults
    changed = load(GOOD, "mine.py:Evenings", "policy.request.after=20h", "policy.request.unseen=1")
    assert values(changed.policy.request) == defaults | {"after": 72000.0, "unseen": 1}


def test_a_plain_class_and_a_dataclass_are_kinds_too() -> None:
    plain = load(PLAIN).policy.request
    assert values(plain) == {"kind": "mine.py:Evenings", "after": 64800.0, "mood": "good"}
    assert plain.score == "entropy"
    made = load(DATACLASS, "mine.py:Evenings", "policy.request={kind: 'mine.py:Evenings', after: 3}").policy.request
    assert values(made) == {"kind": "mine.py:Evenings", "after": 3.0, "links": ("wifi",)}


def test_a_module_that_python_finds_is_named_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lib" / "my_plugin").mkdir(parents=True)
    (tmp_path / "lib" / "my_plugin" / "__init__.py").write_text("")
    (tmp_path / "lib" / "my_plugin" / "evenings.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    assert load("", "my_plugin.evenings:Evenings").policy.request.kind == "my_plugin.evenings:Evenings"


def test_an_entry_point_of_an_installed_package_is_a_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "lib" / "my_evenings-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "lib" / "my_evenings_plugin.py").write_text(GOOD)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-evenings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fleetrec.plugins]\nevenings = my_evenings_plugin:Evenings\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    assert load("", "evenings").policy.request.kind == "my_evenings_plugin:Evenings"


def test_a_file_is_found_beside_the_one_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(GOOD)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    scenario = Scenario.load(tmp_path / "fleet.yaml")
    assert scenario.policy.request.kind == f"{tmp_path}/mine.py:Evenings"
    with pytest.raises(InputError, match=rf"mine\.py does not exist \(looked in {tmp_path}/elsewhere\)"):
        Scenario.load(tmp_path / "fleet.yaml", ["policy.request=mine.py:Evenings"])


def test_a_resolved_scenario_loads_back_from_any_folder(tmp_path: Path) -> None:
    scenario = load(GOOD, "mine.py:Evenings", "policy.request.after=20h")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "scenario.yaml").write_text(resolved_yaml(scenario), encoding="utf-8")
    assert Scenario.load("runs/scenario.yaml") == scenario


def test_keys_of_ones_own_stand_in_the_schema() -> None:
    load(GOOD)
    request = json_schema({"policy.request": "mine.py:Evenings"})["$defs"]["Policy"]["properties"]["request"]
    assert {"$ref": "#/$defs/Evenings"} in request["anyOf"]
    with pytest.raises(InputError, match=r"fleet\.devices is no key with kinds of one's own; name one of .*policy"):
        json_schema({"fleet.devices": "mine.py:Evenings"})


def test_a_run_is_another_where_own_code_or_what_it_imports_has_changed() -> None:
    Path("helper.py").write_text("HOUR = 3600\n")
    source = f"import helper\n{GOOD}"
    first = run_id(load(source))
    assert run_id(load(source)) == first
    Path("helper.py").write_text("HOUR = 3601\n")
    second = run_id(load(source))
    assert run_id(load(source + "\n# a word\n")) not in (first, second)
    assert second != first


def test_what_a_file_imports_from_beside_it_is_its_own() -> None:
    Path("helper.py").write_text("AFTER = 1.0\n")
    source = GOOD.replace("18 * 3600.0", "helper.AFTER")
    assert load(f"import helper\n{source}").policy.request.after == 1.0  # type: ignore[attr-defined]
    Path("helper.py").write_text("AFTER = 2.0\n")
    assert load(f"import helper\n{source}").policy.request.after == 2.0  # type: ignore[attr-defined]


def test_files_of_two_folders_have_each_its_own_helper_also_when_a_method_imports_it() -> None:
    """Directly, by way of another module, and of a package."""
    load(GOOD)
    answers = []
    for folder, after in (("early", 1.0), ("late", 2.0)):
        Path(folder, "parts").mkdir(parents=True)
        Path(folder, "helper.py").write_text(f"AFTER = {after}\n")
        Path(folder, "parts", "__init__.py").write_text("")
        Path(folder, "parts", "inner.py").write_text("def after():\n    import helper\n    return helper.AFTER\n")
        body = "import helper\n        from parts import inner\n        return helper.AFTER == inner.after() == "
        source = f"class Evenings:\n    def wants(self, device):\n        {body}{after}\n"
        Path(folder, "mine.py").write_text(source)
        answers.append(Scenario.load("fleet.yaml", [f"policy.request={folder}/mine.py:Evenings"]).policy.request)
    asked = [answers[which].own_behaviour().wants(None) for which in (0, 1, 0, 1)]
    assert asked == [True] * 4


@pytest.mark.parametrize("source", [GOOD, PLAIN])
def test_own_kinds_travel_to_other_processes(source: str) -> None:
    scenario = load(source, "mine.py:Evenings", "policy.request.after=20h")
    packed = pickle.dumps(scenario)
    assert pickle.loads(packed) == scenario
    Path("mine.py").write_text(source + "# changed\n")
    with pytest.raises(InputError, match=r"mine\.py:\d+: was changed since this began"):
        pickle.loads(packed)


def test_an_object_of_a_class_stands_for_the_policy_in_python() -> None:
    load(GOOD)
    built_in = sections.RequestPolicy.family.built_in()["never"]()
    assert sections.kind_of_object(built_in, sections.RequestPolicy) is built_in
    own = sections.kind_of_object(Mornings(before="9h"), sections.RequestPolicy)  # type: ignore[arg-type]
    assert values(own) == {"kind": f"{__name__}:Mornings", "before": 32400.0}
    with pytest.raises(InputError, match=r"int has no|builtins"):
        sections.kind_of_object(3, sections.RequestPolicy)


class Mornings(RequestPolicy):
    """Before a time of day."""

    before: Seconds = 9 * 3600.0

    def wants(self, device: object) -> bool:
        return False


BAD: dict[str, tuple[str, str, str]] = {
    "no file": (GOOD, "other.py:Evenings", r"policy\.request: other\.py does not exist \(looked in /.*\); check"),
    "a folder": (GOOD, "folder.py:Evenings", r"folder\.py is a folder; name a Python file in it"),
    "no Python": ("class Evenings\n", "mine.py:Evenings", r"mine\.py:1: cannot be read as Python: expected ':'"),
    "raises": (f"a = 1\nb = a / 0\n{GOOD}", "mine.py:Evenings", r"mine\.py:2: ZeroDivisionError: division by zero"),
    "raises within": (
        "def work():\n    raise KeyError('x')\n\n\nwork()\n",
        "mine.py:Evenings",
        r"mine\.py:2: KeyError: 'x'",
    ),
    "leaves": ("import sys\nsys.exit(3)\n", "mine.py:Evenings", r"mine\.py:2: SystemExit: 3"),
    "imports what is not there": (
        "import nonesuch\n",
        "mine.py:Evenings",
        r"mine\.py:1: ModuleNotFoundError: No module named 'nonesuch'",
    ),
    "no name": (GOOD, "mine.py", r"mine\.py is a file; name a class in it, mine\.py:NAME"),
    "no such name": (GOOD, "mine.py:Evening", r"mine\.py has no class 'Evening' \(did you mean 'Evenings'\?\)"),
    "no class": ("Evenings = 3\n", "mine.py:Evenings", r"mine\.py: Evenings is no class; name a class"),
    "no method": ("class Evenings:\n    after: float = 1.0\n", "mine.py:Evenings", r"no method wants\(self, device\)"),
    "no method of its own": (
        "from fleetrec import RequestPolicy\nclass Evenings(RequestPolicy):\n    after: float = 1.0\n",
        "mine.py:Evenings",
        r"mine\.py:2: Evenings has no method wants\(self, device\); give it one",
    ),
    "no type": (
        f"class Evenings:\n    after = 18\n{WANTS}",
        "mine.py:Evenings",
        r"mine\.py:1: Evenings\.after has no type; write after: int = 18",
    ),
    "no type in a subclass": (
        f"from fleetrec import RequestPolicy\nclass Evenings(RequestPolicy):\n    after = 18\n{WANTS}",
        "mine.py:Evenings",
        r"mine\.py:2: PydanticUserError: A non-annotated attribute was detected: `after = 18`",
    ),
    "no type of a key": (
        f"class Evenings:\n    after: dict = None\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.after default None: Input should be a valid dictionary",
    ),
    "a type that no key has": (
        f"class Evenings:\n    after: dict\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.after: a key is an int, float, bool",
    ),
    "a type of others": (
        f"import numpy as np\nclass Evenings:\n    after: np.ndarray = np.zeros(2)\n{WANTS}",
        "mine.py:Evenings",
        r"mine\.py:2: Evenings\.after: a key is an int, float, bool",
    ),
    "no type at all": (
        f"class Evenings:\n    after: 3\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.after: a key is an int, float, bool",
    ),
    "a key called kind": (
        f"class Evenings:\n    kind: str = 'mean'\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.kind stands for the class itself in a scenario; call the key otherwise",
    ),
    "a type that is not there": (
        f"class Evenings:\n    after: 'Hours' = 1\n{WANTS}",
        "mine.py:Evenings",
        r"NameError: name 'Hours' is not defined",
    ),
    "a wrong default": (
        f"from fleetrec import Seconds\nclass Evenings:\n    after: Seconds = '18 o clock'\n{WANTS}",
        "mine.py:Evenings",
        r"mine\.py:2: Evenings\.after default '18 o clock': expected a duration",
    ),
    "a name that is taken": (
        f"from fleetrec import RequestPolicy\nclass Evenings(RequestPolicy):\n    late_s: float = 1.0\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.late_s means something of its own to RequestPolicy",
    ),
    "a name that is taken in a plain class": (
        f"class Evenings:\n    late_s: float = 1.0\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings\.late_s means something of its own to RequestPolicy",
    ),
    "prints": (f"print('hello')\n{GOOD}", "mine.py:Evenings", r"mine\.py:1: prints, and standard output is for"),
    "random numbers of all": (
        f"import random\nrandom.seed(1)\n{GOOD}",
        "mine.py:Evenings",
        r"mine\.py: changes the global random numbers of random",
    ),
    "another folder for all": (
        f"import os\nos.chdir('folder.py')\n{GOOD}",
        "mine.py:Evenings",
        r"mine\.py: changes the folder in which the command runs; name files from Path\(__file__\)\.parent",
    ),
    "another dtype for all": (
        f"import torch\ntorch.set_default_dtype(torch.float64)\n{GOOD}",
        "mine.py:Evenings",
        r"mine\.py: changes PyTorch's default dtype for all; give its own tensors a dtype",
    ),
    "no module": (GOOD, "nonesuch.policies:Evenings", r"there is no module 'nonesuch'; install its package"),
    "a pydantic model": (
        f"from pydantic import BaseModel\nclass Evenings(BaseModel):\n    after: int = 3\n{WANTS}",
        "mine.py:Evenings",
        r"mine\.py:2: Evenings is a pydantic model; extend fleetrec\.RequestPolicy or nothing, or make it a dataclass",
    ),
    "a named tuple": (
        f"from typing import NamedTuple\nclass Evenings(NamedTuple):\n    after: int = 3\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings is a tuple; extend",
    ),
    "an enumeration": (
        f"from enum import Enum\nclass Evenings(Enum):\n    LATE = 3\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings is an enumeration; extend",
    ),
    "an abstract class": (
        f"import abc\nclass Evenings(abc.ABC):\n    @abc.abstractmethod\n    def after(self): ...\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings is an abstract class; extend",
    ),
    "slots": (
        f"class Evenings:\n    __slots__ = ('b',)\n{WANTS}",
        "mine.py:Evenings",
        r"Evenings is a class with __slots__",
    ),
    "raises what is no usual exception": (
        "class Odd(BaseException):\n    def __str__(self):\n        return 1 / 0\n\n\nraise Odd\n",
        "mine.py:Evenings",
        r"mine\.py:6: Odd$",
    ),
    "a module that leaves": ("import sys\nsys.exit(0)\n", "mine:Evenings", r"mine: SystemExit: 0$"),
    "an unknown score": (
        GOOD.replace("    unseen", "    score = 'mood'\n    unseen"),
        "mine.py:Evenings",
        r"looks at the score 'mood'; name one of entropy, closeness",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
@pytest.mark.filterwarnings("error:Field name")
def test_own_code_that_cannot_be_used_is_one_line(mistake: str, tmp_path: Path) -> None:
    source, request, expected = BAD[mistake]
    (tmp_path / "folder.py").mkdir()
    output = sys.stdout
    with pytest.raises(InputError, match=expected) as told:
        load(source, request)
    assert str(told.value).startswith("fleet.yaml:3: policy.request: ")
    assert "\n" not in str(told.value)
    assert sys.stdout is output
    assert Path.cwd() == tmp_path


def test_keys_of_ones_own_are_checked_as_built_in_ones_are() -> None:
    load(GOOD)
    for key, expected in {
        "policy.request.aftr=3h": r"unknown key 'aftr' in policy\.request \(did you mean 'after'\?\)",
        "policy.request.after=soon": r"expected a duration of at least 0 s such as .*, got 'soon'",
        "policy.request.unseen=two": r"expected a whole number, got 'two'",
    }.items():
        with pytest.raises(InputError, match=expected):
            Scenario.load("fleet.yaml", [key])
