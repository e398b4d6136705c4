"""T5 on item ids: a prompt of the newest items' ids is encoded, the next item's id is decoded token by token.

In the spirit of P5 (Geng et al. 2022) and OpenP5. Tokens of ids are the last rows of the vocabulary, from `offset` on.
Beams of a query are decoded side by side against one encoding of its prompt: cross-attention of T5 knows no positions,
so all beams' tokens can ask it at once, and keys and values are made once instead of once a beam.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fleetrec.models.llm.checkpoints import hugging_face
from fleetrec.models.llm.item_ids import ItemIds

PAD, END = 0, 1
RESERVED = 2  # tokens before those of ids in a new vocabulary


def new_t5(ids: ItemIds, dim: int, layers: int, heads: int, dropout: float) -> Any:
    """An untrained T5 whose vocabulary is that of ids; draws from PyTorch's current generator."""
    config = hugging_face().T5Config(
        vocab_size=RESERVED + ids.n_tokens,
        d_model=dim,
        d_kv=dim // heads,
        d_ff=4 * dim,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=dropout,
        pad_token_id=PAD,
        eos_token_id=END,
    )
    return hugging_face().T5ForConditionalGeneration(config)


def extend(t5: Any, ids: ItemIds) -> int:
    """Adds the tokens of `ids` to the vocabulary of a checkpoint; their first place in it."""
    offset = int(t5.get_input_embeddings().weight.shape[0])
    spread = float(t5.get_input_embeddings().weight.detach().std())
    t5.resize_token_embeddings(offset + ids.n_tokens, mean_resizing=False)
    with torch.no_grad():
        t5.get_input_embeddings().weight[offset:].normal_(std=spread)
    return offset


class P5Network(nn.Module):
    """A T5 seen as prompts of items in, log-probabilities of id tokens out."""

    item_tokens: Tensor  # [I, D]
    instruction: Tensor  # [tokens]

    def __init__(self, t5: Any, ids: ItemIds, offset: int, instruction: list[int]):
        """`instruction`: tokens before every history (none for a vocabulary of ids only)."""
        super().__init__()
        self.t5, self.offset, self.width, self.depth = t5, offset, ids.width, ids.depth
        self.end = t5.config.eos_token_id if isinstance(t5.config.eos_token_id, int) else END
        self.pad = t5.config.pad_token_id or PAD
        self.start = getattr(t5.config, "decoder_start_token_id", None) or self.pad
        self.register_buffer("item_tokens", torch.from_numpy(ids.tokens) + offset, persistent=False)
        self.register_buffer("instruction", torch.tensor(instruction, dtype=torch.int64), persistent=False)

    def prompts(self, windows: Tensor) -> Tensor:
        """Tokens [B, S] of windows [B, L] (item code + 1, left-aligned, 0 padding): instruction, ids, end, padding."""
        batch, length = windows.shape
        ids = self.item_tokens[(windows - 1).clamp(min=0)].reshape(batch, length * self.depth)
        used = (windows > 0).sum(dim=1) * self.depth
        column = torch.arange(length * self.depth + 1, device=windows.device)[None, :]
        ids = torch.cat([ids, ids.new_full((batch, 1), self.pad)], dim=1)
        ids = torch.where(column < used[:, None], ids, torch.where(column == used[:, None], self.end, self.pad))
        return torch.cat([self.instruction.expand(batch, -1), ids], dim=1)

    def encode(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Encodings [B, S, d] and which tokens count [B, S]. Padding gets no weight, so it changes nothing."""
        counts = prompts != self.pad
        states: Tensor = self.t5.encoder(input_ids=prompts, attention_mask=counts.long()).last_hidden_state
        return states, counts

    def log_probabilities(self, encoded: Tensor, counts: Tensor, codes: Tensor) -> Tensor:
        """[B, K, P + 1, width]: of each token of position p after the first p of `codes` [B, K, P], for p = 0..P."""
        batch, beams, known = codes.shape
        place = torch.arange(known, device=codes.device) * self.width + self.offset
        started = torch.full((batch, beams, 1), self.start, device=codes.device)
        states = self._decode(torch.cat([started, codes + place], dim=2), encoded, counts)
        if self.t5.config.scale_decoder_outputs:
            states = states * self.t5.config.d_model**-0.5
        head = self.t5.lm_head.weight[self.offset : self.offset + (known + 1) * self.width]
        logits = torch.einsum("bkpd,pwd->bkpw", states, head.view(known + 1, self.width, -1))
        return torch.log_softmax(logits, dim=-1)

    def _decode(self, tokens: Tensor, encoded: Tensor, counts: Tensor) -> Tensor:
        """Decoder states [B, K, T, d] of `tokens` [B, K, T]."""
        decoder = self.t5.decoder
        batch, beams, length = tokens.shape
        hidden = decoder.dropout(decoder.embed_tokens(tokens.reshape(batch * beams, length)))
        lowest = torch.finfo(hidden.dtype).min
        causal = torch.full((length, length), lowest, device=hidden.device).triu(1)[None, None]
        visible = torch.zeros_like(counts, dtype=hidden.dtype).masked_fill(~counts, lowest)[:, None, None, :]
        bias = None
        for block in decoder.block:
            own, across, feed = block.layer
            hidden, bias, *_ = own(hidden, attention_mask=causal, position_bias=bias)
            side_by_side = hidden.view(batch, beams * length, -1)
            side_by_side = across(side_by_side, key_value_states=encoded, attention_mask=visible)[0]
            hidden = feed(side_by_side).view(batch * beams, length, -1)
        states: Tensor = decoder.dropout(decoder.final_layer_norm(hidden))
        return states.view(batch, beams, length, -1)
