"""The columns of a run's tables, and one request's record."""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

NO_SLATE = -1


@dataclass(slots=True)
class RequestRecord:
    """One request, from issue to its one outcome: times, NaN where the event never happened, and bytes. What serving it
    cost is known later (`ServingCost`)."""

    request: int
    device: int
    step: int
    t_issued_s: float
    as_of: int
    """what the answer has seen: `step`, or less where a table's older list stands in"""
    weights: int
    """of the SRM on the device when it asked (`DeviceWeights`)"""
    t_arrived_s: float = math.nan
    t_started_s: float = math.nan
    t_finished_s: float = math.nan
    t_delivered_s: float = math.nan
    outcome: str = "unfinished"
    prompt_tokens: int = 0
    output_tokens: int = 0
    replica: int = -1
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    pushed: bool = False
    """whether the cloud made it unasked"""
    ticket: Any = field(default=None, repr=False)
    """of the cloud that serves it; None: it has not come there"""


class ServingCost(NamedTuple):
    """What serving one request has used."""

    gpu_seconds: float = 0.0
    usd: float = 0.0
    joules: float = 0.0
    """of the GPUs"""
    gco2: float = 0.0
    """of those joules, at the carbon intensity while it was served"""


REQUEST_SCHEMA = pa.schema(
    [
        ("request", pa.int64()),
        ("device", pa.int32()),
        ("step", pa.int32()),
        ("t_issued_s", pa.float64()),
        ("t_arrived_s", pa.float64()),
        ("t_started_s", pa.float64()),
        ("t_first_token_s", pa.float64()),
        ("t_finished_s", pa.float64()),
        ("t_delivered_s", pa.float64()),
        ("outcome", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("replica", pa.int32()),
        ("gpu_seconds", pa.float64()),
        ("usd", pa.float64()),
        ("joules", pa.float64()),
        ("gco2", pa.float64()),
        ("bytes_up", pa.float64()),
        ("bytes_down", pa.float64()),
    ]
)
REQUEST_TABLE = REQUEST_SCHEMA.append(pa.field("usd_network", pa.float64()))
"""the finished table: what a request's traffic cost stands beside what serving it did"""

OPPORTUNITY_SCHEMA = pa.schema(
    [
        ("device", pa.int32()),
        ("opportunity", pa.int32()),
        ("session", pa.int32()),
        ("t_s", pa.float64()),
        ("outcome", pa.string()),
        ("item", pa.int32()),
        ("place", pa.int32()),
        ("utility", pa.float64()),
        ("value", pa.float64()),
        ("best_value", pa.float64()),
        ("satisfaction", pa.float64()),
        ("ends", pa.string()),
        ("return_s", pa.float64()),
    ]
)
"""of users who react: a row an opportunity that one came to, and one for each session to which one did not come"""

INTERACTION_SCHEMA = pa.schema(
    [
        ("device", pa.int32()),
        ("step", pa.int32()),
        ("t_s", pa.float64()),
        ("item", pa.int32()),
        ("rank", pa.int32()),
        ("as_of", pa.int32()),
        ("staleness", pa.int32()),
        ("list_age_s", pa.float32()),
        ("requested", pa.bool_()),
        ("request", pa.int64()),
        ("online", pa.bool_()),
        ("inconsistency", pa.float32()),
        ("slate_latency_s", pa.float32()),
        ("version", pa.int32()),
        ("adaptation", pa.int32()),
    ]
)
