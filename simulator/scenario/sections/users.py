"""What users are: whether they do what the log says or react to what they see. Kinds: workload/user_kinds/."""

from collections.abc import Iterator
from typing import Any, ClassVar

from fleetrec.simulator.scenario.sections.kinds import Family, Kind


class Users(Kind):
    """What a user does at each opportunity.

    Users of your own need `next` alone. The attributes say what they are.
    """

    family: ClassVar[Family] = Family(
        "workload.users", "fleetrec.simulator.workload.user_kinds", "replay", ("next(self, slate, now)",), words=True
    )

    reacts: ClassVar[bool] = True
    """whether what they do hangs on what they are shown"""

    def depth(self) -> int:
        """Places of the screen that they look at."""
        return 10

    def pause_s(self) -> float:
        """Time without an opportunity after which the next one begins a new session."""
        return 1800.0

    def next(self, slate: Any, now: float) -> Any:
        """The item that the user has now, None for none, "leave" to end the session, or "stop" for good. `slate`: what
        is on the screen (engine/own_users.py: ScreenView); `now`: seconds since the run began. Of users of your own."""
        raise NotImplementedError

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key of its own, what is wrong and how to mend it) of values that do not go together."""
        yield from ()
