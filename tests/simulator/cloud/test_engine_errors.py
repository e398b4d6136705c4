"""The error to expect of a serving engine's times: what was measured, and what stands in where nothing was."""

from pathlib import Path

import pytest

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_errors import expected_error, held_out_errors
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.pools import expected_errors, slow_beams
from fleetrec.simulator.scenario.sections import Cloud, Llm
from tests.commands.typed import scenario_in, typed


def test_a_measured_triple_has_errors_of_its_own():
    own = held_out_errors().triples["vllm"]["llama-3.1-70b/b200"]
    said = expected_error("llama-3.1-70b", "b200", "vllm")
    assert f"TPOT within {own.tpot:.0%} and TTFT within {own.ttft:.0%}" in said
    assert f"median of {own.rows} measured rows" in said


def test_what_was_not_measured_has_those_of_its_engine():
    of = held_out_errors().engines["tensorrt_llm"]
    said = expected_error("qwen3-14b", "h100", "tensorrt_llm")
    assert f"TPOT within {of.tpot:.0%}" in said
    assert said.endswith("never measured under TensorRT-LLM: qwen3-14b")
    assert expected_error("llama-3.1-70b", "h100", "sglang").endswith("llama-3.1-70b, h100")
    # both are measured under vLLM, though not together
    assert expected_error("llama-3.1-8b", "b200", "vllm").endswith("llama-3.1-8b on b200")
    assert "all engines" in expected_error("qwen3-1.7b", "h100", "generative_recommender")


def test_triples_add_up_and_are_of_the_catalogue():
    found, catalogue = held_out_errors(), default_catalogue()
    for engine, triples in found.triples.items():
        assert sum(own.rows for own in triples.values()) == found.engines[engine].rows
        for name, own in triples.items():
            model, gpu = name.split("/")
            assert model in catalogue.models
            assert gpu in catalogue.gpus
            ratio = own.worst.predicted_tpot_ms / own.worst.measured_tpot_ms  # the farthest from 1, either way
            assert max(ratio, 1 / ratio) - 1 >= own.tpot_p90 - 0.01
    assert found.overall["all"].rows == found.overall["dense"].rows + found.overall["experts"].rows


def test_a_cloud_says_it_once_for_each_gpu_and_only_under_an_engine():
    pools = [
        {"name": name, "gpu": gpu, "engine": "vllm"} for name, gpu in (("a", "h100"), ("b", "h100"), ("c", "a100"))
    ]
    cloud = Cloud.model_validate({"pools": [*pools, {"name": "d", "gpu": "l4", "engine": None}]})
    assert [line.split(":")[0] for line in expected_errors(cloud, "qwen3-8b")] == ["vllm on h100", "vllm on a100"]
    assert expected_errors(Cloud(engine=None), "qwen3-8b") == []
    assert expected_errors(Cloud(profile="server.yaml"), "qwen3-8b") == []


def test_wide_beams_have_the_errors_of_the_cells_that_were_left_out():
    search = engine_profile("generative_recommender").search
    (said,) = expected_errors(Cloud(engine="generative_recommender"), "qwen3-8b", beams=50)
    assert f"requests of 50 beams within {search.error:.0%}, at worst {search.error_worst:.0%}" in said
    assert search.fitted_to in said
    assert "squared" not in said
    assert "TPOT" not in said
    (by_default,) = expected_errors(Cloud(), "qwen3-8b", beams=50)
    assert by_default.startswith("vllm on h100: expect requests of 50 beams within")
    assert by_default.endswith("its work grows with the width squared, that of generative_recommender does not")


def test_beams_that_another_engine_serves_in_less_than_half_the_time_are_told():
    llm, model = Llm.model_validate({"candidates": {"kind": "item_lm"}}), default_catalogue().model("llama-3.1-8b")
    (slow,) = slow_beams(llm, Cloud(), model)
    assert slow.values["times"] == slow.values["took_s"] / slow.values["would_s"] > 5
    assert slow.text.startswith("slow beams: vllm on h100 takes 0.55 s for a request of 50 beams alone")
    assert slow.text.endswith("set cloud.engine: generative_recommender where your server is made for beams")
    pools = [{"name": name, "gpu": "h100", "engine": name} for name in ("vllm", "sglang", "generative_recommender")]
    (of_pool,) = slow_beams(llm, Cloud.model_validate({"pools": pools}), model)
    assert of_pool.values["setting"] == "cloud.pools.0.engine"
    apart = {"prefill": {"gpu": "l4"}, "decode": {"gpu": "h100"}}
    (of_decode,) = slow_beams(llm, Cloud.model_validate({"disaggregation": apart}), model)
    assert of_decode.values["setting"] == "cloud.disaggregation.decode.engine"
    assert not slow_beams(llm.model_copy(update={"generation": "list"}), Cloud(), model)
    assert not slow_beams(llm, Cloud(engine=None), model)


def test_validate_says_which_error_to_expect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = scenario_in(tmp_path, monkeypatch)
    result = typed("validate", path, "--set", "llm.generation=list")
    assert result.exit_code == 0, result.output
    assert "# vllm on h100: expect TPOT within" in result.stdout
    of_beams = typed("validate", path).stdout
    assert "# vllm on h100: expect requests of 50 beams" in of_beams
    assert "# slow beams: vllm on h100" in of_beams
    for none in ("none", "null"):
        assert "expect" not in typed("validate", path, "--set", f"cloud.engine={none}").stdout
