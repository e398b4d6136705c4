"""A causal language model of the Llama architecture whose tokens are items, as a model with user states.

Token of item i is i + offset (1 in models made here); a window of item code + 1 with 0 as padding (models/sequences.py)
is mapped to tokens. The state after an item is the model's last hidden state, after its final norm, and an item's score
the dot product with its row of the (tied) output table: what the model's own head computes. RMSNorm with weights of 1
keeps states below the square root of the width, so the final norm is not trained.
"""

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.llm.checkpoints import hugging_face
from fleetrec.models.llm.llama_rows import llama_states
from fleetrec.models.sequences import Attributes
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.rows import Rows, dropped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEFAULT_OFFSET = 1  # token 0 is padding
_ATTRIBUTE_STD = 0.1
_OWN_SHARE = 0.1


def new_llama(n_items: int, dim: int, layers: int, heads: int, max_length: int) -> "PreTrainedModel":
    """An untrained Llama with one token per item; draws from PyTorch's current generator."""
    config = hugging_face().LlamaConfig(
        vocab_size=n_items + DEFAULT_OFFSET,
        hidden_size=dim,
        intermediate_size=2 * dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    lm: PreTrainedModel = hugging_face().LlamaForCausalLM(config)
    return lm


class ItemLm(StateModel):
    """Any Hugging Face causal LM over item tokens, seen as a sequential recommender."""

    kind = "item_lm"
    has_user_state = True
    places: Tensor | None

    def __init__(
        self, lm: Any, n_items: int, max_length: int, offset: int = DEFAULT_OFFSET, places: Tensor | None = None
    ):
        """`lm`, a PreTrainedModel, has at least n_items + offset tokens and an output head without bias. `places`
        [n_items]: which of the model's items each item is, where they are not the same in the same order."""
        super().__init__(n_items, lm.config.hidden_size, max_length)
        self.lm = lm
        self.embedding = lm.get_input_embeddings()
        self.offset = offset
        self.register_buffer("places", places, persistent=False)
        self._padding = lm.config.pad_token_id or 0

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        """See StateModel.states. Padding comes last, so a causal model never looks at it."""
        items = windows - 1
        if self.places is not None:
            items = self.places[items.clamp(min=0)]
        tokens = torch.where(windows > 0, items + self.offset, self._padding)
        states: Tensor = self.lm.base_model(input_ids=tokens, use_cache=False).last_hidden_state
        return states[:, since:]

    def item_vectors(self) -> Tensor:
        """[n_items, dim]: the items' rows of the output table."""
        table: Tensor = self.lm.get_output_embeddings().weight
        return (
            table[self.offset : self.offset + self.n_items] if self.places is None else table[self.offset + self.places]
        )


class TrainableItemLm(ItemLm):
    """An item LM in training: dropout on embeddings and states; an item's embedding is its own plus the mean of its
    attributes' embeddings, so rare items share what their attributes know. `fold` leaves a plain checkpoint."""

    by_rows = True

    def __init__(self, lm: Any, n_items: int, max_length: int, dropout: float, attributes: Attributes | None):
        super().__init__(lm, n_items, max_length)
        self.dropout = dropout
        lm.base_model.norm.weight.requires_grad_(False)
        self.attribute_table: nn.Parameter | None = None
        names = sorted(set(chain.from_iterable(attributes or ())))
        if attributes is not None and names:
            code = {name: place for place, name in enumerate(names)}
            counts = [len(own) for own in attributes]
            owner = torch.from_numpy(np.repeat(np.arange(n_items), counts))
            place = torch.tensor([code[name] for own in attributes for name in own])
            share = torch.from_numpy(np.repeat([1.0 / max(count, 1) for count in counts], counts)).float()
            with torch.sparse.check_sparse_tensor_invariants():  # type: ignore[no-untyped-call]
                mean = torch.sparse_coo_tensor(torch.stack([owner, place]), share, (n_items, len(names)))
            self.register_buffer("attribute_mean", mean.coalesce(), persistent=False)
            # Attributes speak first: they are learnt from many items each, and an item's own vector grows from little.
            self.attribute_table = nn.Parameter(torch.empty(len(names), self.dim).normal_(std=_ATTRIBUTE_STD))
            with torch.no_grad():
                self.embedding.weight.mul_(_OWN_SHARE)

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        padding = self.embedding.weight[:1]
        embedded = F.embedding(windows, torch.cat([padding, self.item_vectors()]))
        embedded = F.dropout(embedded, self.dropout, self.training)
        states: Tensor = self.lm.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        return F.dropout(states[:, since:], self.dropout, self.training)

    def row_states(self, rows: Rows) -> Tensor:
        embedded = F.embedding(rows.items - 1, self.item_vectors())
        states = llama_states(self.lm.base_model, dropped(embedded, self.dropout), rows)
        return dropped(states[: rows.count], self.dropout)

    def item_vectors(self) -> Tensor:
        own = super().item_vectors()
        if self.attribute_table is None:
            return own
        with torch.autocast(own.device.type, enabled=False):  # sparse products are in float32 everywhere
            shared: Tensor = torch.sparse.mm(self.attribute_mean, self.attribute_table)
        return own + shared

    @torch.no_grad()
    def fold(self) -> "PreTrainedModel":
        """The language model with what the attributes gave written into its embedding table."""
        self.embedding.weight[self.offset : self.offset + self.n_items] = self.item_vectors()
        lm: PreTrainedModel = self.lm
        return lm
