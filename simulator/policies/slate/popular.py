"""The most popular items."""

from typing import Literal

from fleetrec.simulator.scenario.sections.slate import BaselineSlate


class PopularSlate(BaselineSlate):
    """The most popular items."""

    kind: Literal["popular"] = "popular"
