"""What a request policy is: its needs, what it may look at and what it does. Its kinds: simulator/policies/request/."""

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, Seen, yes_or_no

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Tuned = TypeVar("Tuned", covariant=True)

RATIOS = {"low": 0.05, "high": 1.0, "step": 0.05}
"""shares of decisions that `optimise` tries"""
SCORES = ("entropy", "closeness", "inconsistency", "rank_gap", "invalid_penalty")
"""uncertainty scores that a policy may look at: each grows with how much a device has reason to want a new list"""


class DeviceView(Protocol):
    """What a device knows when it decides. Times are in seconds since the run began, at midnight of its first day."""

    @property
    def device(self) -> int:
        """Its number in the fleet, from 0."""

    @property
    def now_s(self) -> float:
        """The time of the decision."""

    @property
    def time_of_day_s(self) -> float:
        """Seconds since midnight."""

    @property
    def step(self) -> int:
        """Place of its newest interaction in the user's log, from 0."""

    @property
    def decisions(self) -> int:
        """Decisions that it has taken before this one."""

    @property
    def since_s(self) -> float:
        """When its newest interaction was, or when it joined."""

    @property
    def last_gap_s(self) -> float:
        """Time between the newest interaction and the one before; infinite when the device joins, and at the first
        interaction of one that was there when the run began."""

    @property
    def as_of(self) -> int:
        """Newest interaction that the cached list has seen; -1 without a list."""

    @property
    def staleness(self) -> int:
        """Interactions that the cached list has not seen; all of them without a list."""

    @property
    def list_time_s(self) -> float:
        """When the history behind the cached list was sent."""

    @property
    def list_age_s(self) -> float:
        """Time since then; infinite without a list."""

    @property
    def last_response_s(self) -> float:
        """From its newest answered request to the list's landing; infinite where that request failed, or before the
        first answer."""

    @property
    def late_answers(self) -> int:
        """Answers that came late or never, less those that came in time; at least 0."""

    @property
    def battery_left(self) -> float:
        """Share of the battery's charge that is left; 1 where it is not limited."""

    @property
    def battery_left_j(self) -> float:
        """The same in joules; infinite where it is not limited."""

    @property
    def link(self) -> str:
        """Kind of its link: `wifi`, `lte` and so on, as `fleet.classes` says."""

    @property
    def online(self) -> bool:
        """Whether the cloud is within its reach now."""

    @property
    def budget_left(self) -> float:
        """Tokens in the bucket that its requests come from; infinite where there is no limit."""

    @property
    def score(self) -> float:
        """The uncertainty score that the policy says it looks at, of the cached list; infinite without a list."""

    @property
    def entropy(self) -> float:
        """Entropy of the SRM's softmax over the cached list, from 0 to 1 (1: all alike); infinite without a list."""

    @property
    def closeness(self) -> float:
        """1 less the margin by which the SRM's best candidate leads the second in probability; infinite without one."""

    @property
    def inconsistency(self) -> float:
        """How much the SRM's and the LLM's orders of the cached list disagree (LSC4Rec); infinite without a list."""

    @property
    def rank_gap(self) -> float:
        """The first term of the inconsistency: mean difference of the two ranks; infinite without a list."""

    def uniform(self, purpose: str) -> float:
        """A random number between 0 and 1, the same in every run at one seed: keyed by purpose, device and step."""

    @property
    def row(self) -> int:
        """Row of the stream that it meets next."""

    @property
    def end(self) -> int:
        """Row of the stream after its last interaction."""

    @property
    def used_weights(self) -> int:
        """Number of what its SRM has learnt."""


class RunningRequestPolicy(Protocol):
    """A request policy in a run."""

    def wants(self, device: DeviceView) -> bool:
        """Whether the device asks for a new list now."""

    def next_ask(self, device: DeviceView, row: int) -> int:
        """See `RequestPolicy.next_ask`."""


@dataclass(frozen=True)
class DevicesAhead:
    """What is foreseen of devices [M] at a decision."""

    device: Ints
    rows: Ints
    """of the stream: those before the next that their users meet"""
    steps: Ints
    as_of: Ints
    list_time_s: Floats
    since_s: Floats
    decisions: Ints
    last_gap_s: Floats
    late_answers: Ints
    score: Callable[[], Floats]
    """the rest as in `DeviceView`"""


@runtime_checkable
class Foreseeable(Protocol):
    """A running policy that can be followed before its devices decide, where users react."""

    def likely(self, ahead: DevicesAhead) -> Bools:
        """Which devices [M] are likely to ask. What it gets wrong costs time alone."""


class PlanKind(IntEnum):
    """What a plan goes by; compiled code knows these numbers (engine/compiled/plans.py)."""

    BY_ROW = 0
    """the newest row of the stream"""
    BY_STALENESS = 1
    """`number` interactions that the list has not seen"""
    BY_AGE = 2
    """`seconds` since the list's history was sent"""
    EVERY = 3
    """every `number`-th decision, the first included"""
    BY_PAUSE = 4
    """a pause of `seconds` before the newest interaction"""
    NEVER = 5


@dataclass(frozen=True)
class AskPlan:
    """When devices ask, told before the run: `wants` and `next_ask` as numbers."""

    kind: PlanKind
    number: int = 0
    seconds: float = 0.0
    asks: Bools | None = None
    """[S] whether a device asks that decides when this row is its newest"""
    asks_joining: Bools | None = None
    """[D] whether one asks that has had no row yet"""
    next_ask: "array[int] | None" = None
    """[S] the row that `next_ask` gives from each on"""


@runtime_checkable
class Planned(Protocol):
    """A running policy whose requests hang on nothing that only the run can tell, so that compiled code can follow
    it. A policy without a plan is asked, device by device."""

    def plan(self, steps: Ints) -> AskPlan:
        """The same as `wants` and `next_ask` say; `steps` [D]: the newest interaction of each device as it joins."""


class Threshold(Protocol):
    """The threshold on a score that is in force (policies/request/share.py)."""

    asked: int
    until_s: float

    def at(self, now: float) -> float:
        """The threshold at `now`, which no earlier call was later than."""


class ScoresAhead(Protocol):
    """Scores that are computed in bulk, ahead of need (ranking/lookahead.py)."""

    threshold: float

    def next_uncertain(self, device: int, as_of: int, step: int, weights: int) -> int:
        """The first step from `step` on with a score at or above the threshold, or that nobody has looked at yet."""


class ChosenRequests(Protocol):
    """Requests that were chosen before the run."""

    @property
    def rows(self) -> Bools:
        """After which rows [S] of the stream."""

    @property
    def joins(self) -> Bools:
        """Which devices [D] ask as they join."""

    @property
    def first_step(self) -> Ints:
        """Their newest interaction [D] then."""


class RunStart(Protocol):
    """What is known as a run begins: when devices will decide, and draws keyed by device and step.

    The rows of a device follow each other in order of time.
    """

    @property
    def device(self) -> Ints:
        """Of each row [S] of the stream."""

    @property
    def step(self) -> Ints:
        """Place [S] of the item in its user's log."""

    @property
    def t_s(self) -> Floats:
        """Time [S]."""

    @property
    def first_row(self) -> Ints:
        """The first row that each device [D] meets."""

    @property
    def links(self) -> list[str]:
        """Kind of each device's link."""

    @property
    def scorer(self) -> ScoresAhead:
        """Of the score that the policy looks at."""

    @property
    def threshold(self) -> Threshold | None:
        """On that score, where it was prepared."""

    @property
    def chosen(self) -> ChosenRequests | None:
        """Where requests were."""

    def next_of(self, asks: Bools) -> "array[int]":
        """The first row at or after each [S] that is in `asks` and is the last of its device at its moment."""

    def gaps_s(self) -> Floats:
        """Time [S] since the device's previous moment, or since it joined; infinite if it was there from the start."""

    def uniform(self, purpose: str) -> Floats:
        """Random numbers [S] between 0 and 1, keyed by purpose, device and step: those of `DeviceView.uniform`."""

    def uniform_one(self, purpose: str, device: int, step: int) -> float:
        """One of them."""

    def uniform_of(self, purpose: str, steps: Ints) -> Floats:
        """Those of all devices, each at its step [D]."""


class Preparation(Protocol[Tuned]):
    """What a policy may have worked out before the stream begins, from what users did before it."""

    def nothing(self) -> Tuned:
        """It needs nothing."""

    def score(self, name: str, threshold: float = math.inf) -> Tuned:
        """One of `SCORES` is computed in bulk; `threshold`: at or above which it may ask."""

    def share(self, name: str, ratio: float) -> Tuned:
        """The same, with the threshold at which a share `ratio` of held-out decisions asks, which then follows it."""

    def expected_gain(self, ratio: float, hidden: int, seed: int) -> Tuned:
        """The same, of the gain that a small model trained on held-out interactions expects of a fresh list."""

    def fresh_is_better(self) -> Tuned:
        """The score is 1 where a fresh list would put the next item higher, else 0. It knows the future."""

    def best_schedule(self, ratio: float) -> Tuned:
        """The best request times at zero latency. It knows the future."""


class RequestPolicy(Kind):
    """When a device asks the cloud for a new candidate list.

    A policy needs `wants` alone. It sees what the device knows and nothing else; a budget is kept for it, and a device
    with a request under way is not asked. The attributes say what it needs.
    """

    family: ClassVar[Family] = Family(
        "policy.request",
        "fleetrec.simulator.policies.request",
        "always",
        ("wants(self, device)",),
        besides=("next_ask(self, device, row)",),
    )

    score: ClassVar[str | None] = None
    """which of `SCORES` it looks at through `device.score`, so that it is computed in bulk and charged; None: none"""
    looks_at_srm: ClassVar[bool] = False
    """whether it needs the SRM's ranking even where no slate does"""
    needs_list: ClassVar[bool] = False
    """whether it makes sense only where slates are made of the LLM's lists"""
    needs_histories: ClassVar[bool] = False
    """whether the cloud must store users' histories"""
    looks_back: ClassVar[bool] = False
    """whether its score needs the SRM's states of before the newest interaction"""
    knows_future: ClassVar[bool] = False
    """whether it is a bound, which nobody could run"""
    trains: ClassVar[bool] = False
    """whether a model is trained for it, with its key `seed`"""
    asks: ClassVar[bool] = True
    """whether it may ask at all"""
    extra_flops: ClassVar[float] = 0.0
    """FLOPs on the device at each interaction beyond ranking and score"""

    def __init_subclass__(cls, **options: Any) -> None:
        """A user's own `wants` is what runs, also where its class extends a built-in kind: that has worked out ahead
        what its own `wants` would say, and sleeps by it."""
        super().__init_subclass__(**options)
        if cls.is_own() and "wants" in vars(cls):
            for name in ("start", "next_ask"):
                if getattr(cls, name).__module__.startswith("fleetrec."):
                    setattr(cls, name, getattr(RequestPolicy, name))

    def wants(self, device: DeviceView) -> bool:
        """Whether the device asks for a new list now."""
        raise NotImplementedError

    def next_ask(self, device: DeviceView, row: int) -> int:
        """A row of the stream, from `row` on, before which the device surely does not ask with this list and weights:
        it sleeps until then. The device has met the rows before `row`; it asks after the last of those that share a
        moment. By default it wakes at every interaction."""
        return row

    def start(self, run: RunStart) -> RunningRequestPolicy:
        """What runs: the policy itself, or an object that has worked something out from `run`."""
        return OwnRequest(self) if self.is_own() else self

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        """What must be worked out before the stream."""
        return before.nothing() if self.score is None else before.score(self.score)

    def wanted_share(self) -> float | None:
        """The share of decisions at which it is told to ask; None: it is told none."""
        return None

    def known_share(self) -> float | None:
        """The share of decisions at which it asks, told or not; None: nobody knows before the run."""
        return self.wanted_share()

    def late_s(self) -> float:
        """An answer that takes longer, or never comes, counts as late to the device."""
        return math.inf

    def links_used(self) -> tuple[str, ...] | None:
        """Kinds of link on which it asks; None: on all."""
        return None

    def push_period_s(self) -> float | None:
        """Seconds between two refreshes that the cloud sends each device unasked; None: it sends none."""
        return None

    def push_times(self, joined_s: Floats, until_s: Floats, horizon_s: float, draws: Any) -> list[list[float]]:
        """When the cloud refreshes the list of each device [D] unasked, while it takes part (joined_s .. until_s)."""
        return []

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key of its own, or "" for the whole; what is wrong and how to mend it) of values that do not go together."""
        yield from ()


def exactly_one(kind: str, values: dict[str, float | None]) -> Iterator[tuple[str, str]]:
    """The problem of keys of which not exactly one is given."""
    given = [name for name, value in values.items() if value is not None]
    if len(given) != 1:
        what = "neither is given" if not given else "both are given; set one of them to null"
        yield "", f"kind {kind} takes exactly one of {' and '.join(map(repr, values))}, but {what}"


class OwnRequest:
    """A user's own policy in a run: what it answers is checked."""

    def __init__(self, policy: RequestPolicy):
        own = policy.own_behaviour()
        self._wants = OwnMethod(policy, "wants", own)
        self._next_ask = OwnMethod(policy, "next_ask", own if hasattr(own, "next_ask") else policy)

    def wants(self, device: DeviceView) -> bool:
        """See RequestPolicy."""
        answer = self._wants(Seen(device))
        return answer if answer is True or answer is False else yes_or_no(answer, self._wants.place)

    def next_ask(self, device: DeviceView, row: int) -> int:
        """See RequestPolicy."""
        asks = self._next_ask(Seen(device), row)
        if isinstance(asks, int | np.integer) and asks >= row:
            return int(asks)
        raise InputError(f"{self._next_ask.place} returned {asks!r:.60}; return a row of the stream, {row} or later")
