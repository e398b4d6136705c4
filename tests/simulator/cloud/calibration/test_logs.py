"""Request logs and engine files: two formats read alike, and what is wrong with one is said in one line."""

import json

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import read_log, read_server
from fleetrec.simulator.cloud.calibration.outcomes import check_fits
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.queue_orders.priority import Priority

ROW = {"queued_ts": 100.0, "input_toks": 30, "output_toks": 4, "first_token_ts": 100.5, "last_token_ts": 101.25}
LATER = {**ROW, "queued_ts": 102.0, "first_token_ts": 103.0, "last_token_ts": 104.0}


def jsonl(folder, *rows):
    path = folder / "requests.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def meta(folder, **content):
    path = folder / "meta.json"
    path.write_text(json.dumps(content))
    return path


def test_json_lines_and_csv_of_the_same_requests_read_alike(tmp_path):
    csv = tmp_path / "log.csv"
    csv.write_text("arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s\n7,30,4,7.5,8.25\n9,30,4,10,11\n")
    for log in (read_log(jsonl(tmp_path, ROW, LATER)), read_log(csv)):
        assert log.arrival_s.tolist() == [0.0, 2.0]
        assert log.first_s.tolist() == [0.5, 3.0]
        assert log.last_s.tolist() == [1.25, 4.0]
        assert log.prompt_tokens.tolist() == [30, 30]
        assert log.output_tokens.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no request"),
        ([ROW, {**LATER, "first_token_ts": None}], "row 2: no time of its first or its last token"),
        ([{k: v for k, v in ROW.items() if "token_ts" not in k}], "does not say when first and last tokens came"),
        ([{**ROW, "first_token_ts": 99.0}], "row 1: arrival 100.000000, first token 99.000000 .* run backwards; mend"),
        ([{**ROW, "last_token_ts": 100.2}], "row 1: .* run backwards"),
        ([{**ROW, "first_token_ts": 0.5, "last_token_ts": 1}] * 3, r"row 1: .* \(as in 3 rows: are they durations"),
        ([{**ROW, "output_toks": 0}], "row 1: no output token"),
        ([{**ROW, "input_toks": 2.5}], "row 1: 2.5 prompt tokens, not a whole number"),
        ([{**ROW, "output_toks": 10**25}], r"row 1: 1e\+25 output tokens, not a whole number of 0 to 1e\+09"),
        ([{**ROW, "last_token_ts": 1e308}], r"row 1: last_token_ts 1e\+308 is no time in s, for it lies beyond"),
        ([ROW, "text"], "row 2: not a JSON object"),
    ],
)
def test_a_bad_log_is_refused_with_the_number_of_the_row(tmp_path, rows, message):
    with pytest.raises(InputError, match=message) as caught:
        read_log(jsonl(tmp_path, *rows))
    assert "\n" not in str(caught.value)


def test_a_log_out_of_order_is_sorted_and_says_so(tmp_path):
    log = read_log(jsonl(tmp_path, LATER, ROW))
    assert log.first_s.tolist() == [0.5, 3.0]
    assert [note.key for note in log.notes] == ["trace_sorted"]


def test_a_csv_without_a_column_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("arrival_s,prompt_tokens\n1,2\n")
    with pytest.raises(InputError, match="row 1: no output_tokens"):
        read_log(path)


def test_a_prompt_longer_than_the_kv_cache_is_refused(tmp_path):
    log = read_log(jsonl(tmp_path, ROW, {**LATER, "input_toks": 1000}))
    with pytest.raises(InputError, match="request 2 of 1000 prompt and 4 output tokens needs 63 KV-cache blocks"):
        check_fits(log, Engine(62))


def test_engine_settings_come_from_the_file_and_the_null_block_is_not_used(tmp_path):
    path = meta(
        tmp_path,
        engine_kwargs={"model": "meta-llama/Llama-3.1-8B", "max_num_seqs": 64, "max_num_batched_tokens": 512},
        kv_cache={"num_gpu_blocks": 2588, "block_size": 16, "enable_prefix_caching": False},
        hardware={"device_name": "NVIDIA GeForce RTX 4090"},
        resolved_config={"scheduler_config": {"async_scheduling": False, "policy": "priority"}},
    )
    server = read_server(path)
    assert (server.machine.model.name, server.machine.gpu.name, server.gpus_per_replica) == (
        "llama-3.1-8b",
        "rtx4090",
        1,
    )
    assert server.engine == Engine(2587, 512, 64, 16, False, Priority(), False)


def test_kv_memory_that_the_file_does_not_give_follows_from_model_and_gpu(tmp_path):
    server = read_server(meta(tmp_path, engine_kwargs={"model": "meta-llama/Llama-3.1-8B"}), gpu="h100")
    # about 0.9 x 80 GB less 16.1 GB of weights and 1 to 2 GB of reserve, in blocks of 16 x 131,072 B
    assert 24_500 < server.engine.kv_blocks < 28_500
    assert server.engine.async_scheduling


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"model '' is not in the catalogue \(known: .*\); give --model"),
        ({"model": "llama-3.1-8b"}, r"GPU '' is not in the catalogue \(known: .*\); give --gpu"),
        (
            {"model": "llama-3.1-8b", "hardware": {"device_name": "NVIDIA L40"}},
            r"GPU 'NVIDIA L40' .* \(nearest: l40s, ",
        ),
        (
            {"model": "acme/Llama-3.1-8B-AWQ"},
            r"model 'acme/Llama-3.1-8B-AWQ' .* \(nearest: llama-3.1-8b, .*config.json",
        ),
        (
            {"model": "llama-3.1-8b", "engine_kwargs": {"quantization": "fp8"}},
            r"its weights are quantised \(fp8\), and the catalogue's llama-3.1-8b is not; give --model the config.json",
        ),
        ({"model": "llama-3.1-8b", "engine_kwargs": {"tensor_parallel_size": "two"}}, "tensor_parallel_size is 'two'"),
    ],
)
def test_an_engine_file_that_does_not_say_enough_is_refused(tmp_path, content, message):
    gpu = "h100" if "engine_kwargs" in content else None
    with pytest.raises(InputError, match=message):
        read_server(meta(tmp_path, **content), gpu=gpu)


def test_the_folder_of_a_run_names_its_gpu_only_where_a_whole_part_of_it_does(tmp_path):
    for name, gpu in (("A100-40GB_llama", "a100-40gb"), ("GH200_llama", None), ("L40", None)):
        folder = tmp_path / name
        folder.mkdir()
        path = meta(folder, model="llama-3.1-8b")
        if gpu is None:
            with pytest.raises(InputError, match="GPU '' is not in the catalogue"):
                read_server(path)
        else:
            assert read_server(path).machine.gpu.name == gpu


def test_a_log_alone_needs_model_and_gpu_and_has_the_defaults_of_vllm() -> None:
    with pytest.raises(InputError, match="or --model and --gpu"):
        read_server(None, model="llama-3.1-8b")
    server = read_server(None, "llama-3.1-8b", "h100")
    assert (server.machine.model.name, server.machine.gpu.name, server.gpus_per_replica) == ("llama-3.1-8b", "h100", 1)
    assert (server.engine.max_batched_tokens, server.engine.max_sequences) == (2048, 256)


def test_an_unreadable_engine_file_is_refused(tmp_path):
    path = tmp_path / "meta.json"
    path.write_text("{")
    with pytest.raises(InputError, match="not a readable engine file"):
        read_server(path)
