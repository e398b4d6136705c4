"""Who drafts the tokens that a step verifies (speculative decoding, Leviathan et al. 2023): how many, how long it takes
and what becomes of them."""

from dataclasses import dataclass
from functools import cached_property

from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.replica.verify_steps import VerifySteps, verify_steps


@dataclass(frozen=True)
class Drafter:
    """A draft model, or a rule, with what is known of its drafts."""

    acceptance: tuple[float, ...]
    """chance that the draft at each position is accepted where those before it are"""
    steps: StepTime | None = None
    """of the draft model, one for each draft; None: drafts cost no GPU time"""
    lookup_s: float = 0.0
    """host time of a step for each sequence"""
    flops_share: float = 0.0
    """FLOPs of a token in the draft model, over those of one in the LLM"""

    @cached_property
    def tokens(self) -> int:
        """Drafts that one step verifies for each sequence."""
        return len(self.acceptance)

    @cached_property
    def law(self) -> VerifySteps:
        """How many steps tokens take, and how many tokens a step gives."""
        return verify_steps(self.acceptance)

    def tokens_passed(self, prompt_tokens: int, steps: float) -> float:
        """Tokens that pass through the LLM's weights for a request, rejected drafts too, and those of the draft model
        counted as so many of the LLM's."""
        share, drafts = self.flops_share, self.tokens
        return prompt_tokens * (1 + share) + steps * (drafts + 1 + share * drafts)
