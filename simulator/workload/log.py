"""An interaction log: each user's items in order, with times where they are known.

Users and items are internal codes 0..U-1 and 0..I-1; the labels of the source are kept beside them. Event (user u,
position p) is at `offsets[u] + p` of the flat arrays, and times never fall along a user's positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.notes import Note

Clock = Literal["absolute", "shared", "relative", "none"]
"""absolute: seconds since 1970, UTC. shared: seconds since one start for all users, whose date is unknown.
relative: seconds since a start of each user's own, so users cannot be put in one calendar. none: only the order
within a user is known; times are the positions 0, 1, 2, ..."""

COMMON_CLOCKS: tuple[Clock, ...] = ("absolute", "shared")
"""clocks under which events of different users can be put in order"""


@dataclass(frozen=True)
class Reading:
    """What a file was read as, and how that is known; for people, not for code."""

    told: Mapping[str, str]  # format, encoding, separator, ...
    columns: Mapping[str, str]  # role: the column's name
    known_by: Mapping[str, str]  # role: how the column is known
    times: str  # what times are
    timed: bool  # whether there are times
    said: str  # what says the same in a scenario, so that nothing is left to be told from the file
    first_rows: Sequence[tuple[str, str, float]]  # user, item, seconds
    rows: int  # that were read


@dataclass(frozen=True)
class InteractionLog:
    """Immutable; `problems` counts, by name, what cleaning met, and `content_hash` depends on data, not on paths."""

    user_ids: NDArray[Any]  # [U] object: labels in the source
    item_ids: NDArray[Any]  # [I] object
    offsets: NDArray[np.int64]  # [U+1]
    items: NDArray[np.int32]  # [E]
    times: NDArray[np.float64]  # [E], seconds
    clock: Clock
    titles: tuple[str, ...] | None  # per item; "" where unknown
    attributes: tuple[tuple[str, ...], ...] | None  # per item
    problems: Mapping[str, int]
    source: str  # for reports: "synthetic", or the file's name
    content_hash: str
    notes: Sequence[Note] = field(default=())  # what was assumed while reading
    inexact_times: float = 0.0  # share of events whose time the file itself says is not exact
    reading: Reading | None = None  # how the file was read; None for a log that was made

    @property
    def n_users(self) -> int:
        """U, users with at least one event."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """I, size of the catalogue."""
        return len(self.item_ids)

    @property
    def n_events(self) -> int:
        """E, interactions after cleaning."""
        return len(self.items)

    @property
    def common_clock(self) -> bool:
        """Whether events of different users can be put in order."""
        return self.clock in COMMON_CLOCKS

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[U], events of each user."""
        return np.diff(self.offsets)

    @property
    def user_of_event(self) -> NDArray[np.int64]:
        """[E], the user of each event of the flat arrays."""
        return np.repeat(np.arange(self.n_users), self.lengths)
