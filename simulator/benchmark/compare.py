"""Two runs of the speed suite side by side: how much each case has changed, and what else has."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fleetrec.simulator.benchmark.record import Figures, Machine, SuiteRecord

TOLERANCE = 0.15
"""a share of time or memory more than which is a change: what two runs of one program on one machine may differ by"""


@dataclass(frozen=True)
class Change:
    """A case that both runs have: new over old, above 1 for more."""

    name: str
    time: float
    """of seconds an interaction"""
    cpu: float
    """of processor seconds an interaction"""
    memory: float
    naive: float | None
    """of how many times as slow as the naive loop: the machine's own speed cancels out; none: not measured"""
    verdict: str


@dataclass(frozen=True)
class Changes:
    """What differs between two runs."""

    cases: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def slower(self) -> tuple[str, ...]:
        """Names of the cases that take more time than the tolerance allows."""
        return tuple(change.name for change in self.cases if change.verdict.startswith("slower"))

    def figures(self) -> dict[str, Any]:
        """As JSON holds them."""
        return {
            "cases": [vars(change) for change in self.cases],
            "slower": list(self.slower),
            "notes": list(self.notes),
        }


def compare_records(old: SuiteRecord, new: SuiteRecord, tolerance: float = TOLERANCE) -> Changes:
    """Each case of `new` against the same of `old`. Cases are the same where all that defines them is."""
    before = {found.case: found.figures for found in old.measured}
    changes = [
        _change(found.case.name, before[found.case], found.figures, tolerance)
        for found in new.measured
        if found.case in before
    ]
    return Changes(tuple(changes), tuple(_notes(old, new)))


def _change(name: str, old: Figures, new: Figures, tolerance: float) -> Change:
    time, memory = new.us / old.us, new.peak_rss_bytes / old.peak_rss_bytes
    said = []
    if time > 1 + tolerance:
        said.append("slower")
    elif time < 1 / (1 + tolerance):
        said.append("faster")
    if memory > 1 + tolerance:
        said.append("more memory")
    elif memory < 1 / (1 + tolerance):
        said.append("less memory")
    naive = old.times_naive / new.times_naive if old.times_naive and new.times_naive else None
    return Change(name, time, new.cpu_us / old.cpu_us, memory, naive, ", ".join(said) or "as before")


def _notes(old: SuiteRecord, new: SuiteRecord) -> Iterator[str]:
    then, now = ({found.case for found in record.measured} for record in (old, new))
    for record, others, which in ((new, then, "new"), (old, now, "old")):
        only = [found.case.name for found in record.measured if found.case not in others]
        if only:
            yield f"only in the {which} run: {', '.join(only)}"
    for name in Machine.model_fields:
        was, is_ = getattr(old.machine, name), getattr(new.machine, name)
        if name == "memory_bytes":
            if not math.isclose(was, is_, rel_tol=0.01):
                yield f"another machine: {was / 1e9:.1f} GB of memory, now {is_ / 1e9:.1f} GB"
        elif was != is_:
            what = "another machine" if name in ("processor", "cores", "system") else "another version"
            yield f"{what}: {name} {was}, now {is_}"
