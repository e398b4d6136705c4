"""Causal LMs on prompts against Hugging Face's own generation, with a tiny random checkpoint made on the fly."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from fleetrec.models.llm.text_lm import TextLm
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.preparation.candidates.text_lm import TextLm as Section

WORDS = [f"w{i}" for i in range(28)]
PROMPTS = ["w1 w2 w3", "w4 " * 70, "w9", "w5 w6 w7 w8 w1", "w2 w2"]


def checkpoint(folder: Path, vocabulary: int = 30, positions: int = 160, last: int = 29) -> Path:
    """`last`: the id of the last word; above 29 the ids have holes."""
    words = {word: place for place, word in enumerate(["<pad>", "<unk>", *WORDS])}
    words[WORDS[-1]] = last
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(2)
    size = {"n_positions": positions, "n_embd": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.5}
    GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, eos_token_id=29, **size)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("gpt"))


def text_lm(folder: Path, **changes: object) -> TextLm:
    section = Section.model_validate({"checkpoint": str(folder), "max_new_tokens": 12} | changes)
    return TextLm(section, 1, "cpu", NullProgress())


def answered(source: TextLm, *prompts: str) -> list[Answer]:
    """The answers to the prompts, those above unless some are given, in their order."""
    return [answer for _, answer in sorted(source.answers(prompts or PROMPTS), key=lambda told: told[0])]


def test_answers_are_what_plain_greedy_generation_writes(folder: Path) -> None:
    lm = GPT2LMHeadModel.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    answers = answered(text_lm(folder))
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        inputs = tokenizer(prompt, return_tensors="pt").input_ids
        written = lm.generate(inputs, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, inputs.shape[1] :]
        assert answer.text == tokenizer.decode(written, skip_special_tokens=True)
        assert answer.prompt_tokens == inputs.shape[1]
        assert answer.output_tokens == (written != 0).sum()


def test_an_answer_does_not_depend_on_what_else_is_asked(folder: Path) -> None:
    source = text_lm(folder)
    together = answered(source)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        assert answered(source, prompt) == [answer]


def test_a_prompt_longer_than_the_model_loses_its_beginning(folder: Path) -> None:
    source = text_lm(folder)
    long = " ".join(WORDS[i % 28] for i in range(400))
    end = " ".join(long.split()[-148:])
    lm, tokenizer = GPT2LMHeadModel.from_pretrained(folder).eval(), PreTrainedTokenizerFast.from_pretrained(folder)
    inputs = tokenizer(end, return_tensors="pt").input_ids
    new = lm.generate(inputs, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, inputs.shape[1] :]
    assert answered(source, long)[0].text == tokenizer.decode(new, skip_special_tokens=True)


def test_a_checkpoint_that_cannot_serve_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    small = checkpoint(tmp_path / "small", vocabulary=10)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((folder / "config.json").read_bytes())
    holes = checkpoint(tmp_path / "holes", last=57)
    added = checkpoint(tmp_path / "added")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(added)
    tokenizer.add_tokens(["<item_1>"])
    tokenizer.save_pretrained(added)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("config.json", "model.safetensors"):
        (alone / name).write_bytes((folder / name).read_bytes())
    cases: list[tuple[Path, dict[str, object], str]] = [
        (small, {}, "tokenizer with the token 29 and a model of 10 tokens"),
        (holes, {}, "tokenizer with the token 57 and a model of 30 tokens"),
        (added, {}, "tokenizer with the token 30 and a model of 30 tokens"),
        (alone, {}, "has no tokenizer, or one of special tokens alone"),
        (bare, {}, "cannot be loaded"),
        (tmp_path, {}, "no config.json"),
        (folder, {"max_new_tokens": 150}, "no room for a prompt in the 160 positions"),
    ]
    for path, changes, message in cases:
        with pytest.raises(InputError, match=message) as error:
            text_lm(path, **changes)
        assert "\n" not in str(error.value)
