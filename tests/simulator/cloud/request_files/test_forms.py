"""Request traces of any names: the columns, rows and times that the user says, in `replay` and `calibrate` alike."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.request_files.forms import Said
from fleetrec.simulator.cloud.request_files.reading import read_requests
from tests.commands.typed import one_line, typed
from tests.simulator.cloud.request_files.test_reading import WHOLE, told
from tests.small import noted

NAMES = {"arrival": "came", "prompt": "in", "output": "out", "first": "begun", "last": "done"}
TEXT = "came,in,out,begun,done,route\n7.5,200,11,7.6,7.8,chat\n7,300,21,7.1,7.5,chat\n8,9,9,8.1,8.2,search\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT, Said(NAMES, "route = 'chat'", "s")),
        (TEXT.replace(",", ";"), Said(NAMES, "out > 9", "s")),
        (TEXT.split("\n", 1)[1], Said(dict(zip(NAMES, range(1, 6), strict=True)), "column6 <> 'search'", "s")),
        (
            TEXT.replace("7.", "700").replace("8.", "800").replace("\n7,", "\n7000,").replace("\n8,", "\n8000,")
            .replace("7005,", "7500,").replace("7001,", "7100,").replace("7006", "7600").replace("7008", "7800"),
            Said(NAMES, "route like 'ch%'", "ms"),
        ),
        (
            "when,prompt_tokens,output_tokens\n31/12/2025 23:00:00.5,200,11\n31/12/2025 23:00:00.0,300,21\n",
            Said({"arrival": "when"}, None, "%d/%m/%Y %H:%M:%S.%f"),
        ),
        ("timestamp,prompt_tokens,output_tokens\n500,200,11\n0,300,21\n", Said(unit="ms")),
        ("TIMESTAMP,ContextTokens,Mine,GeneratedTokens\n2024-01-01 00:00:00.5,1,200,11\n2024-01-01,1,300,21\n",
         Said({"prompt": "Mine"})),
    ],
    ids=["names", "semicolons", "places", "milliseconds", "dates", "a unit alone", "one column of a known form"],
)  # fmt: skip
def test_what_is_said_of_a_trace_counts(text: str, said: Said, tmp_path: Path) -> None:
    read = read_requests(written(tmp_path, text), said=said)
    if "last" in said.columns:
        assert told(read) == WHOLE
    else:
        assert [row[:3] for row in told(read)] == [row[:3] for row in WHOLE]


def test_a_trace_in_parquet_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"came": pd.to_datetime([0, 500], unit="ms"), "in": [300, 200], "out": [21.0, 11.0]})
    frame.to_parquet(tmp_path / "trace.parquet")
    columns: dict[str, Any] = {role: NAMES[role] for role in ("arrival", "prompt", "output")}
    read = read_requests(tmp_path / "trace.parquet", said=Said(columns))
    assert [row[:3] for row in told(read)] == [row[:3] for row in WHOLE]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (Said({"arrival": "nothing"}), "no column 'nothing'"),
        (Said(NAMES, "route = 'chats'", "s"), "holds no request that where keeps"),
        (Said(NAMES, "rout = 'chat'", "s"), "no column 'rout'"),
        (Said(NAMES, "system('ls') = 1", "s"), "not allowed"),
        (Said(NAMES, None, "weeks"), "--time: 'weeks'"),
        (Said(NAMES), "a time of no said unit"),
        (Said({"arrival": "route", "prompt": "in", "output": "out"}, None, "s"), "expected a date and time"),
        (Said(NAMES, None, "%d/%m/%Y"), "expected a date and time like %d/%m/%Y"),
        (Said({"arrival": "came"}), "no prompt_tokens"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(said: Said, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_requests(written(tmp_path, TEXT), said=said)
    assert "\n" not in str(caught.value)


def test_a_row_of_another_length_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 3: 5 fields where the first line has 6"):
        read_requests(written(tmp_path, TEXT.replace("7.1,7.5,chat", "7.1,7.5")), said=Said(NAMES, None, "s"))


def rows_sorted(told: dict[str, Any]) -> Any:
    return noted(told["notes"])["trace_sorted"]["rows"]


def test_replay_and_calibrate_take_the_same_flags(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT)
    columns = ",".join(f"{role}={name}" for role, name in NAMES.items())
    flags = ("--columns", columns, "--where", "route = 'chat'", "--time", "s")
    server = ("--model", "llama-3.1-8b", "--gpu", "h100")
    for command, rows in (("replay", lambda told: told["trace"]["requests"]), ("calibrate", rows_sorted)):
        done = typed(command, path, *server, "--json", *flags)
        assert done.exit_code == 0, done.output
        assert rows(json.loads(done.stdout)) == 2
        assert "arrival, prompt, output, sequences" in one_line(typed(command, path, *server, "--columns", "user=came"))
