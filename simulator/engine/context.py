"""What is fixed before the run begins: the rules by which all its devices behave, and what each device is."""

from dataclasses import dataclass

FROM_INTERACTION, FROM_PUSH = 0, 1
"""attempts at a step: the request after its interaction, and the first one that is not; others follow"""


@dataclass(frozen=True, slots=True)
class Rules:
    """How devices behave, the same for all of a run."""

    at_interaction: bool
    """whether they decide at interactions"""
    online: bool
    """whether they decide as they come back online"""
    at_answer: bool
    """whether they decide as a list lands, if their user has gone on since it was asked for"""
    blocking: bool
    """whether the screen waits for an answer"""
    patience_s: float
    """so long"""
    late_s: float
    """an answer that takes longer is late to the device that waits for it"""
    fails_offline: bool
    """whether a request that cannot be sent fails at once"""
    empty_is_miss: bool
    """whether a device with an empty battery shows nothing"""
    vectors_with_list: bool
    """whether a candidate list brings the vectors of its items (item_table: with_list)"""
    looks_ahead: bool
    """whether the policy looks at rankings while the run goes"""
    weights_change: bool
    """whether weights do while the run goes"""
    skips: bool
    """whether devices sleep through interactions at which nothing is decided (engine.sleep)"""


@dataclass(frozen=True, slots=True)
class Profile:
    """One device, as it is before the run."""

    row: int
    """of the stream: its first interaction"""
    end: int
    """of the stream: after its last"""
    first_step: int
    """place of its first interaction in its user's log"""
    joins_s: float
    left_s: float
    """when it leaves for good"""
    decides_joining: bool
    preloaded: int
    """what the list that it joins with has seen; -1: it has none"""
    compute_s: float
    """time of one ranking"""
    compute_j: float
    """energy of one ranking"""
    battery_j: float
