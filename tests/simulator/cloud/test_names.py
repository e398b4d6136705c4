"""Names of GPUs and models that others gave: understood whole, or not at all."""

import pytest

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.names import gpu_called, model_called, nearest

GPUS, MODELS = default_catalogue().gpus, default_catalogue().models


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtxpro6000"),
        ("AMD Instinct MI300X", "mi300x"),
        ("RTX4090", "rtx4090"),
    ],
)
def test_a_board_is_known_by_what_its_driver_calls_it(device: str, name: str) -> None:
    found = gpu_called(device, GPUS)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", GPUS)
def test_every_gpu_is_known_by_its_own_name_and_no_name_stands_for_two(name: str) -> None:
    for known in (name, *GPUS[name].devices):
        found = gpu_called(known, GPUS)
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize(
    ("device", "near"),
    [
        ("NVIDIA L40", "l40s"),
        ("NVIDIA A10G", "a10"),
        ("NVIDIA GH200 480GB", "h100"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx4090"),
        ("NVIDIA GeForce RTX 3090 Ti", "rtx3090"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", "a100-40gb"),
        ("NVIDIA H200 NVL", "h200"),
        ("NVIDIA A100X", "a100"),
        ("", "b200"),
    ],
)
def test_a_board_that_only_looks_like_one_of_the_catalogue_is_none_of_it(device: str, near: str) -> None:
    assert gpu_called(device, GPUS) is None
    assert near in nearest(device, GPUS)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Llama-2-70b-chat-hf", "llama-2-70b"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama-4-scout"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistral-nemo-12b"),
        ("microsoft/Phi-4-mini-instruct", "phi-4-mini"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"),
        ("/models/Llama-3.1-8B-Instruct/", "llama-3.1-8b"),
        ("/hub/models--Qwen--Qwen3-8B/snapshots/b968826d", "qwen3-8b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
    ],
)
def test_a_model_is_known_by_its_repository(repository: str, name: str) -> None:
    found = model_called(repository, MODELS)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_known_by_its_own_name(name: str) -> None:
    found = model_called(name, MODELS)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "repository",
    [
        "acme/Meta-Llama-3.1-8B-Instruct-AWQ-INT4",
        "acme/Llama-3.1-8B-Instruct-FP8",
        "acme/Meta-Llama-3.1-8B-bnb-4bit",
        "acme/Qwen2.5-7B-Instruct-GPTQ-Int8",
        "acme/Llama-3.1-8B-Instruct.Q4_K_M.gguf",
        "acme/Llama-3.1-8B-w8a8",
        "acme/GLM-4.5-Air-FP8",
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "microsoft/Phi-4-multimodal-instruct",
        "Qwen/Qwen2.5-Coder-7B",
        "mistralai/Mistral-7B-Instruct-v0.1",
        "llama3.1:8b",
        "my-server",
        "",
    ],
)
def test_other_weights_and_other_networks_are_not_the_model_that_their_name_contains(repository: str) -> None:
    assert model_called(repository, MODELS) is None
