"""What every generator of candidate lists offers: a function of (user, as_of) alone, asked in batches.

An LLM recommender of any kind (a trained item LM, a table of a user's own LLM's answers) stands behind this interface.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CandidateLists:
    """Lists of M queries. An item of -1 is invalid (unknown or repeated) or, at the end, missing."""

    items: NDArray[np.int32]  # [M, N], best first
    found: NDArray[np.bool_]  # [M], False: there is no such list, and its row holds -1 only
    as_of: NDArray[
        np.int64
    ]  # [M], the position the list has really seen: older than asked where an older list stands in
    prompt_tokens: Floats | None = None  # [M] each; NaN or None: not given
    output_tokens: Floats | None = None
    latency_s: Floats | None = None
    written: Floats | None = None  # titles that a model wrote for the list
    ungrounded: Floats | None = None  # those of them that no item of the catalogue is
    outcome: Floats | None = None  # how the answer ended (models/llm/titles.py)


class CandidateSource(Protocol):
    """A generator of candidate lists."""

    @property
    def name(self) -> str: ...
    @property
    def list_length(self) -> int: ...
    @property
    def content_hash(self) -> str:
        """Of everything that determines the lists: model or table, log, list length and settings."""
        ...

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """Lists of users [M] as of positions [M] of their logs (-1: before the first interaction). The same numbers
        whatever else is asked, before or in the same call. Raises InputError where a list must be there and is not."""
        ...
