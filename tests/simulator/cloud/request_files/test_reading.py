"""Files of requests of every form that is read: two requests each, rows of our own in the form that its tool writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.request_files.reading import RequestFile, read_requests
from fleetrec.simulator.core.notes import data_of
from tests.small import noted

Object = dict[str, Any]


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "requests"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(*rows: Object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def told(read: RequestFile) -> list[tuple[float, ...]]:
    """(arrival, prompt, output, first, last) of each request."""
    columns = (read.arrival_s, read.prompt_tokens, read.output_tokens, read.first_s, read.last_s)
    return [tuple(float(f"{value:.5g}") for value in row) for row in zip(*columns, strict=True)]


WHOLE = [(0, 300, 21, 0.1, 0.5), (0.5, 200, 11, 0.6, 0.8)]
WITHOUT_TIMES = [(0, 300, 21), (0.5, 200, 11)]

VLLM_BENCH = {
    "date": "20260820-231939",
    "endpoint_type": "vllm",
    "backend": "vllm",
    "label": None,
    "model_id": "acme/small",
    "num_prompts": 2,
    "request_rate": 2.0,
    "burstiness": 1.0,
    "max_concurrency": None,
    "duration": 0.8,
    "completed": 2,
    "input_lens": [300, 200],
    "output_lens": [21, 11],
    "ttfts": [0.1, 0.1],
    "itls": [[0.02] * 20, [0.02] * 10],
    "start_times": [9100.25, 9100.75],
    "generated_texts": ["a", "b"],
    "errors": ["", ""],
    "mean_ttft_ms": 100.0,
}
GUIDELLM = {
    "metadata": {"version": 2},
    "benchmarks": [
        {
            "metrics": {"request_totals": {"successful": 2, "incomplete": 0, "errored": 0, "total": 2}},
            "requests": {
                "successful": [
                    {
                        "request_id": "a",
                        "info": {
                            "timings": {
                                "request_start": 1755000000.0,
                                "first_token_iteration": 1755000000.1,
                                "last_token_iteration": 1755000000.5,
                            }
                        },
                        "request_start_time": 1755000000.0,
                        "request_end_time": 1755000000.6,
                        "prompt_tokens": 300,
                        "output_tokens": 21,
                        "time_to_first_token_ms": 100.0,
                    },
                    {
                        "request_id": "b",
                        "start_time": 1755000000.5,
                        "end_time": 1755000000.9,
                        "prompt_tokens": 200,
                        "output_tokens": 11,
                        "first_token_time": 1755000000.6,
                        "last_token_time": 1755000000.8,
                    },
                ],
                "incomplete": [],
                "errored": [],
            },
        }
    ],
}


def perf_request(sent: int, first: int, last: int, prompt: int, output: int) -> Object:
    usage = {"usage": {"prompt_tokens": prompt, "completion_tokens": output}, "choices": []}
    return {
        "timestamp": sent,
        "request_inputs": {"payload": '{"model":"small","stream":true}'},
        "response_timestamps": [first, last],
        "response_outputs": [
            {"response": 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'},
            {"response": f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n"},
        ],
    }


AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
START = 1755000000_000000000
GENAI_PERF = {
    "service_kind": "openai",
    "endpoint": "v1/chat/completions",
    "experiments": [
        {
            "experiment": {"mode": "request_rate", "value": 2.0},
            "requests": [
                perf_request(START, START + 100_000_000, START + 500_000_000, 300, 21),
                perf_request(START + 500_000_000, START + 600_000_000, START + 800_000_000, 200, 11),
            ],
            "window_boundaries": [START, START + 10**9],
        }
    ],
}


def aiperf(sent: int, end: int, prompt: int, output: int, ttft: Object) -> Object:
    return {
        "metadata": {"session_num": 0, "request_start_ns": sent, "request_end_ns": end, "was_cancelled": False},
        "metrics": {
            "time_to_first_token": ttft,
            "input_sequence_length": {"value": prompt, "unit": "tokens"},
            "output_sequence_length": {"value": output, "unit": "tokens"},
        },
        "error": None,
    }


AIPERF = [
    aiperf(START, START + 500_000_000, 300, 21, {"value": 100.0, "unit": "ms"}),
    aiperf(START + 500_000_000, START + 800_000_000, 200, 11, {"value": 0.1, "unit": "s"}),
]
SGLANG_SERVER = [
    {
        "request_received_ts": 1755000000.0,
        "prompt_tokens": 300,
        "completion_tokens": 21,
        "prefill_finished_ts": 1755000000.1,
        "request_finished_ts": 1755000000.5,
    },
    {
        "request_received_ts": 1755000000.5,
        "prompt_tokens": 200,
        "completion_tokens": 11,
        "prefill_finished_ts": 1755000000.6,
        "request_finished_ts": 1755000000.8,
    },
]
BENCH_LINES = [
    {"input_toks": 300, "output_toks": 21, "queued_ts": 50.0, "first_token_ts": 50.1, "last_token_ts": 50.5},
    {"input_toks": 200, "output_toks": 11, "queued_ts": 50.5, "first_token_ts": 50.6, "last_token_ts": 50.8},
]
CSV = (
    "arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n"
    "7,300,21,7.1,7.5\n"
    "7.5,200,11,7.6,7.8\n"
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        lines(VLLM_BENCH),
        json.dumps(VLLM_BENCH, indent=2),
        json.dumps(GUIDELLM),
        json.dumps(GENAI_PERF),
        lines(*AIPERF),
        lines(*SGLANG_SERVER),
        lines(*BENCH_LINES),
        json.dumps(BENCH_LINES),
        lines(*({**row, "text": "one\u2028two\x85three"} for row in BENCH_LINES)).replace("\\u2028", "\u2028"),
        "\ufeff" + lines(*BENCH_LINES),
        CSV,
        "\ufeff" + CSV,
        CSV.replace(",", ", "),
        CSV.replace(",", ";"),
        CSV.replace(",", "\t"),
        CSV.replace("\n", "\r\n"),
        CSV.upper(),
        "\n# of the small server\n" + CSV,
        '"' + CSV.replace("\n", '"\n"').replace(",", '","')[:-1],
        "arrival_ms,prompt_tokens,output_tokens,first_token_ms,last_token_ms\n0,300,21,100,500\n500,200,11,600,800\n",
        "arrival_ns,input_tokens,output_tokens,first_token_ns,last_token_ns\n"
        f"{START},300,21,{START + 10**8},{START + 5 * 10**8}\n{START + 5 * 10**8},200,11,{START + 6 * 10**8},"
        f"{START + 8 * 10**8}\n",
        "arrival_time,prompt_tokens,completion_tokens,first_token_time,last_token_time\n"
        "1755000000000,300,21,1755000000100,1755000000500\n1755000000500,200,11,1755000000600,1755000000800\n",
        "timestamp,prompt_tokens,output_tokens,first_token_time,last_token_time\n"
        "2026-01-01T00:00:00Z,300,21,2026-01-01T00:00:00.1Z,2026-01-01T00:00:00.5Z\n"
        "2026-01-01T01:00:00.5+01:00,200,11,2026-01-01T01:00:00.6+01:00,2026-01-01T01:00:00.8+01:00\n",
    ],
    ids=[
        *("vllm bench serve", "indented", "guidellm", "genai-perf", "AIPerf", "SGLang's server", "LLMServingSim"),
        *("a list", "U+2028", "lines with a mark", "CSV", "CSV with a mark", "blanks", "semicolons", "tabs", "CR LF"),
        *("upper case", "a comment", "quotes", "ms", "ns", "ms since 1970", "dates of several zones"),
    ],
)
def test_requests_with_their_times_are_read_from(text: str, tmp_path: Path) -> None:
    read = read_requests(written(tmp_path, text))
    assert told(read) == WHOLE
    assert read.sequences.tolist() == [1, 1]
    assert read.notes == []


@pytest.mark.parametrize(
    "text",
    [
        AZURE + "2023-11-16 18:15:46.6805900,300,21\r\n2023-11-16 18:15:47.1805900,200,11",
        AZURE + "2024-05-10 00:00:00+00:00,300,21\n2024-05-10 00:00:00.500000+00:00,200,11\n",
        AZURE + "2024-05-10 00:00:00 UTC,300,21\n2024-05-10 00:00:00.500000 UTC,200,11\n",
        AZURE + "2024-05-10 00:00:00+05:30,300,21\n2024-05-10 00:00:00.500000+05:30,200,11\n",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,300,21,321,Conversation log\n"
        "5.5,GPT-4,200,11,211,API log\n",
        "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
        "5,x,3,ChatGPT,300,21,321,Conversation log\n5.5,,2,GPT-4,200,11,211,API log\n",
        lines(
            {"timestamp": 27000, "input_length": 300, "output_length": 21, "hash_ids": [46, 47]},
            {"timestamp": 27500, "input_length": 200, "output_length": 11, "hash_ids": [46, 2]},
        ),
        lines(
            {
                "chat_id": 1,
                "timestamp": 61.1,
                "input_length": 300,
                "output_length": 21,
                "type": "text",
                "hash_ids": [4],
            },
            {
                "chat_id": 2,
                "timestamp": 61.6,
                "input_length": 200,
                "output_length": 11,
                "type": "text",
                "hash_ids": [5],
            },
        ),
        "arrived_at,num_prefill_tokens,num_decode_tokens\n3,300,21\n3.5,200,11\n",
    ],
    ids=["Azure 2023", "Azure 2024", "UTC", "a zone", "BurstGPT 1", "BurstGPT 3", "Mooncake", "Qwen-Bailian", "Vidur"],
)
def test_traces_are_read_from(text: str, tmp_path: Path) -> None:
    assert [row[:3] for row in told(read_requests(written(tmp_path, text)))] == WITHOUT_TIMES


def test_requests_that_failed_are_left_out_and_counted(tmp_path: Path) -> None:
    bench = {
        **VLLM_BENCH,
        "input_lens": [300, 50, 200],
        "output_lens": [21, 0, 11],
        "ttfts": [0.1, 0.0, 0.1],
        "itls": [[0.02] * 20, [], [0.02] * 10],
        "start_times": [1.0, 1.2, 1.5],
        "errors": ["", "Internal Server Error", ""],
    }
    guidellm = json.loads(json.dumps(GUIDELLM))
    guidellm["benchmarks"][0]["requests"]["errored"] = [{"request_id": "c"}]
    cancelled = {**AIPERF[0], "metadata": {**AIPERF[0]["metadata"], "was_cancelled": True}}
    for text in (lines(bench), json.dumps(guidellm), lines(*AIPERF, cancelled)):
        read = read_requests(written(tmp_path, text))
        assert told(read) == WHOLE
        assert noted(data_of(*read.notes)) == {"requests_failed": {"failed": 1}}
    burst = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,a,300,21,321,x\n6,a,9,0,9,x\n"
    assert len(read_requests(written(tmp_path, burst)).rows) == 1


def test_requests_that_come_as_seldom_as_milliseconds_read_as_seconds_are_told(tmp_path: Path) -> None:
    arrivals = "".join(f"{700 * n},300,20\n" for n in range(4))
    read = read_requests(written(tmp_path, f"arrival_s,prompt_tokens,output_tokens\n{arrivals}"))
    assert noted(data_of(*read.notes)) == {"requests_far_apart": {"gap_s": 700.0}}


def test_requests_that_were_all_sent_at_once_need_no_times(tmp_path: Path) -> None:
    at_once = {key: value for key, value in VLLM_BENCH.items() if key != "start_times"} | {"request_rate": "inf"}
    assert read_requests(written(tmp_path, lines(at_once))).arrival_s.tolist() == [0, 0]


def test_benchmarks_of_one_guidellm_run_are_one_log(tmp_path: Path) -> None:
    twice = {"benchmarks": [GUIDELLM["benchmarks"][0]] * 2}
    assert len(read_requests(written(tmp_path, json.dumps(twice))).rows) == 4


SAMPLED = json.loads(json.dumps(GUIDELLM))
SAMPLED["benchmarks"][0]["metrics"]["request_totals"]["successful"] = 500
NO_USAGE = json.loads(json.dumps(GENAI_PERF).replace("usage", "used"))
PLAIN = "arrival_s,prompt_tokens,output_tokens\n"
TIMED = "arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (lines({k: v for k, v in VLLM_BENCH.items() if k != "start_times"}), "row 1: does not say when requests were"),
        (lines({"mean_ttft_ms": 3.0, "request_throughput": 2.0}), "holds means of a run, .* --save-detailed"),
        (lines({**VLLM_BENCH, "ttfts": [0.1]}), "holds 2 input_lens, 2 output_lens, 1 ttfts"),
        (lines({k: v for k, v in VLLM_BENCH.items() if k != "itls"}), "holds no list itls"),
        (lines(VLLM_BENCH, VLLM_BENCH), "row 2: a second run of a load test in one file"),
        (lines({**VLLM_BENCH, "input_lens": [300, None]}), "row 1: request 2: input_lens: expected a number, got None"),
        (json.dumps(SAMPLED), "benchmark 1 holds 2 of its 500 requests"),
        (json.dumps({"benchmarks": [{"name": "x"}]}), "benchmark 1 holds no requests"),
        (json.dumps(NO_USAGE), "request 1: no count of tokens, which genai-perf writes only where .*include_usage"),
        (
            json.dumps({"request_throughput": {"unit": "r/s", "avg": 1}, "input_config": {}}),
            "holds statistics of a run",
        ),
        (json.dumps({"requests": [{"at": 1}]}), "requests of no tool that is known"),
        (lines({**AIPERF[0], "metrics": {**AIPERF[0]["metrics"], "time_to_first_token": 3}}), "has the unit 'None'"),
        ("arrival_s,prompt_tokens,prompt_tokens,output_tokens\n0,5,7,2\n", "two columns are called prompt_tokens"),
        ("arrival_s,prompt_tokens,Prompt Tokens,output_tokens\n0,5,7,2\n", "two columns are called prompt_tokens"),
        (
            "arrival_s,prompt_tokens,input_tokens,output_tokens\n0,5,7,2\n",
            "prompt_tokens and input_tokens both say the",
        ),
        (
            "arrival_s,arrival_ms,prompt_tokens,output_tokens\n0,5,7,2\n",
            "arrival_s and arrival_ms both say the arrival",
        ),
        (
            '{"queued_ts": 1, "input_toks": 5, "input_toks": 7, "output_toks": 2}\n',
            "row 1: .*'input_toks' stands in it t",
        ),
        (
            "arrival,prompt_tokens,output_tokens\n700,5,2\n",
            "row 2: arrival 700 is a time of no said unit: call it arrival_s",
        ),
        (lines({"timestamp": 7, "input_length": 5, "output_length": 2}), "timestamp 7 is a time of no said unit"),
        (PLAIN + "1755000000000,5,2\n", "row 2: arrival_s 1755000000000 is no time in s, for it lies beyond the year"),
        (
            TIMED + "0,300,21,100,500\n700,300,21,800,1200\n",
            "a token takes 20 s in the median .* are they milliseconds",
        ),
        (TIMED + "0,300,21,1e-7,5e-7\n", "a token takes 2e-08 s in the median .* are they seconds"),
        (TIMED + "50,300,21,0.1,0.5\n60,9,21,0.1,0.5\n", "run backwards .as in 2 rows: are they durations"),
        (
            AZURE + "2024-05-10 00:00:00+00:00,3,2\n2024-05-10 00:00:01,3,2\n",
            "row 2: its time has a zone, and that of row 3 none",
        ),
        (AZURE + "10/05/2024 00:00,3,2\n", "row 2: expected a date and time, got '10/05/2024 00:00'"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
        (PLAIN.encode("utf-16"), "not UTF-8 text"),
        ("{oops\n", "row 1: not a JSON object"),
        ("[1, 2]", "row 1: not a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        (PLAIN + "0,true,2\n", "row 2: prompt_tokens: expected a finite number, got 'true'"),
        (
            lines({"queued_ts": True, "input_toks": 1, "output_toks": 1}),
            "row 1: queued_ts: expected a number, got True",
        ),
        ("prompt_tokens,output_tokens\n1,1\n", "row 1: no arrival_s"),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_says_where(text: str | bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as error:
        read_requests(written(tmp_path, text))
    assert "\n" not in str(error.value)
