"""What a replica serves and under which limits: a job is one request, an engine the settings of the serving program."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.scenario.sections import QueueOrder

MOST_TOKENS = 10**9
"""of a prompt or an answer in a file: whole numbers beyond some size are none any more"""

State = Literal["new", "waiting", "prefill", "decode", "finished", "removed"]
Role = Literal["both", "prefill", "decode"]


@dataclass(frozen=True)
class Engine:
    """Limits of a serving engine; the defaults are vLLM's."""

    kv_blocks: int
    max_batched_tokens: int = 2048
    max_sequences: int = 256
    block_tokens: int = 16
    prefix_caching: bool = False
    order: QueueOrder = field(default_factory=QueueOrder.family.default)
    async_scheduling: bool = False
    """the next step is composed while one runs, so arrivals and freed memory are seen a step later"""
    host_blocks: int = 0
    """of a tier of KV cache in host memory (host_tier.py); 0: none"""
    host_block_s: float = 0.0
    """what bringing one of them in takes"""
    drafter: Drafter | None = None
    """who drafts the tokens that each step verifies; None: a step gives a sequence one token"""
    separate_prefill: bool = False
    """prompts go first, in steps of their own, in which nobody decodes; not for jobs that come with their prompts
    computed"""
    reserve_output: bool = False
    """a request is let in where memory for its whole answer is free beside what others reserve; none is preempted"""
    window_tokens: int = 0
    """tokens that a request's layers with a window hold at most"""
    window_share: float = 0.0
    """what one of them takes there, over what a token takes in the other layers, whose blocks these are"""

    def __post_init__(self) -> None:
        if min(self.kv_blocks, self.max_sequences, self.block_tokens) < 1:
            raise InputError(
                f"engine: kv_blocks {self.kv_blocks}, max_sequences {self.max_sequences} and block_tokens "
                f"{self.block_tokens} must be at least 1"
            )
        each = 1 if self.drafter is None else self.drafter.tokens + 1
        if self.max_batched_tokens < self.max_sequences * each:
            raise InputError(
                f"engine: max_batched_tokens {self.max_batched_tokens} is less than "
                f"{'' if each == 1 else f'{each} tokens for each of '}max_sequences "
                f"{self.max_sequences}, so not every sequence could decode; raise it"
            )

    def blocks_of(self, job: "Job") -> int:
        """The most blocks that a request, not taken in yet, comes to hold, those of drafts that may be rejected too."""
        drafts = self.drafter.tokens if self.drafter is not None and job.output_tokens > 1 else 0
        last = job.prompt_tokens + max(job.output_tokens, 1) - 1 + drafts
        blocks = job.blocks_at(last, self.block_tokens)
        return blocks + self.window_blocks(job) if self.window_share else blocks

    def window_blocks(self, job: "Job") -> int:
        """Blocks that a request's layers with a window hold, from its last prompt chunk on: as many as they come to
        hold, the prompt's once, and what each sequence writes."""
        if not self.window_share:
            return 0
        block, window = self.block_tokens, -(-self.window_tokens // self.block_tokens) + 1
        first = min(window, -(-(job.prompt_tokens + job.output_tokens) // block))
        further = min(window, -(-job.output_tokens // block) + 1)
        return math.ceil(self.window_share * (first + (job.sequences - 1) * further))


class Job:
    """A request at a replica: what it asks, and what became of it. Times are NaN until they happen."""

    __slots__ = (
        "_blocks",
        "_clock",
        "_computed",
        "_finish_step",
        "_generated",
        "_joined_step",
        "_key",
        "_number",
        "_prefill",
        "_shared",
        "_state",
        "_window_blocks",
        "busy_share_s",
        "cached_tokens",
        "decode_steps",
        "device",
        "output_tokens",
        "preemptions",
        "prefix",
        "priority",
        "prompt_tokens",
        "role",
        "sequences",
        "service_s",
        "t_added_s",
        "t_finished_s",
        "t_first_token_s",
        "t_started_s",
        "tenant",
    )

    def __init__(
        self,
        prompt_tokens: int,
        output_tokens: int,
        sequences: int = 1,
        priority: float = 0.0,
        prefix: tuple[Hashable, int] | None = None,
        service_s: float = math.nan,
    ):
        """`output_tokens` are those of each of its `sequences` (beams); 0 or 1: one prefill is all (scoring).

        `prefix` (key, tokens): of two prompts with this key, one is the beginning of the other over their first
        `tokens`, as in a device's history window that grows; a window that has dropped items is another key.
        `service_s`, seconds from start to end, is for replicas of a table's times alone.
        """
        if prompt_tokens < 1 or output_tokens < 0 or sequences < 1:
            raise ValueError(f"a job of {prompt_tokens} prompt, {output_tokens} output tokens, {sequences} sequences")
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.sequences = sequences
        self.priority = priority
        self.prefix = prefix
        self.service_s = service_s
        self.decode_steps = output_tokens - 1  # that its tokens after the first take; fewer where drafts are accepted
        self.device = self.tenant = 0  # who asks, for orders that care
        self.role: Role = "both"
        """prefill: its KV cache goes on elsewhere, and its blocks are held until it has (`Replica.sent`); decode: it
        comes from there with its prompt computed"""
        self.t_added_s = math.nan
        self.t_started_s = math.nan  # when it first left the waiting line
        self.t_first_token_s = math.nan
        self.t_finished_s = math.nan  # when it left the replica, finished or removed
        self.preemptions = 0
        self.cached_tokens = 0  # prompt tokens not computed, thanks to prefix caching
        self.busy_share_s = 0.0  # replica-seconds: busy time is divided equally among the sequences then running
        self._state: State = "new"
        self._generated = 0  # tokens of each sequence at the last (re)admission
        self._number = 0
        self._key = 0.0
        self._computed = 0  # of the tokens to prefill
        self._prefill = prompt_tokens  # tokens to prefill before it decodes
        self._shared = 0  # blocks that it holds of its prefix's chain
        self._blocks = 0  # blocks of its own, while it prefills or leaves
        self._joined_step = 0
        self._window_blocks = 0  # of layers with a window, once its prompt is computed
        self._finish_step = 0
        self._clock = 0.0

    def computed_elsewhere(self, t_first_token_s: float) -> None:
        """It comes to a replica with its prompt computed and the first token of each sequence."""
        self.role, self._generated = "decode", 1
        self.t_first_token_s, self.cached_tokens = t_first_token_s, self.prompt_tokens

    @property
    def waits(self) -> bool:
        """It has neither been served yet nor left."""
        return math.isnan(self.t_started_s) and math.isnan(self.t_finished_s)

    @property
    def completed(self) -> bool:
        """It got all its tokens (a job that was removed while it ran did not)."""
        return self._state == "finished"

    @property
    def prompt_passed(self) -> int:
        """Tokens of its prompt that passed through the weights here, those that were cached left out, as of the last
        time that it left the batch or a prompt chunk ended; what preemption made it compute again is not counted."""
        return max(min(self._computed, self.prompt_tokens) - self.cached_tokens, 0)

    @property
    def generated_after_first(self) -> int:
        """Tokens of each sequence after its first one, as of the same time."""
        return max(self._generated - 1, 0)

    def blocks_at(self, tokens: int, block: int) -> int:
        """KV blocks at `tokens` of context a sequence: the prompt's full blocks once, the rest once a sequence."""
        shared = min(tokens, self.prompt_tokens) // block
        return self._window_blocks + shared + self.sequences * -((shared * block - tokens) // block)
