"""What a slate is: what is on a device's screen. Its kinds: simulator/policies/slate/."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class SlateMaker(Protocol):
    """What slates may be made of."""

    def of_list(self) -> Any:
        """The LLM's (or the cloud SRM's) list in the order of the fusion."""

    def joined(self) -> Any:
        """That list joined with the SRM's own best of the catalogue."""

    def of_catalogue(self) -> Any:
        """The SRM's best of the catalogue."""

    def of_baseline(self, name: str) -> Any:
        """A baseline's best."""

    def shown(self, show: Callable[[Any, Floats], Ints]) -> Any:
        """What a function of lists and their fused scores gives."""


class Slate(Kind):
    """What is on screen.

    A slate of the user's own needs `show` alone, which makes it of the LLM's list. The attributes say what it needs.
    """

    family: ClassVar[Family] = Family(
        "policy.slate", "fleetrec.simulator.policies.slate", "llm", ("show(self, view, scores)",), words=True
    )

    asks: ClassVar[bool] = True
    """whether devices ask the cloud at all"""
    uses_llm: ClassVar[bool] = True
    """whether it is made of the LLM's lists"""
    by_cloud_srm: ClassVar[bool] = False
    """whether lists are those of an SRM in the cloud"""
    ranks: ClassVar[bool] = True
    """whether devices rank by the SRM"""
    ranks_catalogue: ClassVar[bool] = False
    """whether they rank all items, and not a list's alone"""
    is_list: ClassVar[bool] = False
    """whether it is the fused list and nothing else, so that `exclude_seen: refill` may fill it up"""
    only_seen: ClassVar[bool] = False
    """whether it shows items alone that the user has had"""

    def show(self, view: Any, scores: Floats) -> Ints:
        """Items [M, K] on the screens of M devices, best first; -1: none. `view`: a ListView (ranking/list_view.py);
        `scores` [M, N]: of the fusion rule, minus infinity for what is no candidate."""
        raise NotImplementedError

    def made(self, maker: SlateMaker) -> Any:
        """The slates of a run."""
        return maker.shown(OwnSlate(self) if self.is_own() else self.show)


class BaselineSlate(Slate):
    """What a baseline of the same name shows, made on the device from its own history."""

    asks: ClassVar[bool] = False
    uses_llm: ClassVar[bool] = False
    ranks: ClassVar[bool] = False

    def made(self, maker: SlateMaker) -> Any:
        return maker.of_baseline(self.kind)


class OwnSlate:
    """A user's own slate in a run: what it gives is checked."""

    def __init__(self, slate: Slate):
        self._show = OwnMethod(slate, "show", every=1)

    def __call__(self, view: Any, scores: Floats) -> Ints:
        """See Slate.show."""
        items, place = np.asarray(self._show(view, scores)), self._show.place
        if items.ndim != 2 or len(items) != len(scores) or not np.issubdtype(items.dtype, np.integer):
            shape = "x".join(map(str, items.shape)) or "no"
            raise InputError(
                f"{place} returned an array of {shape} {items.dtype}; return item numbers, a row for each of "
                f"{len(scores)} devices"
            )
        n_items = view.histories.n_items
        if items.size and not (items.min() >= -1 and items.max() < n_items):
            raise InputError(f"{place} returned an item that there is not; return -1, or a number below {n_items}")
        ordered = np.sort(items, axis=1)
        if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
            raise InputError(f"{place} returned an item twice on one screen; return each once")
        return items.astype(np.int64)
