"""What a device of the device story is made of: its slates, its requests, what it has and knows."""

import math
from dataclasses import dataclass, field
from typing import Any

from tests.independent.stepwise_node import Request

NAN = math.nan


@dataclass
class Slate:
    """An order of a list, made of the history up to `step`; on screen after `ready_s`."""

    ready_s: float
    step: int
    as_of: int
    list_time_s: float


@dataclass(eq=False)
class Ask:
    """A request and what became of it."""

    device: int
    step: int
    t_issued_s: float
    t_arrived_s: float = NAN
    t_delivered_s: float = NAN
    outcome: str = ""
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    lost: bool = False
    served: Request | None = None


@dataclass(eq=False)
class Device:
    """What one device has and knows."""

    number: int
    user: int
    rows: list[int]
    step: int
    """newest interaction of its history"""
    as_of: int
    list_time_s: float
    link: str
    tokens: float
    threshold: float
    """of the policy, in interactions that the list has not seen"""
    shown: Slate | None = None
    coming: Slate | None = None
    asking: Ask | None = None
    awaited: Ask | None = None
    """what a blocking screen waits for"""
    first_ready_s: float = 0.0
    """when the first slate since its newest event is ready"""
    joules: float = 0.0
    decisions: int = 0
    last_s: float = NAN
    """of its newest interaction, or of joining"""
    newest_s: float = NAN
    """the same; long ago for one that was there when the run began"""
    pause_s: float = math.inf
    """between that and the one before"""
    last_record: dict[str, Any] = field(default_factory=dict)
