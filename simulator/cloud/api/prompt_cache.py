"""Beginnings of prompts that a provider keeps for a while: of each device's history, and of what all prompts share."""

from collections.abc import Hashable

from fleetrec.simulator.scenario.sections import ApiPromptCache

Prefixes = tuple[tuple[Hashable, int], ...]
"""beginnings of a prompt by what they are of, with their tokens"""


def prefixes_of(device: int, start: int, tokens: int, instruction_tokens: int) -> Prefixes:
    """Those of a device's prompt whose history begins at `start`: up to the end of its history, and the instruction,
    which is that of all prompts."""
    return ((device, start), tokens), ("instruction", instruction_tokens)


class PromptCache:
    """A prefix is kept from its first use until `lifetime` after the last one."""

    def __init__(self, section: ApiPromptCache):
        self._section = section
        self._kept: dict[Hashable, tuple[int, float]] = {}  # tokens of each prefix, and when it is forgotten

    def read(self, prefixes: Prefixes, now: float) -> int:
        """Tokens of a prompt that were cached; `prefixes` name its beginnings with their tokens, which are kept now.

        A prompt that begins as an earlier, shorter one did finds that one's tokens.
        """
        section, found = self._section, 0
        for key, tokens in prefixes:
            kept, until_s = self._kept.get(key, (0, 0.0))
            if until_s > now:
                found = max(found, min(kept, tokens))
            if tokens >= section.least_tokens:
                self._kept[key] = tokens, now + section.lifetime
        return found // section.block_tokens * section.block_tokens if found >= section.least_tokens else 0
