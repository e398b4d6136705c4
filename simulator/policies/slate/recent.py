"""The user's own most recent items."""

from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import BaselineSlate


class RecentSlate(BaselineSlate):
    """The user's own items, the newest first."""

    kind: Literal["recent"] = "recent"
    only_seen: ClassVar[bool] = True
