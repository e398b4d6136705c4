"""Who simulates the regions of a run: this process, several of this machine, or Ray's."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from models.artifacts import ArtifactStore
from simulator.learning import Learnt
from simulator.regions.host import Host
from simulator.regions.messages import Brief, RegionJob, Report, Step

_MOST_LOST = 3


class Crew(Protocol):
    """Takes the regions of a run from barrier to barrier while its `with` block lasts."""

    option: str
    """how a user asks for it"""
    workers: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """Take every region [R] to the end of its `steps`, of which the last one is new; their reports."""
        ...


class ThisProcess:
    """All regions here, one after the other."""

    option, workers = "--shards 1", 1

    def __init__(self, store: ArtifactStore, learnt: Learnt):
        self._host = Host(store, learnt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is to be ended."""

    def round(self, brief: Brief, steps: Sequence[Sequence[Step]], folders: Sequence[Path]) -> list[Report]:
        """See Crew."""
        return [
            self._host.do(RegionJob(brief, region, taken[-1:], folder))
            for region, (taken, folder) in enumerate(zip(steps, folders, strict=True))
        ]
