"""What a device needs of the cloud that learns, and of the adapter that fine-tunes its own parameters."""

from typing import Protocol


class LearningCloud(Protocol):
    """The cloud as it learns from what devices send."""

    def receive(self, device: int, step: int) -> None:
        """A device's history up to `step` has arrived."""

    def lacking(self, device: int, step: int) -> int:
        """How many interactions of a device up to `step` the cloud does not have, and is to be sent."""

    def steady_until(self, device: int, version: int) -> float:
        """A time before which a device that has this version of the fleet's weights surely gets no others."""


class Adapter(Protocol):
    """One device's fine-tuning. It is told of interactions and returns weights; the device installs them itself."""

    ready_s: float
    """when what it is training is ready; infinite where it trains nothing"""
    watches: bool
    """whether it is to be told ranks"""

    def note(self, rank: int) -> None:
        """Where the newest ordering has the item that the user is about to have (-1: nowhere)."""

    def consider(self, row: int, step: int, now: float) -> float:
        """After the interaction of stream row `row`, the user's `step`-th: joules of a training that begins now, or
        later if nothing else happens; 0 where none does."""

    def finish(self, version: int, weights: int) -> tuple[float, int]:
        """Training is over: when, and the weights that it came to from `weights`, of this version of the fleet's."""

    def restart(self, now: float) -> None:
        """The weights that it began from are replaced: what it is training is lost."""

    def quiet_until(self, row: int, stop: int, step: int) -> int:
        """The row of the stream in [row, stop] before which it neither begins nor finishes a training."""

    def steady_until(self, row: int, end: int, step: int) -> float:
        """A time before which it surely finishes no training, where the next interaction is row `row` < `end`."""
