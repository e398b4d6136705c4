"""The engine against the device story of another hand (device_story.py): every row of interactions and requests."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.memory import kv_blocks
from fleetrec.simulator.engine.world import ranking_flops
from fleetrec.simulator.preparation.policy_calibration import Tuned, tune
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.simulation import simulate_prepared
from tests.independent.device_story import Story
from tests.independent.stepwise_node import Limits, Node, Request
from tests.simulator.tiny import merged, prepare_tiny, scenario_of

CHURN = {"kind": "on_off", "online": "1h", "offline": "20min", "late_joiners": 0.3, "leavers": 0.4}
SLOW_CLOUD = {"replicas": 1, "max_sequences": 1, "queue_limit": 3, "request_timeout": "500ms"}
HASTE = {"arrivals": {"kind": "poisson", "per_day": 20_000}}
TIES = {"arrivals": {"kind": "replay", "time_scale": 0.001, "scale": "all"}}


def one_class(**keys: Any) -> dict[str, Any]:
    return {"classes": [{"name": "only", "share": 1, **keys}]}


WORLDS: dict[str, dict[str, Any]] = {
    "never": {"policy": {"request": {"kind": "never"}}},
    "random": {},
    "always": {"policy": {"request": {"kind": "always"}}},
    "every": {"policy": {"request": {"kind": "every", "n": 3}}},
    "staleness": {"policy": {"request": {"kind": "staleness", "threshold": 3}}},
    "age": {"policy": {"request": {"kind": "staleness", "age": "20min"}}},
    "inconsistency": {"policy": {"request": {"kind": "inconsistency", "threshold": 22}}},
    "rank term": {"policy": {"request": {"kind": "inconsistency", "threshold": 6, "terms": "rank"}}},
    "entropy": {"policy": {"request": {"kind": "uncertainty", "threshold": 0.93}}},
    "margin": {"policy": {"request": {"kind": "uncertainty", "measure": "margin", "threshold": 0.97}}},
    "congestion": {"workload": HASTE, "cloud": SLOW_CLOUD, "policy": {"request": {"kind": "congestion", "late": "1s"}}},
    "session start": {"policy": {"request": {"kind": "session_start", "gap": "10min"}}},
    "nightly": {"policy": {"request": {"kind": "nightly_on_wifi", "links": ["wifi", "lte"], "at": "30min"}}},
    "pushes": {
        "fleet": {"churn": CHURN},
        "cloud": {"stores": "history"},
        "policy": {"request": {"kind": "cloud_push", "every": "1h", "at": "10min", "window": "20min"}},
    },
    "oracle greedy": {"policy": {"request": {"kind": "oracle_greedy"}}},
    "lag": {"fleet": {"preloaded": {"lag": 3}}, "policy": {"request": {"kind": "always"}}},
    "no list": {"fleet": {"preloaded": False}},
    "seen items stay": {"workload": {"exclude_seen": False}},
    "seen items are replaced": {"workload": {"exclude_seen": "refill"}},
    "decides at joining": {"policy": {"decide_at": "join", "request": {"kind": "always"}}},
    "decides at interactions": {
        "policy": {"decide_at": "interaction", "request": {"kind": "session_start", "gap": "10min"}}
    },
    "beams": {"llm": {"generation": "beam", "output_tokens_per_item": 4}, "policy": {"request": {"kind": "always"}}},
    "ties": {"workload": TIES, "policy": {"request": {"kind": "always"}}},
    "haste": {"workload": HASTE, "policy": {"request": {"kind": "always"}}},
    "churn fails": {"fleet": {"churn": CHURN}, "policy": {"request": {"kind": "always"}}},
    "churn waits": {
        "fleet": {"churn": CHURN},
        "cloud": {"request_timeout": "10min"},
        "policy": {"request": {"kind": "always"}, "when_offline": "wait"},
    },
    "churn in haste": {
        "workload": HASTE,
        "fleet": {"churn": {**CHURN, "online": "20s", "offline": "5s"}},
        "policy": {"request": {"kind": "always"}, "when_offline": "wait"},
    },
    "loss": {"fleet": one_class(link={"kind": "constant", "loss": 0.3}), "policy": {"request": {"kind": "always"}}},
    "overload": {"workload": HASTE, "cloud": SLOW_CLOUD, "policy": {"request": {"kind": "always"}}},
    "time-outs": {"cloud": {"request_timeout": "200ms"}, "policy": {"request": {"kind": "always"}}},
    "blocking": {"workload": HASTE, "policy": {"request": {"kind": "always"}, "mode": "blocking"}},
    "blocking, overload": {
        "workload": HASTE,
        "cloud": SLOW_CLOUD,
        "policy": {"request": {"kind": "random", "ratio": 0.5}, "mode": "blocking", "patience": "800ms"},
    },
    "blocking, loss, churn": {
        "workload": HASTE,
        "fleet": {
            **one_class(link={"kind": "constant", "loss": 0.2}),
            "churn": {**CHURN, "online": "20s", "offline": "5s"},
        },
        "policy": {"request": {"kind": "always"}, "mode": "blocking"},
    },
    "budget of a device": {"policy": {"request": {"kind": "always"}, "budget": {"ratio": 0.2, "scope": "device"}}},
    "budget of the fleet": {"policy": {"request": {"kind": "always"}, "budget": {"ratio": 0.2, "scope": "fleet"}}},
    "battery": {"fleet": one_class(battery="0.05J"), "policy": {"request": {"kind": "always"}}},
    "battery, a miss": {
        "fleet": {**one_class(battery="0.05J"), "when_empty": "miss"},
        "policy": {"request": {"kind": "always"}},
    },
}


SMALL = {"fleet": {"devices": 30}, "llm": {"generation": "list", "output_tokens_per_item": 1}}
SHOWS = {
    "always": "completed",
    "churn in haste": "abandoned",
    "churn fails": "lost",
    "loss": "lost",
    "overload": "rejected",
    "time-outs": "timed_out",
    "congestion": "timed_out",
    "blocking, overload": "timed_out",
    "pushes": "completed",
    "nightly": "completed",
}
"""an outcome that some of a world's requests have, so that it is the world that its name says"""
SERVED = {
    "t_started_s": "started_s",
    "t_finished_s": "told_s",
    "prompt_tokens": "prompt",
    "output_tokens": "all_output",
}
"""columns of requests.parquet, as the step-by-step node calls them"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def told(scenario: sections.Scenario, prepared: Prepared, tuned: Tuned) -> Story:
    """The story of another hand."""
    cloud, catalogue = scenario.cloud, default_catalogue()
    model, gpu = catalogue.model("llama-3.1-8b"), catalogue.gpu(cloud.gpu)
    limits = Limits(kv_blocks(model, gpu), cloud.max_batched_tokens, cloud.max_sequences)
    node = Node(model, gpu, limits, cloud.replicas, queue_limit=cloud.queue_limit)
    refills, length = scenario.workload.refills, scenario.llm.list_length
    flops = ranking_flops(scenario.policy, length, refills, prepared.trained, tuned)
    compute_s = prepared.population.fleet.compute_seconds(flops)
    story = Story(scenario, prepared, compute_s, node)
    story.tell()
    return story


@pytest.mark.parametrize("name", WORLDS)
def test_every_row_is_as_an_account_event_by_event_says(name: str, store: ArtifactStore) -> None:
    scenario = scenario_of(**merged(SMALL, WORLDS[name]))
    prepared = prepare_tiny(scenario, store)
    tuned = tune(scenario.policy, SlateInputs.of(scenario), prepared, lambda: None)
    run = simulate_prepared(scenario, prepared, None, "cpu", NullProgress(), tuned=tuned)
    story = told(scenario, prepared, tuned)
    expect_same(pd.DataFrame(story.interactions), run.interactions)
    assert name not in SHOWS or SHOWS[name] in {ask.outcome for ask in story.asks}
    unserved = Request(math.nan, 0, 0)
    asks = [vars(a) | {name: getattr(a.served or unserved, of) for name, of in SERVED.items()} for a in story.asks]
    columns = [name for name in run.requests.columns if asks and name in asks[0]]
    expect_same(pd.DataFrame(asks).reindex(columns=columns), run.requests)
    assert [device.joules for device in story.devices] == pytest.approx(run.devices["joules"].tolist(), rel=1e-9)


def expect_same(mine: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """All columns of `mine`, to 9 digits where they are numbers (6 where the engine keeps 32 bits)."""
    assert len(mine) == len(theirs), f"{len(mine)} rows, {len(theirs)} of the engine"
    if not len(mine):
        return
    mine, theirs = (table.sort_values(["device", "step"], ignore_index=True)[mine.columns] for table in (mine, theirs))
    for column in mine.columns:
        one, other = mine[column].to_numpy(), theirs[column].to_numpy()
        if other.dtype.kind == "f":
            digits = 1e-9 if other.dtype == np.float64 else 1e-6
            same = np.isclose(one.astype(float), other, rtol=digits, atol=1e-9, equal_nan=True)
        else:
            same = one == other
        wrong = np.flatnonzero(~same)[:5]
        rows = "".join(f"\n{mine.iloc[i].tolist()}\n{theirs.iloc[i].tolist()}" for i in wrong)
        assert same.all(), f"{column}: {(~same).sum()} of {len(same)} rows differ{rows}"
