"""`simulate --trace` as it is typed: the devices and replicas that were named, in a file that Perfetto reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.typed import one_line, scenario_in, typed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        scenario_in(folder, patch)
        yield folder


@pytest.mark.usefixtures("undrawn")
def test_a_trace_holds_the_devices_and_replicas_that_were_named(folder: Path) -> None:
    chosen = ("--trace", "trace.json", "--trace-devices", "3,5-6", "--trace-replicas", "1")
    done = typed("simulate", "tiny.yaml", "--set", "cloud.replicas=2", "--quiet", *chosen)
    assert done.exit_code == 0, done.output
    held: dict[str, Any] = json.loads(Path("trace.json").read_text(encoding="utf-8"))
    processes = {e["args"]["name"] for e in held["traceEvents"] if e["ph"] == "M" and e["name"] == "process_name"}
    assert {name.split(" (")[0] for name in processes} == {"device 3", "device 5", "device 6", "replica 1"}
    named = {e["pid"] for e in held["traceEvents"] if e["ph"] == "M" and e["name"] == "process_name"}
    assert {event["pid"] for event in held["traceEvents"]} == named
    assert any(event["ph"] == "X" and event["dur"] > 0 for event in held["traceEvents"])


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--trace-devices", "3,400", "--trace-devices: there is no 400; the run has 30 devices, numbered from 0"),
        ("--trace-devices", "three", "--trace-devices three: expected numbers and ranges, such as 0,3,7-9"),
        ("--trace-replicas", "9", "--trace-replicas: there is no 9"),
    ],
)
def test_a_bad_number_is_one_line(folder: Path, option: str, text: str, said: str) -> None:
    words = ("simulate", "tiny.yaml", "--quiet", "--out", "bad", "--trace", "bad.json", option, text)
    assert one_line(typed(*words)).startswith(said)
    assert not Path("bad.json").exists()
