"""Users who have the items of the log, whatever they are shown."""

from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.users import Users


class ReplayUsers(Users):
    """The log's own items at the log's own steps: results measure prediction, not engagement."""

    kind: Literal["replay"] = "replay"

    reacts: ClassVar[bool] = False
