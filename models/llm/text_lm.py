"""Any Hugging Face causal LM as an answerer of prompts: greedy, in tiles whose shape and rows a prompt determines.

A checkpoint is a local folder, or a model of the hub where the user names one. Its chat template is used where its
tokenizer has one; else the answer begins on a new line of the prompt.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.llm.checkpoints import (
    causal_architecture,
    checkpoint_source,
    hugging_face,
    quiet,
    read_auto,
    read_checkpoint,
)
from fleetrec.models.llm.titles import Answer
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.progress import Progress

_TILE = {"cpu": 4, "cuda": 32}
_ROUND = 64  # tokens; prompts are padded to a multiple of this

Ints = NDArray[np.int64]


class TextLmConfig(Protocol):
    """Which checkpoint, and how much it may write; the `llm.candidates` section of a scenario has these fields."""

    @property
    def checkpoint(self) -> str: ...
    @property
    def max_new_tokens(self) -> int: ...


class TextLm:
    """A causal LM with its tokenizer."""

    name = "text_lm"

    def __init__(self, config: TextLmConfig, threads: int, device: str, progress: Progress):
        """Raises InputError for a checkpoint that cannot be read, or whose tokenizer knows more tokens than it."""
        source = checkpoint_source(config.checkpoint)
        self._tokenizer = read_auto("AutoTokenizer", source)
        lm = read_checkpoint(hugging_face().AutoModelForCausalLM, source)
        vocabulary = lm.get_input_embeddings().weight.shape[0]
        words = self._tokenizer.get_vocab()
        if not set(words) - set(self._tokenizer.all_special_tokens):
            raise InputError(
                f"llm.candidates.checkpoint: {source} has no tokenizer, or one of special tokens alone; save the "
                "model's own there with its save_pretrained"
            )
        highest = max(words.values())
        if highest >= vocabulary:
            raise InputError(
                f"llm.candidates.checkpoint: {source} has a tokenizer with the token {highest} and a model of "
                f"{vocabulary} tokens, counted from 0; use a tokenizer and a model that belong together"
            )
        self.architecture = causal_architecture(lm)
        weights = {name: tensor.numpy() for name, tensor in lm.state_dict().items()}
        self._max_new, self._device, self._progress = config.max_new_tokens, device, progress
        self._tile = _TILE[torch.device(device).type]
        limit = int(getattr(lm.config, "max_position_embeddings", 0) or 10**9)
        self._longest = limit - config.max_new_tokens
        if self._longest < _ROUND:
            raise InputError(
                f"llm.candidates.max_new_tokens: {config.max_new_tokens} leave no room for a prompt in the {limit} "
                f"positions of {source}; set at most {max(1, limit - _ROUND)}"
            )
        self._padding = self._tokenizer.pad_token_id or 0
        machine = [threads, torch.__version__, torch.device(device).type, self._tile, self._max_new]
        written = [
            len(self._tokenizer),
            self._tokenizer.chat_template or "",
            sorted(words.items()),
        ]
        self.content_hash = content_hash(
            "text_lm, rows by prompt", machine, written, lm.config.to_json_string(), weights
        )
        self._lm = lm.to(device).eval().requires_grad_(False)

    def answers(self, prompts: Sequence[str]) -> Iterator[tuple[int, Answer]]:
        """See Answerer.answers. A prompt too long for the model loses its beginning."""
        tokens = [self._tokens(prompt) for prompt in prompts]
        padded = np.array([min(-(-len(one) // _ROUND) * _ROUND, self._longest) for one in tokens], dtype=np.int64)
        row = np.array([int(content_hash(prompt)[:8], 16) % self._tile for prompt in prompts], dtype=np.int64)
        tiles: dict[tuple[int, int], list[int]] = {}
        nth: dict[tuple[int, int], int] = {}
        for query in range(len(tokens)):
            place = (int(padded[query]), int(row[query]))
            nth[place] = nth.get(place, -1) + 1
            tiles.setdefault((place[0], nth[place]), []).append(query)
        with self._progress.task("asking the language model", len(tokens)) as task:
            for (length, _), queries in tiles.items():
                yield from zip(queries, self._generate(tokens, queries, row, length), strict=True)
                task.advance(len(queries))

    def _tokens(self, prompt: str) -> list[int]:
        if self._tokenizer.chat_template:
            message = [{"role": "user", "content": prompt}]
            text = self._tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            return list(self._tokenizer(text, add_special_tokens=False).input_ids)
        return list(self._tokenizer(prompt + "\n").input_ids)

    @torch.no_grad()
    def _generate(self, tokens: list[list[int]], queries: list[int], row: Ints, length: int) -> list[Answer]:
        inputs = torch.full((self._tile, length), self._padding, dtype=torch.int64)
        counts = torch.zeros((self._tile, length), dtype=torch.int64)
        counts[:, -1] = 1  # an empty row attends to something
        for query in queries:
            own = tokens[query][-length:]
            inputs[row[query], length - len(own) :] = torch.tensor(own, dtype=torch.int64)
            counts[row[query], length - len(own) :] = 1
        lower = "llm.candidates.history, titles or max_new_tokens, or use a smaller checkpoint"
        with enough_memory("asking the language model", lower), quiet():
            written = self._lm.generate(
                input_ids=inputs.to(self._device),
                attention_mask=counts.to(self._device),
                max_new_tokens=self._max_new,
                do_sample=False,
                num_beams=1,
                pad_token_id=self._padding,
            )[:, length:].cpu()
        answers = []
        for query in queries:
            own = written[int(row[query])]
            text = self._tokenizer.decode(own, skip_special_tokens=True)
            n_written = int((own != self._padding).sum())
            answers.append(Answer(text, float(min(len(tokens[query]), length)), float(n_written)))
        return answers
