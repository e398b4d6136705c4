"""Runs in regions: parts of a fleet with clouds of their own, which meet at barriers only (docs/how-to/regions.md)."""

from typing import Literal

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.regions.executors import Executor, LocalShards
from fleetrec.simulator.regions.ray_executor import RayShards
from fleetrec.simulator.regions.run import simulate_regions

__all__ = ["Executor", "executor_for", "simulate_regions"]


def executor_for(
    engine: Literal["local", "ray"], shards: int | None, address: str | None, regions: int, store: ArtifactStore
) -> Executor | None:
    """Who simulates so many regions, by `--engine`, `--shards` and `--ray-address`; None: the process that asks.

    `store`: the one of the run.
    """
    if engine == "ray":
        return RayShards(shards, address, store, regions)
    if address is not None:
        raise InputError("--ray-address needs --engine ray")
    return None if shards is None or (shards == 1 and regions) else LocalShards(shards)
