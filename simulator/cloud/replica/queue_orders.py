"""In what order a replica's waiting requests are admitted: an order is a plain function from a job to a sort key.

The smallest key is admitted first; equal keys are admitted in order of arrival. Where KV memory runs out, the running
job that comes last in the order is preempted, as in vLLM's FCFS and priority scheduling.
"""

from collections.abc import Callable
from typing import Protocol


class Orderable(Protocol):
    """What an order may look at."""

    prompt_tokens: int
    priority: float


Order = Callable[[Orderable], float]


def fcfs(job: Orderable) -> float:
    """First come, first served."""
    return 0.0


def priority(job: Orderable) -> float:
    """The lowest number of `priority` first, as vLLM has it."""
    return job.priority


def shortest_prompt(job: Orderable) -> float:
    """The shortest prompt first."""
    return job.prompt_tokens


ORDERS: dict[str, Order] = {"fcfs": fcfs, "priority": priority, "shortest_prompt": shortest_prompt}
