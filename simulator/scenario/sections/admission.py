"""What admission is: who is turned away on arrival. Its kinds: simulator/cloud/node/admissions/."""

from collections.abc import Callable
from typing import ClassVar, Protocol

from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, yes_or_no


class ArrivalView(Protocol):
    """What admission may know of a request, of the replica that it would go to, and of the whole cloud."""

    @property
    def number(self) -> int:
        """The request's place in the order of arrival, from 0."""

    @property
    def device(self) -> int:
        """Who asks: its number in the fleet."""

    @property
    def prompt_tokens(self) -> int:
        """Length of its prompt."""

    @property
    def output_tokens(self) -> int:
        """Tokens that each of its sequences generates."""

    @property
    def sequences(self) -> int:
        """Sequences that it generates: beams."""

    @property
    def time_left_s(self) -> float:
        """Until the device gives it up."""

    @property
    def must_wait(self) -> bool:
        """Whether its replica has no room for it now."""

    @property
    def waiting_there(self) -> int:
        """Requests that wait at its replica."""

    @property
    def running_there(self) -> int:
        """Requests that are served there."""

    @property
    def service_s(self) -> float:
        """Recent mean time from start to end of requests there; 0 where none has ended."""

    @property
    def expected_s(self) -> float:
        """Expected time to the answer: those running end at that pace, and each lets one that waits start."""

    @property
    def waiting(self) -> int:
        """Requests that wait in the whole cloud."""

    @property
    def queue_limit(self) -> int:
        """The scenario's `cloud.queue_limit`."""

    def uniform(self, purpose: str) -> float:
        """A random number between 0 and 1, the same in every run at one seed: keyed by purpose and request."""


class Admission(Kind):
    """Which requests are turned away on arrival.

    A rule needs `admits` alone. It is asked once, of a request that `queue_limit` lets in and a replica can take.
    """

    family: ClassVar[Family] = Family(
        "cloud.admission",
        "fleetrec.simulator.cloud.node.admissions",
        "queue_limit",
        ("admits(self, arrival)",),
    )

    limit_alone: ClassVar[bool] = False
    """whether nobody is turned away whom `queue_limit` lets in"""

    def admits(self, arrival: ArrivalView) -> bool:
        """Whether the request may enter."""
        raise NotImplementedError

    def running(self) -> Callable[[ArrivalView], bool]:
        """What runs: `admits`."""
        return OwnAdmission(self) if self.is_own() else self.admits


class OwnAdmission:
    """A user's own admission in a run: what it answers is checked."""

    def __init__(self, admission: Admission):
        self._admits = OwnMethod(admission, "admits")

    def __call__(self, arrival: ArrivalView) -> bool:
        """See Admission.admits."""
        return yes_or_no(self._admits(arrival), self._admits.place)
