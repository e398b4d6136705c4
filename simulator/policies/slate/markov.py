"""A first-order Markov table."""

from typing import Literal

from fleetrec.simulator.scenario.sections.slate import BaselineSlate


class MarkovSlate(BaselineSlate):
    """The items that most often followed the newest one."""

    kind: Literal["markov"] = "markov"
