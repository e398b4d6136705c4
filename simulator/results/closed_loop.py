"""What a run whose users react adds to its summary, from what they did and what was prepared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.preparation.fitted_users import fitted_notes, is_fitted
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.engagement import (
    device_totals,
    engagement_by,
    engagement_notes,
    engagement_section,
    found_alone,
    thirds,
)
from fleetrec.simulator.results.feedback import (
    Tastes,
    feedback_by,
    feedback_section,
    feedback_without,
    intervals_of,
    item_vectors,
    popularity_of,
)
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

_ACTIVITY = ("light", "middle", "heavy")
_TASTE = ("niche", "mixed", "mainstream")
_DIGITS = 6


@dataclass(frozen=True)
class Engaged:
    """The users of a run who react."""

    workload: sections.Workload
    totals: pd.DataFrame
    owners: Ints
    """[D] whose each device is, clones being one user"""
    groups: Mapping[str, tuple[Ints, Sequence[str]]]
    alone: NDArray[np.bool_]
    """[M] which interactions users found by themselves"""
    feedback: dict[str, Any] | None
    feedback_by: dict[str, Any]
    feedback_without: pd.DataFrame | None
    """a row a user, by its id: what each figure of feedback would be without it; None where there is none"""

    def sections(self) -> dict[str, Any]:
        """Engagement in all and by group, and what users took over time."""
        return {
            "engagement": engagement_section(self.totals, self.owners),
            "engagement_by": engagement_by(self.totals, self.owners, self.groups),
            "feedback": self.feedback,
            "feedback_by": self.feedback_by,
        }

    def notes(self, calibrated: bool, users_fit: Mapping[str, Any] | None) -> list[Note]:
        """What the run measures, and on what its users rest; `users_fit` of those who were fitted."""
        fitted = [] if users_fit is None else fitted_notes(users_fit)
        return [*engagement_notes(self.workload.users.kind, _model(self.workload), calibrated), *fitted]


def _model(workload: sections.Workload) -> str:
    """Where it is known from what items are worth to users, in words."""
    if workload.users.is_own():
        return "code of your own"
    if is_fitted(workload):
        return "a GRU choice model fitted on part of the log that no recommender of the run has learnt from"
    return "the utilities of the built-in world, which are its own truth and nobody's measurement"


def engaged(workload: sections.Workload, told: pd.DataFrame, prepared: Prepared, interactions: pd.DataFrame) -> Engaged:
    """What users did who chose as `told` (OPPORTUNITY_SCHEMA), in a run that has come to what is `prepared` now."""
    trained, population = prepared.trained, prepared.population
    training, log, devices = trained.training, trained.split.log, population.n_devices
    learnt = training.events_before(training.valid_end)
    counts = np.bincount(training.items[learnt], minlength=log.n_items)
    owner, nth = ragged(population.first_step)
    had = log.items[log.offsets[population.users[owner]] + nth].astype(np.int64)
    vectors = item_vectors(training.user_of_event[learnt], training.items[learnt].astype(np.int64), log.n_items)
    tastes = Tastes(vectors, counts, owner, had, devices)
    past = np.maximum(population.first_step, 1)
    mainstream = np.round(np.bincount(owner, popularity_of(counts)[had], minlength=devices) / past, _DIGITS)
    classes = population.fleet.class_index, population.fleet.class_names
    device = interactions["device"].to_numpy().astype(np.int64)
    taken, t_s = interactions["item"].to_numpy().astype(np.int64), interactions["t_s"].to_numpy()
    groups: dict[str, tuple[Ints, Sequence[str]]] = {
        "class": classes,
        "activity": (thirds(population.first_step.astype(np.float64)), _ACTIVITY),
        "taste": (thirds(mainstream), _TASTE),
    }
    choices = tastes, device, taken
    feedback, without = feedback_section(*choices, t_s), None
    if feedback is not None:
        users = np.unique(population.owners)
        each = feedback_without(*choices, t_s, population.owners)
        feedback |= {"intervals": intervals_of(feedback, each)}
        without = pd.DataFrame({"user": log.user_ids[users].astype(str), **each})
    return Engaged(
        workload,
        device_totals(told, devices, population.stream.horizon_s),
        population.owners,
        groups,
        found_alone(interactions, told),
        feedback,
        feedback_by(*choices, population.owners, groups),
        without,
    )
