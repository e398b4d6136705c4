"""Traces: legal in their format, true to the run's records, and without influence on it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.timeline_trace import TraceRequest, read_trace_request
from fleetrec.simulator.simulation import simulate_prepared
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny

CHURN = {"kind": "on_off", "online": 1800, "offline": 600, "late_joiners": 0.3, "leavers": 0.3}
REPLICA_PIDS = 1_000_000


@pytest.fixture(scope="module", params=["wait", "fail"])
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, list[Any]]:
    """A run with churn and a small, loaded cloud, and the events of its trace."""
    folder = tmp_path_factory.mktemp("trace")
    scenario = scenario_of(
        fleet={"devices": 40, "churn": CHURN},
        cloud={"replicas": 2, "request_timeout": 3.0},
        policy={"when_offline": request.param},
    )
    prepared = prepare_tiny(scenario, ArtifactStore(folder / "store"))
    wanted = TraceRequest(folder / "trace.json", tuple(range(40)))
    result = simulate_prepared(scenario, prepared, None, "cpu", NullProgress(), trace=wanted)
    return result, json.loads(wanted.path.read_text(encoding="utf-8"))["traceEvents"]


def spans_of(events: list[Any], pid: int, tid: int) -> list[Any]:
    return [event for event in events if event["ph"] == "X" and (event["pid"], event["tid"]) == (pid, tid)]


def test_every_event_is_legal_and_times_never_go_back(traced: tuple[RunResult, list[Any]]) -> None:
    _, events = traced
    needed = {"X": {"ts", "dur", "tid"}, "i": {"ts", "s", "tid"}, "C": {"ts"}, "M": {"args"}}
    needed |= {phase: {"ts", "id", "cat", "tid"} for phase in "stf"}
    for event in events:
        assert needed[event["ph"]] | {"pid", "name"} <= set(event)
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0
        assert event["ph"] != "C" or all(isinstance(value, int) for value in event["args"].values())
    times = [event["ts"] for event in events if "ts" in event]
    assert times == sorted(times)


def test_spans_of_a_thread_lie_beside_or_inside_each_other(traced: tuple[RunResult, list[Any]]) -> None:
    _, events = traced
    open_until: dict[tuple[int, int], list[int]] = {}
    for event in events:
        if event["ph"] == "X":
            start = round(event["ts"] * 1000)  # nanoseconds
            end = start + round(event["dur"] * 1000)
            stack = open_until.setdefault((event["pid"], event["tid"]), [])
            while stack and stack[-1] <= start:
                stack.pop()
            assert not stack or end <= stack[-1], event
            stack.append(end)


def test_every_flow_goes_from_a_device_to_a_replica_and_back_inside_spans(
    traced: tuple[RunResult, list[Any]],
) -> None:
    result, events = traced
    flows: dict[int, list[Any]] = {}
    for event in events:
        if event["ph"] in "stf":
            flows.setdefault(event["id"], []).append(event)
            around = spans_of(events, event["pid"], event["tid"])
            assert any(span["ts"] <= event["ts"] <= span["ts"] + span["dur"] + 1e-3 for span in around)
    served = result.requests[result.requests["t_started_s"].notna() & (result.requests["replica"] >= 0)]
    assert len(served) > 20
    assert set(flows) == set(served["request"])
    for request, outcome in zip(served["request"], served["outcome"], strict=True):
        phases = "".join(event["ph"] for event in flows[request])
        assert phases == ("stf" if outcome == "completed" else "sf")
        assert flows[request][0]["pid"] < REPLICA_PIDS <= flows[request][1]["pid"]


def test_steps_of_the_replicas_last_as_long_as_they_were_busy(traced: tuple[RunResult, list[Any]]) -> None:
    result, events = traced
    busy_us = sum(
        event["dur"] for event in events if event["ph"] == "X" and event["pid"] >= REPLICA_PIDS and event["tid"] == 1
    )
    assert busy_us / 1e6 == pytest.approx(result.summary["cloud"]["gpu_seconds"], rel=1e-6)


def test_a_device_ranks_when_it_joins_at_each_moment_of_interactions_and_when_a_list_lands(
    traced: tuple[RunResult, list[Any]],
) -> None:
    result, events = traced
    joined = result.devices.set_index("device")["joined_s"]
    for device in range(0, 40, 7):
        own = result.interactions[result.interactions["device"] == device]
        landed = result.requests[(result.requests["device"] == device) & (result.requests["outcome"] == "completed")]
        moments = [joined[device], *own["t_s"].unique(), *landed["t_delivered_s"]]
        expected = sorted(moment for moment in moments if moment <= result.summary["simulated_seconds"])
        begun = sorted(span["ts"] / 1e6 for span in spans_of(events, device + 1, 3))
        assert np.allclose(begun, expected, atol=1e-8)


def test_presence_is_whole_between_joining_and_leaving(traced: tuple[RunResult, list[Any]]) -> None:
    result, events = traced
    for row in result.devices.itertuples(index=False):
        spans = spans_of(events, row.device + 1, 1)
        end_s = min(row.left_s, result.summary["simulated_seconds"])
        lasted = sum(span["dur"] for span in spans) / 1e6
        assert lasted == pytest.approx(max(end_s - row.joined_s, 0.0), abs=1e-6)


def test_tracing_changes_no_figure(traced: tuple[RunResult, list[Any]], tmp_path: Path) -> None:
    result, _ = traced
    plain = simulate_tiny(result.scenario, ArtifactStore(tmp_path))
    assert plain.summary == result.summary
    assert plain.interactions.equals(result.interactions)


@pytest.mark.parametrize(
    ("devices", "message"),
    [("0-99999", "more than 100"), ("a", "expected numbers"), ("5-2", "expected numbers"), ("", "expected numbers")],
)
def test_a_list_of_devices_that_cannot_be_traced_is_one_line(tmp_path: Path, devices: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_trace_request(tmp_path / "t.json", devices, None)


def test_numbers_and_ranges_name_devices(tmp_path: Path) -> None:
    request = read_trace_request(tmp_path / "t.json", "0,3,7-9", "1")
    assert request is not None
    assert request.devices == (0, 3, 7, 8, 9)


def test_devices_of_a_trace_that_nobody_writes_are_an_error() -> None:
    assert read_trace_request(None, None, None) is None
    with pytest.raises(InputError, match=r"^--trace-devices: no trace is written without --trace"):
        read_trace_request(None, "0", None)


def test_a_device_that_the_run_does_not_have_is_one_line(tmp_path: Path) -> None:
    scenario = scenario_of(fleet={"devices": 5})
    prepared = prepare_tiny(scenario, ArtifactStore(tmp_path))
    with pytest.raises(InputError, match="there is no 7; the run has 5 devices"):
        simulate_prepared(
            scenario, prepared, None, "cpu", NullProgress(), trace=TraceRequest(tmp_path / "t.json", (1, 7))
        )
