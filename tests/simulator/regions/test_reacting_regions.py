"""Users who react, in regions: the lives that they have without regions, whoever simulates them, told of together."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.regions.messages import RegionJob, RegionState, RunSpec, Task
from fleetrec.simulator.regions.worker import RegionWorker
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate
from tests.simulator.handed_over import Formula
from tests.simulator.own_file import own_file
from tests.simulator.reacting import FLEET, REACTING, UPDATES, _store, reacting, run
from tests.simulator.tiny import merged

REGIONS = ({"name": "a", "share": 0.6}, {"name": "b", "share": 0.4, "cloud": {"replicas": 2}})
CLONES = {"devices": 40}
"""of sixteen users, some in both regions"""
MINE = """\
class Mine:
    def next(self, slate, now):
        self.asked = getattr(self, "asked", 0) + 1
        if slate.uniform("stops") < 0.02:
            return "stop"
        if not slate.ready or slate.uniform("moody") < 0.2:
            return None
        return slate.items[0] if slate.user % 2 and len(slate.items) else (slate.user + self.asked) % slate.n_items
"""


class OneEach:
    """A worker of its own for each region, to and from which everything travels as bytes; the first one is lost before
    the second barrier."""

    option, workers, workers_here = "--shards 2", 2, 2

    def __init__(self) -> None:
        self._workers: list[RegionWorker] = []
        self.rounds = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be ended."""

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        self._workers = self._workers or [RegionWorker(ArtifactStore()) for _ in tasks]
        self.rounds += 1
        states = []
        for region, own in enumerate(tasks):
            lost = region == 0 and self.rounds == 2
            if lost:
                self._workers[0] = RegionWorker(ArtifactStore())
            job = RegionJob(spec, region, own if lost else own[-1:], folders[region])
            states.append(self._workers[region].do(pickle.loads(pickle.dumps(job))))
        found: list[RegionState] = pickle.loads(pickle.dumps(states))
        return found


def with_users(users: dict[str, Any], **changes: Any) -> sections.Scenario:
    """The scenario with these users and none of the keys of users who choose."""
    given = merged({name: value for name, value in REACTING.items() if name != "workload"}, changes)
    return sections.Scenario.model_validate(given | {"workload": REACTING["workload"] | {"users": users}})


def by_device(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in order of device and step, where they have one, without what regions add."""
    return table.sort_values([name for name in ("device", "step") if name in table], ignore_index=True, kind="stable")


def assert_one_life(apart: Any, whole: Any, tables: Sequence[str]) -> None:
    """Both runs have these tables alike, and say the same of their users."""
    for name in tables:
        held = by_device(apart.tables[name]).drop(columns="region", errors="ignore")
        pd.testing.assert_frame_equal(held, by_device(whole.tables[name]), check_dtype=False, obj=name)
    for name in ("engagement", "engagement_by", "feedback", "feedback_by", "accuracy", "baselines"):
        assert apart.summary[name] == whole.summary[name], name


def test_they_live_as_without_regions_and_the_cloud_learns_from_all_of_them() -> None:
    policy = {"request": {"kind": "never"}, "update": UPDATES["both"] | {"fleet": FLEET | {"every": "4h"}}}
    changes: dict[str, Any] = {"fleet": CLONES, "policy": policy, "workload": {"users": {"skip": -3.0}}}
    whole, apart = run(reacting(**changes)), run(reacting(**changes, regions=REGIONS))
    assert_one_life(apart, whole, ("interactions", "opportunities", "devices", "updates", "baselines", "feedback"))
    assert (whole.updates["event"] == "released").sum() > 1
    assert set(whole.updates["event"]) == {"released", "installed", "adapted"}
    held = apart.devices.groupby("user")["region"].nunique()
    assert held.max() == 2, "a user has devices in both regions, and is one user where users are counted"
    assert len(apart.feedback) == len(held) == 16


def test_users_of_ones_own_know_their_number_in_the_fleet(tmp_path: Path) -> None:
    users = {"kind": f"{own_file(tmp_path, MINE)}:Mine"}
    changes: dict[str, Any] = {"policy": {"request": {"kind": "never"}}, "fleet": CLONES}
    whole, apart = run(with_users(users, **changes)), run(with_users(users, **changes, regions=REGIONS))
    assert_one_life(apart, whole, ("interactions", "opportunities"))
    assert {"slate", "organic", "skip"} <= set(whole.opportunities["outcome"])


def test_bytes_are_the_same_whoever_simulates_them_and_step_by_step(tmp_path: Path) -> None:
    policy = {
        "request": {"kind": "always"},
        "update": UPDATES["fleet"] | {"every": "4h"},
        "budget": {"ratio": 0.5, "scope": "fleet"},
        "mode": "blocking",
    }
    scenario = reacting(fleet=CLONES, policy=policy, regions=REGIONS)
    stepped, shared = scenario.model_copy(update={"engine": sections.Engine(batching=False)}), OneEach()
    for name, one, executor in (("alone", scenario, None), ("shared", scenario, shared), ("stepped", stepped, None)):
        simulate(one, tmp_path / name, store=_store(), executor=executor, candidates=Formula)
    alone = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert shared.rounds > 5
    assert "opportunities.parquet" in alone
    for name in alone.keys() - {"timing.json"}:
        assert (tmp_path / "shared" / name).read_bytes() == alone[name], name
    for path in (tmp_path / "alone").glob("*.parquet"):
        assert pd.read_parquet(path).equals(pd.read_parquet(tmp_path / "stepped" / path.name)), path.name


def test_what_regions_did_adds_up_to_what_all_did() -> None:
    summary = run(reacting(fleet=CLONES, regions=REGIONS)).summary
    whole, regions = summary["engagement"], [one["engagement"] for one in summary["by_region"].values()]
    for name in ("opportunities", "choices", "from_slate", "sessions"):
        assert whole[name] == sum(one[name] for one in regions) > 0
    days = [one["devices"] for one in summary["by_region"].values()]
    mean = sum(one["choices_per_day"] * share for one, share in zip(regions, days, strict=True)) / sum(days)
    assert whole["choices_per_day"] == pytest.approx(mean)
    assert summary["headline"].startswith("Users took")
    assert [one["key"] for one in summary["notes"]].count("engagement") == 1
    assert "prediction" not in [one["key"] for one in summary["notes"]]
