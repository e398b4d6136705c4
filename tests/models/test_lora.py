"""LoRA adapters: merged weights against the same layers with the adapter beside them, and against peft where it is."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from fleetrec.models.llm.checkpoints import checkpoint_source, read_checkpoint, require_checkpoint
from fleetrec.models.runtime.errors import InputError
from tests.models.test_text_lm import answered, checkpoint, text_lm

RANK, ALPHA = 4, 8
TOKENS = torch.arange(12).reshape(2, 6)


def llama(folder: Path) -> Path:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=30, num_key_value_heads=1, **size)).save_pretrained(folder)
    return folder


def gpt2(folder: Path) -> Path:
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=30, n_positions=64, n_embd=16, n_layer=2, n_head=2)).save_pretrained(folder)
    return folder


MODELS = {
    "llama": (llama, ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "lm_head"], {}),
    "llama, by the root of the rank": (llama, ["model.layers.1.self_attn.v_proj"], {"use_rslora": True}),
    "gpt2": (gpt2, ["transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_proj"], {"fan_in_fan_out": True}),
}


def adapter(folder: Path, base: Path, modules: list[str], **config: Any) -> Path:
    """An adapter of `base` with random weights, as peft writes it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    weights = {}
    for name in modules:
        rows, columns = model.get_submodule(name).weight.shape
        rows, columns = (columns, rows) if config.get("fan_in_fan_out") else (rows, columns)
        weights[f"base_model.model.{name}.lora_A.weight"] = torch.randn(RANK, columns)
        weights[f"base_model.model.{name}.lora_B.weight"] = torch.randn(rows, RANK)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    said = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": ALPHA,
        "bias": "none",
        "target_modules": sorted({name.rsplit(".", 1)[-1] for name in modules}),
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def beside(model: Any, folder: Path, scale: float) -> torch.Tensor:
    """Logits of a model whose layers have the adapter beside them."""
    from safetensors.torch import load_file

    held = load_file(folder / "adapter_model.safetensors")
    for name in held:
        if name.endswith(".lora_A.weight"):
            low, high = held[name], held[name.replace("lora_A", "lora_B")]
            layer = model.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
            layer.register_forward_hook(lambda _, x, y, a=low, b=high: y + scale * (x[0] @ a.T) @ b.T)
    return model(TOKENS).logits


@pytest.mark.parametrize("kind", MODELS)
def test_merged_weights_answer_as_the_adapter_beside_its_model(kind: str, tmp_path: Path) -> None:
    make, modules, config = MODELS[kind]
    base = make(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", base, modules, **config)
    scale = ALPHA / math.sqrt(RANK) if "use_rslora" in config else ALPHA / RANK
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained(base)
        before = plain(TOKENS).logits
        wanted = beside(plain, folder, scale)
        found = read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(folder)))(TOKENS).logits
    assert (wanted - before).abs().max() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
@pytest.mark.parametrize("kind", MODELS)
def test_merged_weights_are_those_of_peft(kind: str, tmp_path: Path) -> None:
    from peft import PeftModel

    make, modules, config = MODELS[kind]
    base = make(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", base, modules, **config)
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder).merge_and_unload()
    found = read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(folder))).state_dict()
    for name, weight in merged.state_dict().items():
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-5)


def test_a_module_that_was_trained_whole_is_replaced(tmp_path: Path) -> None:
    base = llama(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", base, [])
    head = torch.randn(30, 16)
    save_file({"base_model.model.lm_head.weight": head}, folder / "adapter_model.safetensors")
    found = read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(folder)))
    assert torch.equal(found.lm_head.weight, head)


def test_a_text_lm_with_an_adapter_writes_with_its_models_tokenizer(tmp_path: Path) -> None:
    base = checkpoint(tmp_path / "base")
    folder = adapter(tmp_path / "adapter", base, ["transformer.h.0.mlp.c_fc"], fan_in_fan_out=True)
    answers = answered(text_lm(folder))
    assert text_lm(folder).content_hash != text_lm(base).content_hash
    assert [one.prompt_tokens for one in answers] == [one.prompt_tokens for one in answered(text_lm(base))]


def spoilt(folder: Path, **config: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"base_model_name_or_path": "/gone/base"}, "an adapter .LoRA. of /gone/base, which cannot be had"),
        ({"peft_type": "IA3"}, "of kind IA3, where plain LoRA is merged here; merge it with peft"),
        ({"use_dora": True}, "with use_dora"),
        ({"rank_pattern": {"q_proj": 2}}, "with rank_pattern"),
        ({"bias": "all"}, "with bias"),
        ({"r": "many"}, "does not say which adapter"),
        ({"r": 0}, "of kind LORA"),
    ],
)
def test_an_adapter_that_cannot_be_merged_says_the_way_out(config: dict[str, Any], says: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter", llama(tmp_path / "base"), ["lm_head"])
    spoilt(folder, **config)
    with pytest.raises(InputError, match=says) as error:
        checkpoint_source(str(folder))
    assert "\n" not in str(error.value)


def test_an_adapter_of_another_model_in_pieces_or_of_an_adapter_is_refused(tmp_path: Path) -> None:
    base, other = llama(tmp_path / "base"), gpt2(tmp_path / "other")
    folder = adapter(tmp_path / "adapter", base, ["model.layers.0.mlp.up_proj"])
    spoilt(folder, base_model_name_or_path=str(other))
    with pytest.raises(InputError, match="other has none; name the adapter's own model"):
        read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(folder)))
    tied = adapter(tmp_path / "tied", other, [])
    save_file({"base_model.model.lm_head.weight": torch.ones(30, 16)}, tied / "adapter_model.safetensors")
    with pytest.raises(InputError, match="uses in two places"):
        read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(tied)))
    for name, content in (("lora_A", {"base_model.model.x.lora_A.weight": torch.ones(4, 16)}),
                          ("lora_B", {"base_model.model.x.lora_B.weight": torch.ones(16, 4)})):  # fmt: skip
        save_file(content, tied / "adapter_model.safetensors")
        with pytest.raises(InputError, match=f"has x.{name}.weight without its"):
            read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(tied)))
    (tied / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be loaded"):
        read_checkpoint(AutoModelForCausalLM, checkpoint_source(str(tied)))
    (tied / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="pickled weights are not loaded"):
        checkpoint_source(str(tied))
    spoilt(folder, base_model_name_or_path=str(adapter(tmp_path / "first", base, ["lm_head"])))
    with pytest.raises(InputError, match="an adapter of an adapter"):
        checkpoint_source(str(folder))
    with pytest.raises(InputError, match="a model of items must be whole"):
        require_checkpoint(folder)
