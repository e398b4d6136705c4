"""What `decide` runs of a scenario: each policy once, and circumstances that its own keys can have."""

import pytest

from fleetrec import Scenario
from fleetrec.simulator.experiments.decision.circumstances import Split, axis_of
from fleetrec.simulator.experiments.decision.plan import circumstances, plan_of, policies
from fleetrec.simulator.experiments.folders import Variant
from tests.docs.pages import ROOT


def planned(name, *keys):
    path = ROOT / name
    scenario = Scenario.load(path, keys)
    groups = policies(scenario.policy)
    own = list(groups)[-1]
    more = {
        f"{own}, {name}": {**groups[own], **held}
        for name, held in circumstances(
            scenario.policy.slate, scenario.fleet, scenario.cloud, scenario.workload.users.reacts
        ).items()
    }
    return plan_of(path, keys, scenario.name, [1, 2], "ndcg@10", {**groups, **more}), groups, more


def test_every_circumstance_is_a_scenario_that_differs_in_what_it_names():
    plan, groups, more = planned("scenarios/high_churn.yaml", "fleet.represents=500")
    assert list(groups)[-1] == "as it is (staleness)"
    assert plan.n_runs == 2 * (7 + 10)
    own = plan.scenarios[list(groups)[-1]]
    assert own == Scenario.load(ROOT / "scenarios/high_churn.yaml", ["fleet.represents=500"])
    held = {name.split(", ", 1)[1]: plan.scenarios[name] for name in more}
    assert held["LLM quality: half blended"].llm.quality.blend == 0.5
    assert {one.link.kind for one in held["links: all 3g"].fleet.classes} == {"3g"}
    assert held["fleet of 5,000"].fleet.represents == 5000
    assert held["GPU price: high"].tariffs.gpu_hour == "high"


def test_before_users_who_react_no_llm_is_tried_that_knows_what_comes_next():
    plan, _, more = planned("scenarios/closed_loop.yaml")
    tried = [name.split(", ", 1)[1] for name in more if "LLM quality" in name]
    assert tried == ["LLM quality: half blended", "LLM quality: blended 80%"]
    assert plan.scenarios[next(name for name in more if name.endswith("blended 80%"))].llm.quality.blend == 0.8


def test_a_hosted_api_has_its_own_prices_and_latencies():
    _, _, more = planned("scenarios/hosted_api.yaml", "cloud.kind=api")
    names = [name.split(", ", 1)[1] for name in more]
    assert {"API price: half", "API price: twice"} <= set(names)
    assert not any(name.startswith("GPU price") for name in names)
    twice = next(held for name, held in more.items() if name.endswith("API price: twice"))
    own = Scenario.load(ROOT / "scenarios/hosted_api.yaml").cloud.api.price
    assert twice["cloud.api.price.input"] == 2 * own.input


def test_a_policy_of_the_users_own_is_among_those_that_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    plan, groups, _ = planned("examples/evenings.yaml")
    assert plan.scenarios["as it is (Evenings)"].policy.request.is_own()
    assert len(groups) == 7


@pytest.mark.parametrize(
    ("key", "axis"),
    [
        ("llm.quality.blend", "LLM quality"),
        ("fleet.represents", "fleet size"),
        ("fleet.classes.0.link", "latency of the links"),
        ("fleet.churn", "fleet"),
        ("cloud.api.latency.ttft", "latency of the API"),
        ("policy.request", None),
        ("cloud.replicas", None),
        ("llm.served_as", None),
    ],
)
def test_what_is_chosen_is_told_from_what_happens_to_be_so(key, axis):
    assert axis_of(key) == axis
    split = Split.of(Variant("v", "v", {key: 1}))
    assert (key in split.circumstances) == (axis is not None)
