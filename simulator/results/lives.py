"""What the users of a run did who react, as columns: of one world, or of the regions of a run put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.results.engagement import engagement_by, engagement_section, thirds
from fleetrec.simulator.results.feedback import Choices, feedback_by, feedback_section, feedback_without, intervals_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ACTIVITY = ("light", "middle", "heavy")
_TASTE = ("niche", "mixed", "mainstream")
OF_CHOICES = ("alone", "own_taste")
"""columns of `Lives.choices` that no table of a run has"""


class Told(NamedTuple):
    """What is said of users who react."""

    sections: dict[str, Any]
    """of the summary: engagement in all and by group, and what users took over time"""
    feedback_without: pd.DataFrame | None
    """a row a user, by its id: what each figure of feedback would be without it; None where there is none"""


@dataclass(frozen=True)
class Lives:
    """What the users of a run who react did. Lives of regions are one run's where they are put one after the other."""

    devices: pd.DataFrame
    """[D] sums of what each one's user did (`device_totals`); whose it is, clones being one user (`owner`); its class
    (`class`), how much its user had had before the run (`past`), and how popular that was (`mainstream`)"""
    choices: pd.DataFrame
    """[M] the run's interactions: `device`, `item` and `t_s`, whether the user found it by itself (`alone`), and how
    close it is to what that one had before (`own_taste`)"""

    @property
    def alone(self) -> NDArray[np.bool_]:
        """[M] which interactions users found by themselves."""
        return self.choices["alone"].to_numpy(dtype=np.bool_)

    def told(self, classes: Sequence[str], popularity: Floats, ids: NDArray[Any]) -> Told:
        """What is said of them, of devices of these classes and of a catalogue whose items are so popular [n_items];
        `ids` [U] of the log's users."""
        device, item = (self.choices[name].to_numpy().astype(np.int64) for name in ("device", "item"))
        owners, past = self.devices["owner"].to_numpy(), self.devices["past"].to_numpy().astype(np.float64)
        moments, close = (self.choices[name].to_numpy() for name in ("t_s", "own_taste"))
        taken = Choices(device, item, moments, close, popularity, owners)
        groups: dict[str, tuple[Ints, Sequence[str]]] = {
            "class": (self.devices["class"].to_numpy(), classes),
            "activity": (thirds(past), _ACTIVITY),
            "taste": (thirds(self.devices["mainstream"].to_numpy()), _TASTE),
        }
        feedback, without = feedback_section(taken), None
        if feedback is not None:
            each = feedback_without(taken)
            feedback |= {"intervals": intervals_of(feedback, each)}
            without = pd.DataFrame({"user": ids[np.unique(owners)].astype(str), **each})
        sections = {
            "engagement": engagement_section(self.devices, owners),
            "engagement_by": engagement_by(self.devices, owners, groups),
            "feedback": feedback,
            "feedback_by": feedback_by(taken, groups),
        }
        return Told(sections, without)
