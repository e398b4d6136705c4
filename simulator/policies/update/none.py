"""No updates: the weights of before the stream, throughout."""

from typing import Literal

from fleetrec.simulator.scenario.sections.update import UpdateSchedule


class NoUpdate(UpdateSchedule):
    """The weights of before the stream, throughout."""

    kind: Literal["none"] = "none"
