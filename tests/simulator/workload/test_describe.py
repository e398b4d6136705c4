import json
from pathlib import Path

from fleetrec.simulator.workload.describe import describe
from tests.simulator.workload.logs import load, make_log
from tests.small import noted


def test_a_description_counts_what_the_log_holds(tmp_path: Path) -> None:
    rows = [("u", "a", 0), ("u", "a", 60), ("u", "b", 60), ("v", "a", 120), ("v", "a", 120)]
    text = "user_id,item_id,rating,timestamp\n" + "".join(f"{u},{i},5,{1_600_000_000 + t}\n" for u, i, t in rows)
    told = describe(load(tmp_path / "log.csv", text))
    assert (told["users"], told["items"], told["events"]) == (2, 2, 4)
    assert told["clock"] == "absolute"
    assert told["span"]["start"] == "2020-09-13T12:26:40+00:00"
    assert told["span"]["days"] == 120 / 86_400
    assert told["events_per_user"]["max"] == 3
    assert told["gap_s"]["p50"] == 30  # of 60 and 0
    assert told["zero_gap_share"] == 0.5
    assert told["repeat_share"] == 0.25
    assert told["problems"] == {"duplicates_dropped": 1, "ties": 1}
    assert "min_history" in told["splits"]["per_user"]["refused"]
    json.dumps(told, allow_nan=False)


def test_a_description_tells_what_each_split_leaves() -> None:
    told = describe(make_log([range(30), range(3)], "relative"))
    assert "kind: per_user" in told["splits"]["global_time"]["refused"]
    per_user = told["splits"]["per_user"]
    assert per_user["streamed_user_share"] == 0.5
    assert per_user["streamed_event_share"] == 20 / 33
    assert per_user["future_share"] is None
    assert per_user["counts"]["too_short"] == 1
    json.dumps(told, allow_nan=False)


def test_a_log_without_times_is_described_without_gaps_and_with_advice() -> None:
    told = describe(make_log([range(30)], "none"))
    assert told["span"] is None
    assert told["gap_s"]["p50"] is None
    assert "nothing_to_replay" in noted(told["notes"])
    json.dumps(told, allow_nan=False)
