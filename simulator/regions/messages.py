"""What travels between the one who leads a run in regions and those who simulate them: plain values and arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.engine.retraining import Training
from fleetrec.simulator.regions.uploads import Sent
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class BarrierUpdate:
    """What a region is told at a barrier, before it goes on."""

    checked: bool = False
    """whether the cloud has checked what all regions' devices had sent"""
    training: Training | None = None
    """what was trained then; None: nothing was"""
    tokens: float | None = None
    """what the region's part of the fleet's bucket holds from now on; None: what it held"""


@dataclass(frozen=True)
class Task:
    """A region hears what is new, then goes on to a barrier, or to the end of the run."""

    update: BarrierUpdate = BarrierUpdate()
    until_s: float | None = None
    """None: to the end"""


@dataclass(frozen=True)
class RunSpec:
    """All that one needs to know to simulate regions of a run. The scenario's duration is given."""

    scenario: sections.Scenario
    device: str
    threads: int
    """of PyTorch, for all but training"""
    cache: Path | None
    """root of the artifact store; None: the usual one where the region is simulated"""
    at_once: int = 1
    """regions that one machine holds at a time, as far as is known"""


@dataclass(frozen=True)
class RegionJob:
    """Tasks of one region: those that whoever simulates it has not done yet."""

    spec: RunSpec
    region: int
    tasks: Sequence[Task]
    folder: Path
    """takes the region's files at the end"""


@dataclass(frozen=True)
class RegionState:
    """How a region stands at a barrier or at the end. `error`: one line on why it failed; none: it did not."""

    error: str | None = None
    details: str = ""
    """where in the code it failed, for what is not a user's mistake"""
    sent: Sent | None = None
    """what its devices have sent to a cloud that trains"""
    tokens: float | None = None
    """what its part of the fleet's bucket holds"""
    summary: dict[str, Any] | None = None
    """at the end"""
    notes: Sequence[Note] = ()
    """those of the summary"""
    up_s: float = 0.0
    """time in which its replicas could serve, summed over their GPUs"""
    took_s: float = 0.0
    """wall time"""
    peak_rss_bytes: int = 0
    """of the process that simulates it"""
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    """of the region's folder by name, from one who does not share the disk"""
