"""Request policies of the user's own, in a run."""

import math
import sys
from pathlib import Path

import pandas as pd
import pytest

from fleetrec import InputError, Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.cloud.node.routers.round_robin import RoundRobin
from fleetrec.simulator.cloud.replica.queue_orders.shortest_prompt import ShortestPrompt
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.request.every import EveryRequest
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import check_repeatable, simulate_prepared
from tests.simulator.experiments.sweeps.files import SCENARIO
from tests.simulator.own_file import own_file
from tests.simulator.tiny import prepare_tiny, records_of, scenario_of

STALE = """\
from fleetrec import RequestPolicy


class Stale(RequestPolicy):
    unseen: int = 3

    def wants(self, device):
        return device.staleness >= self.unseen
"""
PLAIN = STALE.replace("from fleetrec import RequestPolicy\n\n\n", "").replace("(RequestPolicy)", "")
ASLEEP = f"""{STALE}
    def next_ask(self, device, row):
        return row + max(device.as_of + self.unseen - device.step - 1, 0)
"""
UNSURE = """\
from fleetrec import RequestPolicy


class Unsure(RequestPolicy):
    least: float = 0.97

    def wants(self, device):
        return device.entropy >= self.least
"""
SAYS_WHICH = UNSURE.replace("    def", '    score = "entropy"\n\n    def').replace("device.entropy", "device.score")


def named(folder: Path, source: str, name: str, **keys: object) -> sections.Scenario:
    """The tiny scenario with a policy from this source."""
    return scenario_of(policy={"request": {"kind": f"{own_file(folder, source)}:{name}", **keys}})


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name])


@pytest.mark.parametrize("built_in", ["random.RandomRequest", "every.EveryRequest", "always.AlwaysRequest"])
def test_a_policy_that_extends_a_built_in_one_asks_by_its_own_rule(
    built_in: str, tmp_path: Path, store: ArtifactStore
) -> None:
    """What the built-in kind tosses ahead of the run, or sleeps by, is for its own rule alone."""
    module, _, extended = built_in.partition(".")
    where = f"from fleetrec.simulator.policies.request.{module}"
    source = STALE.replace("from fleetrec", where).replace("RequestPolicy", extended)
    (tmp_path / "alone").mkdir()
    own = records_of(named(tmp_path, source, "Stale"), store)
    alone = records_of(named(tmp_path / "alone", STALE, "Stale"), store)
    assert len(own["requests"]) > 100
    assert_same(own, alone)


@pytest.mark.parametrize("source", [STALE, PLAIN, ASLEEP], ids=["subclass", "plain", "asleep"])
def test_an_own_policy_asks_when_the_built_in_one_with_its_rule_does(
    source: str, tmp_path: Path, store: ArtifactStore
) -> None:
    own = records_of(named(tmp_path, source, "Stale", unseen=4), store)
    built_in = records_of(scenario_of(policy={"request": {"kind": "staleness", "threshold": 4}}), store)
    assert len(own["requests"]) > 100
    assert_same(own, built_in)


@pytest.mark.parametrize("source", [UNSURE, SAYS_WHICH], ids=["stepped through", "batched ahead"])
def test_scores_are_the_same_whether_or_not_a_policy_says_which_it_looks_at(
    source: str, tmp_path: Path, store: ArtifactStore
) -> None:
    own = records_of(named(tmp_path, source, "Unsure", least=0.97), store)
    request = {"kind": "uncertainty", "measure": "entropy", "threshold": 0.97}
    built_in = records_of(scenario_of(policy={"request": request}), store)
    assert 30 < len(own["requests"]) < len(own["interactions"])
    timed = ["t_issued_s", "device", "step"] if source is SAYS_WHICH else ["device", "step"]
    pd.testing.assert_frame_equal(own["requests"][timed], built_in["requests"][timed])


def test_what_a_device_knows_is_what_it_is(tmp_path: Path, store: ArtifactStore) -> None:
    source = """\
import math

SEEN = []


class Looks:
    def wants(self, device):
        SEEN.append({name: getattr(device, name) for name in NAMES} | {"coin": device.uniform("coin")})
        return device.decisions % 2 == 0


NAMES = (
    "device now_s time_of_day_s step decisions since_s last_gap_s as_of staleness list_age_s last_response_s "
    "late_answers battery_left battery_left_j link online budget_left entropy closeness inconsistency rank_gap"
).split()
"""
    scenario = named(tmp_path, source, "Looks")
    records = records_of(scenario, store)
    seen = pd.DataFrame(sys.modules[type(scenario.policy.request).__module__].SEEN)
    assert 0.9 * len(records["interactions"]) < len(seen) <= len(records["interactions"])
    assert (seen["staleness"] == seen["step"] - seen["as_of"]).all()
    assert (seen["time_of_day_s"] == seen["now_s"] % 86400).all()
    assert seen["battery_left"].between(0, 1).all()
    assert set(seen["link"]) <= {one.link.kind for one in scenario.fleet.classes}
    assert seen["entropy"].between(0, 1).all()
    assert (seen["inconsistency"] >= seen["rank_gap"]).all()
    assert seen["coin"].between(0, 1).all()
    assert seen["coin"].nunique() > 0.9 * len(seen)
    answered = seen["last_response_s"][seen["last_response_s"] < math.inf]
    assert len(answered) > 0.5 * len(seen)
    assert answered.max() <= records["requests"].eval("t_delivered_s - t_issued_s").max()
    assert (seen["budget_left"] == math.inf).all()


RUNS: dict[str, tuple[str, str]] = {
    "no bool": ("return 1", r"mine\.py:1: Mine\.wants returned 1; return True or False"),
    "nothing": ("pass", r"mine\.py:1: Mine\.wants returned None; return True or False"),
    "raises": ("return 1 / 0 > 1", r"mine\.py:3: ZeroDivisionError: division by zero"),
    "raises what is no usual exception": (
        "raise type('Odd', (BaseException,), {})('mine')",
        r"mine\.py:3: Odd: mine$",
    ),
    "asks for what no device knows": ("return device.mood > 1", r"mine\.py:3: AttributeError: .*'mood'"),
    "sets what a device knows": (
        "device.as_of = 0\n        return True",
        r"mine\.py:3: AttributeError: 'as_of' of what it is handed can only be read",
    ),
    "prints": ("print(device.step)\n        return True", r"mine\.py:3: prints, and standard output is for results"),
    "random": (
        "import random\n        return random.random() < 0.5",
        r"mine\.py:1: Mine\.wants: changes the global random numbers of random, .* `uniform` of what",
    ),
    "numpy": (
        "import numpy\n        return bool(numpy.random.random() < 0.5)",
        r"mine\.py:1: Mine\.wants: changes the global random numbers of numpy",
    ),
    "torch": (
        "import torch\n        return bool(torch.rand(1) < 0.5)",
        r"mine\.py:1: Mine\.wants: changes the global random numbers of torch",
    ),
}


@pytest.mark.parametrize("mistake", RUNS)
def test_a_policy_that_does_what_it_may_not_ends_the_run_with_one_line(
    mistake: str, tmp_path: Path, store: ArtifactStore
) -> None:
    body, expected = RUNS[mistake]
    scenario = named(tmp_path, f"class Mine:\n    def wants(self, device):\n        {body}\n", "Mine")
    prepared = prepare_tiny(scenario, store)
    out = tmp_path / "run"
    with pytest.raises(InputError, match=expected) as told:
        simulate_prepared(scenario, prepared, out, "cpu", NullProgress())
    assert "\n" not in str(told.value)
    assert not (out / "summary.json").exists()


def test_a_constructor_that_seeds_global_random_numbers_ends_the_run(tmp_path: Path, store: ArtifactStore) -> None:
    constructor = "\n    def __init__(self):\n        import random\n\n        random.seed(3)\n"
    scenario = named(tmp_path, PLAIN + constructor, "Stale")
    with pytest.raises(InputError, match=r"mine\.py:1: changes the global random numbers of random"):
        records_of(scenario, store)


def test_a_second_run_tells_a_policy_that_hangs_on_more_than_it_is_handed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: ArtifactStore
) -> None:
    monkeypatch.chdir(tmp_path)
    source = "import time\n\n\nclass Mine:\n    def wants(self, device):\n        return time.time_ns() % 3 == 0\n"
    Path("mine.py").write_text(source, encoding="utf-8")
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    scenario = Scenario.load("tiny.yaml", ["policy.request=mine.py:Mine", "fleet.devices=10"])
    first = simulate(scenario, store=store)
    with pytest.raises(InputError, match=r"--check: a second run differs in interactions, .*; mine\.py:4: Mine"):
        check_repeatable(first, "cpu", NullProgress(), store)
    kinds = {"request": EveryRequest(n=3), "fusion": LlmOnly(), "router": RoundRobin(), "order": ShortestPrompt}
    steady = simulate(scenario, store=store, **kinds)
    assert [steady.scenario.policy.request, steady.scenario.policy.fusion] == [EveryRequest(n=3), LlmOnly()]
    assert (steady.scenario.cloud.router, steady.scenario.cloud.order) == (RoundRobin(), ShortestPrompt())
    check_repeatable(steady, "cpu", NullProgress(), store)
    with pytest.raises(TypeError, match=r"simulate\(\) takes no 'rooter'; what a scenario has kinds of: .*router"):
        simulate(scenario, rooter=RoundRobin())


def test_a_policy_may_write_to_standard_error(
    tmp_path: Path, store: ArtifactStore, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "import sys\n        print('step', device.step, file=sys.stderr)\n        return False"
    scenario = named(tmp_path, f"class Mine:\n    def wants(self, device):\n        {body}\n", "Mine")
    assert records_of(scenario, store)["requests"].empty
    assert "step " in capsys.readouterr().err
