"""The user's own most frequent items."""

from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import BaselineSlate


class FrequentSlate(BaselineSlate):
    """The user's own items, the most frequent first."""

    kind: Literal["frequent"] = "frequent"
    only_seen: ClassVar[bool] = True
