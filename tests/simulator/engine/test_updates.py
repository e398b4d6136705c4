"""What must hold of update schedules, whatever is trained: who learns what when, and what it costs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import srm_scores
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate_prepared
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny

FLEET = {"kind": "fleet", "every": "40min", "upload": "10min", "learning_rate": 0.01}
ON_DEVICE = {"kind": "on_device", "when": {"kind": "every", "n": 3}}
BOTH = {
    "kind": "both",
    "fleet": {key: value for key, value in FLEET.items() if key != "kind"},
    "on_device": {"when": {"kind": "rank_drop", "window": 2, "drop": 0.1}},
}
LOOK_S = 2400.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def with_update(update: dict[str, Any], **changes: Any) -> sections.Scenario:
    policy = {"slate": "srm", "update": update, **changes.pop("policy", {})}
    return scenario_of(policy=policy, **changes)


def with_another_future(prepared: Prepared, after_s: float) -> Prepared:
    """The same world until `after_s`; every item that somebody has later is another one."""
    trained, population = prepared.trained, prepared.population
    stream, log = population.stream, trained.split.log
    owner = np.repeat(population.users, np.diff(stream.device_offsets))
    later = stream.t_s > after_s
    items = log.items.copy()
    at = log.offsets[owner[later]] + stream.step[later]
    items[at] = (items[at] + 71) % log.n_items
    changed = replace(log, items=items)
    trained = replace(
        trained,
        split=replace(trained.split, log=changed),
        training=replace(trained.training, items=items),
        histories=Histories(log.offsets, items, log.n_items),
    )
    first = np.maximum(trained.split.history - 1 - 20, 0)
    scores = srm_scores(trained, first, np.unique(population.users), prepared.srm)
    return replace(prepared, trained=trained, scores=scores)


@pytest.mark.parametrize("update", [FLEET, {**FLEET, "drift": 0.0}, ON_DEVICE, BOTH])
def test_what_a_schedule_knew_contains_no_later_interaction(update: dict[str, Any], store: ArtifactStore) -> None:
    scenario = with_update(update)
    prepared = prepare_tiny(scenario, store)
    after_s = 3 * LOOK_S + 100
    worlds = []
    for one in (prepared, with_another_future(prepared, after_s)):
        world = build_world(scenario, one, Tuned(), None)
        run(world, scenario, one, NullProgress())
        worlds.append((world, world.recorder.finish()["interactions"].to_pandas()))
    (first, told), (second, other) = worlds
    past = told["t_s"] <= after_s
    assert past.sum() > 100
    pd.testing.assert_frame_equal(told[past], other[other["t_s"] <= after_s])
    assert (told["rank"] != other["rank"]).any()
    if first.learning is not None and second.learning is not None and "drift" not in update:
        trained = [(r.training.trained_s, r.srm.content_hash) for r in first.learning.releases]
        again = [(r.training.trained_s, r.srm.content_hash) for r in second.learning.releases]
        assert len([t for t, _ in trained if t <= after_s]) == 3
        assert [r for r in trained if r[0] <= after_s] == [r for r in again if r[0] <= after_s]
        assert trained != again


@pytest.fixture(scope="module")
def fleet_run(store: ArtifactStore) -> RunResult:
    classes = [
        {"name": "near", "share": 0.5, "link": {"kind": "wifi"}},
        {"name": "far", "share": 0.5, "link": {"kind": "lte"}},
    ]
    stages = [{"share": 0.3}, {"share": 1.0, "after": "20min"}]
    update = {**FLEET, "stages": stages, "links": ["wifi"]}
    return simulate_tiny(with_update(update, fleet={"classes": classes}), store)


def installs(run_result: RunResult) -> pd.DataFrame:
    return run_result.updates[run_result.updates["event"] == "installed"]


def test_a_slate_uses_a_version_only_after_the_device_has_installed_it(fleet_run: RunResult) -> None:
    installed = installs(fleet_run)
    when = {(row.device, row.version): row.t_s for row in installed.itertuples()}
    assert len(when) == len(installed) > 30
    shown = fleet_run.interactions[fleet_run.interactions["version"] > 0]
    assert len(shown) > 100
    for row in shown.itertuples():
        assert when[row.device, row.version] < row.t_s
    for _, of_device in fleet_run.interactions.groupby("device"):
        assert (np.diff(of_device["version"]) >= 0).all()


def test_versions_are_fetched_in_stages_and_over_allowed_links_only(fleet_run: RunResult) -> None:
    released = fleet_run.updates[fleet_run.updates["event"] == "released"].set_index("version")["t_s"]
    installed = installs(fleet_run)
    links = fleet_run.devices.set_index("device")["link"]
    assert set(links[installed["device"]]) == {"wifi"}
    since = installed["t_s"] - released[installed["version"]].to_numpy()
    early = set(installed["device"][since < 1200])
    late = set(installed["device"][since >= 1200])
    assert early
    assert late
    assert not early & late
    assert 0.1 < len(early) / len(early | late) < 0.55


def test_every_push_is_charged_to_its_device(fleet_run: RunResult) -> None:
    summary, devices = fleet_run.summary, fleet_run.devices
    model_bytes = 50_000  # more than any push here
    pushed = devices["bytes_pushed"]
    counts = installs(fleet_run).groupby("device").size().reindex(devices["device"], fill_value=0).to_numpy()
    push = summary["updates"]["versions"][0]["push_bytes"]
    assert 0 < push < model_bytes
    assert (pushed >= counts * push - 1).all()  # broken downloads come on top
    assert summary["updates"]["bytes_pushed"] == pytest.approx(pushed.sum())
    hours = sum(version["gpu_seconds"] for version in summary["updates"]["versions"]) / 3600
    assert summary["updates"]["gpu_hours"] == pytest.approx(hours)
    assert summary["cost"]["usd_training"] > 0


def test_training_takes_its_time_before_a_version_is_released(store: ArtifactStore) -> None:
    result = simulate_tiny(with_update({**FLEET, "start": "7min"}), store)
    first = result.updates.iloc[0]
    assert first["event"] == "released"
    assert first["t_s"] == pytest.approx(LOOK_S + 420, abs=5)


def test_of_a_user_with_several_devices_the_cloud_learns_what_all_of_them_have_had(store: ArtifactStore) -> None:
    scenario = with_update(FLEET, fleet={"devices": 120})
    prepared = prepare_tiny(scenario, store)
    learning = build_world(scenario, prepared, Tuned(), None).learning
    assert learning is not None
    user = prepared.population.users[0]
    clones = np.flatnonzero(prepared.population.users == user)
    history = int(prepared.trained.split.history[user])
    assert len(clones) > 1
    learning.receive(int(clones[0]), history + 5)
    assert learning.known_ends(learning.sent_ends(1e9))[user] == history
    for clone in clones[1:].tolist():
        learning.receive(clone, history + 2)
    assert learning.known_ends(learning.sent_ends(1e9))[user] == history + 3


def test_a_device_ranks_with_what_it_learnt_only_once_training_has_taken_its_time(store: ArtifactStore) -> None:
    def slow(speed: str) -> RunResult:
        classes = [{"name": "only", "share": 1, "speed": speed, "speed_spread": 0, "link": {"kind": "constant"}}]
        return simulate_tiny(with_update(ON_DEVICE, fleet={"classes": classes}), store)

    quick, slow_run = slow("10GFLOPS"), slow("0.01MFLOPS")
    for result in (quick, slow_run):
        adapted = result.updates[result.updates["event"] == "adapted"]
        nth = adapted.groupby("device").cumcount() + 1
        ready = {(d, n): t for d, n, t in zip(adapted["device"], nth, adapted["t_s"], strict=True)}
        shown = result.interactions[result.interactions["adaptation"] > 0]
        assert len(shown)
        assert all(ready[row.device, row.adaptation] < row.t_s for row in shown.itertuples())
        assert result.summary["updates"]["device_joules"] > 0
    assert len(slow_run.updates) < len(quick.updates)
    assert slow_run.updates["joules"].iloc[0] > 1000 * quick.updates["joules"].iloc[0]


def test_a_device_without_battery_does_not_learn(store: ArtifactStore) -> None:
    classes = [{"name": "only", "share": 1, "battery": "0.02J", "link": {"kind": "constant"}}]
    result = simulate_tiny(with_update(ON_DEVICE, fleet={"classes": classes}), store)
    full = simulate_tiny(with_update(ON_DEVICE), store)
    assert 0 < result.summary["updates"]["adaptations"] < full.summary["updates"]["adaptations"] / 2


def test_idle_devices_adapt_in_pauses_only(store: ArtifactStore) -> None:
    update = {"kind": "on_device", "when": {"kind": "idle", "gap": "10min", "min_new": 2}}
    result = simulate_tiny(with_update(update), store)
    adapted = result.updates[result.updates["event"] == "adapted"]
    assert len(adapted) > 10
    by_device = {device: of["t_s"].to_numpy() for device, of in result.interactions.groupby("device")}
    for row in adapted.itertuples():
        times = by_device[row.device]
        assert times[times < row.t_s - 600 + 1e-6].size  # something came before the pause
        assert not ((times > row.t_s - 599) & (times < row.t_s - 1)).any()


def test_with_vectors_in_lists_a_slate_has_the_version_that_its_list_brought(store: ArtifactStore) -> None:
    update = {"kind": "fleet", "every": "30min", "learning_rate": 0.01}
    scenario = scenario_of(policy={"request": {"kind": "every", "n": 4}, "update": update})
    table = sections.WithListTable(precision="float16")
    scenario = scenario.model_copy(update={"srm": scenario.srm.model_copy(update={"item_table": table})})
    result = simulate_tiny(scenario, store)
    installed = installs(result)
    asked_s = result.requests.set_index(["device", "step"])["t_issued_s"]
    used = result.interactions[result.interactions["version"] > 0]
    assert len(used) > 20
    for row in used.itertuples():
        sent_s = asked_s[row.device, row.as_of]
        had = installed[(installed["device"] == row.device) & (installed["t_s"] <= sent_s)]
        assert row.version == had["version"].max()


def test_smaller_tables_take_fewer_bytes_and_the_smallest_change_ranks(store: ArtifactStore) -> None:
    def with_table(**table: Any) -> RunResult:
        scenario = scenario_of(policy={"slate": "srm"})
        srm = scenario.srm.model_copy(update={"item_table": sections.OnDeviceTable(**table)})
        return simulate_tiny(scenario.model_copy(update={"srm": srm}), store)

    runs = [with_table(), with_table(precision="float16"), with_table(precision="int8"), with_table(top=30)]
    installed = [result.devices["memory_bytes"].iloc[0] for result in runs]
    assert installed[0] > installed[1] > installed[2] > installed[3]
    for result in runs[2:]:
        assert (result.interactions["rank"] != runs[0].interactions["rank"]).any()


def test_an_item_that_is_new_is_on_no_slate_before_a_version_that_knows_it(store: ArtifactStore) -> None:
    scenario = with_update(FLEET)
    prepared = prepare_tiny(scenario, store)
    known = prepared.srm.known.copy()
    trained = prepared.trained
    items = trained.histories.items
    streamed = np.bincount(items, minlength=len(known)) > np.bincount(
        items[trained.training.events_before(trained.training.valid_end)], minlength=len(known)
    )
    new = np.flatnonzero(streamed)[:40]
    known[new] = False  # as if nobody had had them before the stream
    srm = replace(prepared.srm, known=known)
    first = np.maximum(trained.split.history - 1, 0)
    scores = srm_scores(trained, first, np.unique(prepared.population.users), srm)
    result = simulate_prepared(scenario, replace(prepared, srm=srm, scores=scores), None, "cpu", NullProgress())
    of_new = result.interactions[result.interactions["item"].isin(new)]
    before, after = of_new[of_new["version"] == 0], of_new[of_new["version"] > 0]
    assert len(before) > 20
    assert (before["rank"] == -1).all()
    assert (after["rank"] >= 0).any()


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({**FLEET, "every": "30d"}, "policy.update.every: a schedule of every 2,592,000 s never fires"),
        (
            {"kind": "on_device", "when": {"kind": "every", "n": 900}},
            "when.n: no device ever adapts, since it takes 900",
        ),
        ({"kind": "on_device", "when": {"kind": "idle", "gap": "9d"}}, "when.gap: no user ever pauses for 777,600 s"),
        ({"kind": "on_device", "adapter": {"kind": "module", "name": "gru"}}, "no sub-module 'gru' to adapt; it has"),
    ],
)
def test_a_schedule_that_can_never_fire_is_one_line(update: dict[str, Any], said: str, store: ArtifactStore) -> None:
    with pytest.raises(InputError, match=said) as caught:
        simulate_tiny(with_update(update), store)
    assert "\n" not in str(caught.value)


def test_a_device_too_small_for_two_versions_is_told_what_to_lower(store: ArtifactStore) -> None:
    classes = [{"name": "tiny", "share": 1, "memory": "10kB"}]
    with pytest.raises(InputError, match=r"classes tiny: .* a new version beside it .* lower srm\.dim"):
        simulate_tiny(with_update(FLEET, fleet={"classes": classes}), store)


def test_retraining_is_kept_and_shared_by_runs_that_uploaded_the_same(tmp_path: Path) -> None:
    own = ArtifactStore(tmp_path)
    first = simulate_tiny(with_update(FLEET), own)
    kept = sorted(path.name for path in (tmp_path / "srm_update").iterdir())
    second = simulate_tiny(with_update({**FLEET, "weights": "half"}), own)
    assert sorted(path.name for path in (tmp_path / "srm_update").iterdir()) == kept
    assert len(kept) == len(first.summary["updates"]["versions"]) == len(second.summary["updates"]["versions"])
