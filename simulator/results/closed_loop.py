"""What a run whose users react adds to its summary, from what they did and what was prepared."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.sequences import TrainingSet
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.preparation.fitted_users import fitted_notes, is_fitted
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.engagement import device_totals, engagement_notes, found_alone
from fleetrec.simulator.results.feedback import closeness, item_vectors, popularity_of
from fleetrec.simulator.results.lives import Lives
from fleetrec.simulator.scenario import sections

_DIGITS = 6


def lives_notes(workload: sections.Workload, calibrated: bool, users_fit: Mapping[str, Any] | None) -> list[Note]:
    """What a run measures whose users react, and on what these rest; `users_fit` of those who were fitted."""
    fitted = [] if users_fit is None else fitted_notes(users_fit)
    return [*engagement_notes(workload.users.kind, _model(workload), calibrated), *fitted]


def _model(workload: sections.Workload) -> str:
    """Where it is known from what items are worth to users, in words."""
    if workload.users.is_own():
        return "code of your own"
    if is_fitted(workload):
        return "a GRU choice model fitted on part of the log that no recommender of the run has learnt from"
    return "the utilities of the built-in world, which are its own truth and nobody's measurement"


def popularity_of_items(training: TrainingSet) -> NDArray[np.float64]:
    """[n_items] the place of each item among all by how often it was had in the training part."""
    learnt = training.events_before(training.valid_end)
    return popularity_of(np.bincount(training.items[learnt], minlength=training.n_items))


def lives_of(told: pd.DataFrame, prepared: Prepared, interactions: pd.DataFrame) -> Lives:
    """What users did who chose as `told` (OPPORTUNITY_SCHEMA), in a run that has come to what is `prepared` now."""
    trained, population = prepared.trained, prepared.population
    training, log, devices = trained.training, trained.split.log, population.n_devices
    learnt = training.events_before(training.valid_end)
    owner, nth = ragged(population.first_step)
    had = log.items[log.offsets[population.users[owner]] + nth].astype(np.int64)
    vectors = item_vectors(training.user_of_event[learnt], training.items[learnt].astype(np.int64), log.n_items)
    past = np.maximum(population.first_step, 1)
    popular = popularity_of_items(training)[had]
    device, item = (interactions[name].to_numpy().astype(np.int64) for name in ("device", "item"))
    of_devices = {
        "owner": population.owners,
        "class": population.fleet.class_index,
        "past": population.first_step,
        "mainstream": np.round(np.bincount(owner, popular, minlength=devices) / past, _DIGITS),
    }
    of_choices = {
        "alone": found_alone(interactions, told),
        "own_taste": closeness(vectors, owner, had, devices, device, item),
    }
    return Lives(
        device_totals(told, devices, population.stream.horizon_s).assign(**of_devices),
        interactions[["device", "item", "t_s"]].assign(**of_choices),
    )
