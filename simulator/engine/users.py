"""The user of a device: what it does when it comes to the screen."""

from typing import Protocol

from fleetrec.simulator.engine.context import Profile
from fleetrec.simulator.records.schemas import NO_SLATE


class Screened(Protocol):
    """A device, as its user and those who foresee what that will do see it."""

    device: int
    profile: Profile
    row: int
    """of the stream: the next opportunity"""
    end: int
    step: int
    as_of: int
    used_weights: int
    shown_slate: int
    next_slate: int
    next_ready_s: float
    since_s: float
    """its newest event: an interaction, or that it joined"""
    first_ready_s: float
    """when the first slate since then is ready"""
    list_time_s: float
    awaited: int
    asked_s: float
    """when what is in flight was asked for, or pushed"""
    coming_step: int
    """which it is of"""
    attempt: int
    """which one at that step it is, by which its messages draw their luck"""
    in_flight: int
    newest_s: float
    """when its newest interaction was"""
    decisions: int
    late_answers: int
    last_response_s: float


class User(Protocol):
    """Who has a device."""

    def meet(self, device: Screened, row: int, after: int, slate: int) -> tuple[int, int]:
        """The moment of rows `row` to `after` - 1 of the stream has come, with a slate on screen: how many interactions
        the user has now, and the row of the next moment at which it may have one."""

    def changed(self, number: int) -> None:
        """The device of this number has begun a new slate though nothing has happened."""


def waits(device: Screened, slate: int, now: float) -> bool:
    """Whether what is before the user is a screen that is not ready, `slate` being what it shows otherwise."""
    return slate == NO_SLATE or (device.awaited >= 0 and device.next_ready_s >= now)


class Replay:
    """Users who have the items of the log, each at its row."""

    def meet(self, device: Screened, row: int, after: int, slate: int) -> tuple[int, int]:
        """All of them."""
        return after - row, after

    def changed(self, number: int) -> None:
        """It changes nothing."""
