"""`predict`: one set-up, files of set-ups in their order, and mistakes in either."""

import csv
import json
from pathlib import Path

import pytest

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from tests.commands.typed import one_line, typed

ONE = ("predict", "--model", "llama-3.1-70b", "--gpu", "b200", "--engine", "vllm", "--tp", "4", "--precision", "fp8")
BEAMS = ("--model", "qwen3-1.7b", "--gpu", "rtx5090", "--output", "3")
HEAD = "model,gpu,engine,engine_version,precision,weights,prompt_tokens,output_tokens,concurrency,tp,moe_ep,tpot_ms"
ROWS = (
    "llama-3.1-8b,h100_sxm,trtllm,1.0.0rc3,,,1024,128,4,1,1,7.5",
    "gpt-oss-120b,h200_sxm,vllm,,fp4,nvfp4,1024,1024,4,2,1,5.4",
    "llama-3.1-70b,l4,vllm,,fp8,fp8,1024,1024,4,1,1,1.0",
    "llama-3.1-8b,h100_sxm,trtllm,0.9,,,1024,128,4,1,1,7.6",
)


def file_of(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_set_up_is_predicted_with_the_error_to_expect():
    figures = json.loads(typed(*ONE, "--concurrency", "8", "--json").stdout)
    predicted = figures["predicted"]
    assert predicted["latency_s"] == pytest.approx(predicted["ttft_s"] + 114 * predicted["tpot_s"], rel=0.05)
    # Little's law: eight clients, each always with one request under way, but for the last ones
    assert predicted["requests_per_s"] * predicted["latency_s"] == pytest.approx(8, rel=0.1)
    dollars = 3600 * predicted["tokens_per_s"] / 1e6 * predicted["usd_per_million_tokens"]
    assert dollars == pytest.approx(4 * default_catalogue().gpu("b200").price.typical)  # an hour of four GPUs
    watts = predicted["joules_per_million_tokens"] * predicted["tokens_per_s"] / 1e6
    assert 4 * 300 < watts < 4 * 1000
    assert "on this model, GPU and engine" in figures["expected_error"]
    text = typed(*ONE, "--concurrency", "8").stdout
    assert "llama-3.1-70b on 4 x b200" in text
    assert "expect: TPOT within" in text


def test_what_was_never_measured_says_so():
    words = ("predict", "--model", "qwen3-14b", "--gpu", "a100", "--engine", "vllm", "--output", "8", "--json")
    assert "never measured under vLLM: qwen3-14b, a100" in json.loads(typed(*words).stdout)["expected_error"]


def test_rows_keep_their_order_and_columns(tmp_path: Path):
    out = tmp_path / "predicted.csv"
    result = typed("predict", file_of(tmp_path, *ROWS), "--out", out)
    assert result.exit_code == 0, result.output
    assert "1 rows cannot be served" in result.stdout
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:12] == HEAD.split(",")
    assert [row["engine_version"] for row in rows] == ["1.0.0rc3", "", "", "0.9"]
    first, second, third, last = rows
    assert "does not fit 1 x l4" in third["note"]
    assert third["predicted_tpot_ms"] == ""
    for row in (first, second):
        assert float(row["predicted_tpot_ms"]) == pytest.approx(float(row["tpot_ms"]), rel=0.2)
        assert row["note"] == ""
    figures = ("predicted_ttft_ms", "predicted_tpot_ms", "predicted_ms", "predicted_requests_per_s")
    assert [last[name] for name in figures] == [first[name] for name in figures]


def test_wide_beams_are_predicted_as_a_whole():
    words = ("predict", "--model", "qwen3-1.7b", "--gpu", "h100", "--prompt", "1000", "--output", "3", "--beams", "256")
    figures = json.loads(typed(*words, "--engine", "generative_recommender", "--json").stdout)
    predicted = figures["predicted"]
    assert predicted["latency_s"] * predicted["requests_per_s"] == pytest.approx(1)
    assert predicted["tokens_per_s"] == pytest.approx(768 * predicted["requests_per_s"])
    assert 0.01 < predicted["latency_s"] < 0.1  # 18 ms of one offline batch, and the way to the server
    assert "left out of the fit" in figures["expected_error"]
    assert predicted["ttft_s"] + 2 * predicted["tpot_s"] == pytest.approx(predicted["latency_s"])
    assert "per output token" in typed(*words, "--engine", "generative_recommender").stdout


def test_wide_beams_are_served_on_the_gpus_and_in_the_formats_that_are_asked_for():
    words = ("predict", "--model", "qwen3-30b-a3b", "--gpu", "h100", "--engine", "sglang", "--beams", "128", "--json")
    one, two, experts, stages, eight = (
        json.loads(typed(*words, "--output", "3", *more).stdout)
        for more in ((), ("--tp", "2"), ("--tp", "2", "--ep", "4"), ("--pp", "2"), ("--kv-cache", "fp8"))
    )
    assert [each["set_up"]["gpus"] for each in (one, two, experts, stages)] == [1, 2, 4, 2]
    seconds = [each["predicted"]["tpot_s"] for each in (one, two, experts, stages, eight)]
    assert len(set(seconds)) == 5
    assert max(seconds[1:]) < seconds[0] * 1.05
    assert eight["predicted"]["tpot_s"] < one["predicted"]["tpot_s"]


def test_files_of_wide_beams_have_their_first_and_further_tokens(tmp_path: Path):
    head, out = "model,gpu,engine,prompt_tokens,output_tokens,beams,batch,concurrency", tmp_path / "predicted.csv"
    rows = ("qwen3-1.7b,h100_sxm,sid-gr,1000,3,256,2,", "qwen3-1.7b,h100_sxm,sid-gr,1000,1,256,,4")
    assert typed("predict", file_of(tmp_path, *rows, head=head), "--out", out).exit_code == 0
    with out.open(encoding="utf-8") as file:
        batch, clients = (
            {key: float(value) for key, value in row.items() if key.startswith("predicted") and value}
            for row in csv.DictReader(file)
        )
    assert set(batch) == {"predicted_ttft_ms", "predicted_tpot_ms", "predicted_ms"}
    assert batch["predicted_ttft_ms"] + 2 * batch["predicted_tpot_ms"] == pytest.approx(batch["predicted_ms"], rel=1e-5)
    assert set(clients) == {"predicted_ttft_ms", "predicted_ms", "predicted_requests_per_s"}


def test_experts_on_more_gpus_than_attention_are_data_parallel():
    words = ("predict", "--model", "gpt-oss-120b", "--gpu", "h200", "--engine", "vllm", "--output", "8", "--json")
    assert json.loads(typed(*words, "--tp", "2", "--ep", "8").stdout)["set_up"]["gpus"] == 8
    assert json.loads(typed(*words, "--tp", "2", "--ep", "4").stdout)["set_up"]["gpus"] == 4
    assert (
        one_line(typed(*words, "--tp", "2", "--ep", "3"))
        == "--ep: experts on 3 GPUs are no multiple of --tp 2; set one"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--model: not given"),
        (("--model", "llama-3.1-8b", "--gpu", "h100"), "--engine: not given"),
        (("--model", "llama-3.1-8b", "--gpu", "h100", "--engine", "tgi"), "known: vllm, sglang, trtllm"),
        (("--model", "llama-3.1-88b", "--gpu", "h100", "--engine", "vllm"), "did you mean llama-3.1-8b"),
        ((*ONE[1:9], "--precision", "fp3"), "no format 'fp3'; known: fp4"),
        ((*ONE[1:9], "--kv-cache", "int2"), "--kv-cache: no format 'int2'"),
        ((*ONE[1:9], "--kv-cache", "int2", "--beams", "9"), "--kv-cache: no format 'int2'"),
        (("--model", "llama-3.1-70b", "--gpu", "l4", "--engine", "vllm"), "does not fit 1 x l4"),
        (("--model", "llama-3.1-70b", "--gpu", "h100", "--engine", "vllm"), "or --gpu mi355x or --tp 2 would fit"),
        (("--model", "llama-3.1-70b", "--gpu", "l4", "--engine", "vllm", "--beams", "9"), "or --tp 8 would fit"),
        (("--model", "llama-3.1-70b", "--gpu", "l4", "--engine", "vllm", "--pp", "2"), "or --tp 4 would fit"),
        ((*BEAMS, "--engine", "vllm", "--beams", "1000"), "--beams: vLLM on 1 x rtx5090 fails at 1,000 beams (512"),
        ((*BEAMS, "--engine", "tensorrt_llm", "--beams", "64"), "fails at 64 beams (beyond 50 beams it failed on"),
        ((*BEAMS, "--engine", "sglang", "--beams", "200000"), "--beams: 200,000 beams cannot differ in their first"),
        ((*BEAMS, "--engine", "sglang", "--beams", "9", "--ep", "2"), "--ep: qwen3-1.7b has no experts"),
        ((*BEAMS, "--engine", "sglang", "--beams", "9", "--pp", "99"), "--pp: qwen3-1.7b has 28 layers; set at most"),
        ((*ONE[1:9], "--prompt", "20000000"), "--prompt: '20000000' is no whole number from 1 to 10,000,000"),
        ((*ONE[1:], "--out", "x.csv"), "--out: it goes with a CSV"),
    ],
)
def test_a_mistake_in_a_set_up_is_one_line(words: tuple[str, ...], told: str):
    assert told in one_line(typed("predict", *words))


@pytest.mark.parametrize(
    ("head", "row", "told"),
    [
        ("model,gpu,engine", "a,b,c", "no column 'prompt_tokens'"),
        (HEAD, "a,b,c,d,e,f,1,1,1,1,1,1,1", "more values than the header"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, head: str, row: str, told: str):
    assert told in one_line(typed("predict", file_of(tmp_path, row, head=head), "--out", tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()


def test_files_and_options_are_not_mixed(tmp_path: Path):
    path = file_of(tmp_path, *ROWS)
    assert "give the file or the options" in one_line(typed("predict", path, "--gpu", "h100", "--out", "x.csv"))
    assert "--out: where the predictions" in one_line(typed("predict", path))
    assert "name a CSV of set-ups" in one_line(typed("predict", tmp_path / "none.csv", "--out", tmp_path / "x.csv"))


def test_a_wrong_value_is_the_note_of_its_row(tmp_path: Path):
    out = tmp_path / "predicted.csv"
    assert (
        typed("predict", file_of(tmp_path, "llama-3.1-8b,h100,vllm,,,,many,128,4,1,1,7.5"), "--out", out).exit_code == 0
    )
    assert "prompt_tokens: 'many' is no whole number" in out.read_text(encoding="utf-8")
