"""Results of SGLang's `bench_serving`, as it appends them to its JSON lines: when requests were sent follows."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import read_log
from fleetrec.simulator.cloud.request_files.reading import read_requests
from tests.simulator.cloud.request_files.test_reading import told

TTFTS, STEPS = [0.1, 0.2, 0.1, 0.3], [0.02, 0.01, 0.05, 0.02]
ENDS = [ttft + 10 * step for ttft, step in zip(TTFTS, STEPS, strict=True)]  # .3, .3, .6, .5 after they were sent


def run(**more: Any) -> dict[str, Any]:
    return {
        "backend": "sglang",
        "dataset_name": "random",
        "request_rate": math.inf,
        "max_concurrency": None,
        "random_input_len": 1024,
        "duration": 1.2,
        "completed": 4,
        "total_output_tokens_retokenized": 44,
        "mean_ttft_ms": 175.0,
        "accept_length": None,
        "input_lens": [100, 200, 300, 400],
        "output_lens": [11, 11, 11, 11],
        "ttfts": TTFTS,
        "itls": [[step] * 10 for step in STEPS],
        "generated_texts": ["a", "b", "c", "d"],
        "errors": ["", "", "", ""],
        **more,
    }


def written(folder: Path, *runs: dict[str, Any]) -> Path:
    path = folder / "sglang_1129_4_1024_1024.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in runs), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("most", "sent"),
    [
        (None, [0, 0, 0, 0]),
        (4, [0, 0, 0, 0]),
        (100, [0, 0, 0, 0]),
        (2, [0, 0, 0.3, 0.3]),  # the first two end at .3 and make room
        (3, [0, 0, 0, 0.3]),
        (1, [0, 0.3, 0.6, 1.2]),
    ],
)
def test_a_request_is_sent_once_another_leaves_it_a_place(most: int | None, sent: list[float], tmp_path: Path) -> None:
    path = written(tmp_path, run(max_concurrency=most))
    assert "Infinity" in path.read_text(encoding="utf-8")
    read = read_requests(path)
    order = sorted(range(4), key=lambda n: (sent[n], n))
    assert told(read) == [
        tuple(
            float(f"{value:.5g}")
            for value in (sent[n], 100 * (n + 1), 11, sent[n] + TTFTS[n], sent[n] + ENDS[n])
        )
        for n in order
    ]  # fmt: skip
    assert len(read_log(path)) == 4


def test_times_that_newer_versions_write_are_taken(tmp_path: Path) -> None:
    read = read_requests(written(tmp_path, run(request_rate=8.0, arrival_times=[0.0, 0.1, 0.4, 0.5])))
    assert read.arrival_s.tolist() == [0.0, 0.1, 0.4, 0.5]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"request_rate": 4.0}, "run it with --request-rate inf"),
        (
            {"max_concurrency": 2, "errors": ["", "timeout", "", ""], "output_lens": [11, 0, 11, 11]},
            "some requests failed",
        ),
        ({"max_concurrency": 0}, "does not say when requests were sent"),
    ],
)
def test_times_that_cannot_follow_are_refused(more: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        read_requests(written(tmp_path, run(**more)))


def test_failed_requests_that_held_up_nobody_are_left_out_and_a_second_run_is_refused(tmp_path: Path) -> None:
    failed = run(errors=["", "timeout", "", ""], output_lens=[11, 0, 11, 11], itls=[[0.02] * 10, [], [0.05] * 10, []])
    assert read_requests(written(tmp_path, failed)).prompt_tokens.tolist() == [100, 300, 400]
    with pytest.raises(InputError, match="a second run"):
        read_requests(written(tmp_path, run(), run()))
