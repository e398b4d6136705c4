"""Small logs, in memory and as files, for the tests of the workload."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.simulator.scenario.sections import LogFile
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.log import Clock, InteractionLog

DAY_0 = 1_500_000_000.0


def make_log(times: Sequence[Sequence[float]], clock: Clock = "absolute") -> InteractionLog:
    """A log with one list of times per user; every user has the items 0, 1, 2, ... in this order."""
    lengths = [len(user) for user in times]
    items = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    return InteractionLog(
        user_ids=np.array([f"u{i}" for i in range(len(times))], dtype=object),
        item_ids=np.array([f"i{i}" for i in range(max(lengths))], dtype=object),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=items,
        times=np.concatenate([np.asarray(user, dtype=np.float64) for user in times]),
        clock=clock,
        titles=None,
        attributes=None,
        problems={},
        source="made",
        content_hash="made",
    )


def load(path: Path, content: str | bytes | None = None, **settings: Any) -> InteractionLog:
    """Write `content` to `path` (unless None) and load it."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_log(LogFile(path=str(path), **settings))


def events(log: InteractionLog) -> list[tuple[str, str, float]]:
    """(user label, item label, time) in the log's order."""
    return list(
        zip(log.user_ids[log.user_of_event].tolist(), log.item_ids[log.items].tolist(), log.times.tolist(), strict=True)
    )
