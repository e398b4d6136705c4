"""What the answer of a run hangs on: short sentences, each with numbers of this run or of a small computation on it.

They are about the models that stand in for a user's own, the lists, the log's clock and who is represented; those that
do not apply are left out. Reports print them beside the answer as they stand here.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.core.notes import Note, data_of
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.ranking.slates import ListSlates, Slates
from fleetrec.simulator.results.assumptions.data import clock, represented, srm_training
from fleetrec.simulator.results.assumptions.lists import lists_by_age, shrinking
from fleetrec.simulator.results.assumptions.shown import Shown
from fleetrec.simulator.scenario.inputs import SlateInputs

Ints = NDArray[np.int64]

_ORDER = ("llm_quality", "arrivals_clock", "list_age", "srm_training", "lists_shrink", "represented_users")


def hangs_on(
    made_of: SlateInputs,
    served_as: str | None,
    prepared: Prepared,
    slates: Slates,
    interactions: pd.DataFrame,
    alone: Ints,
) -> list[dict[str, Any]]:
    """The rows that apply to a run with these `interactions`, whose `slates`, `made_of` what its policy says, are
    those of before the stream. `served_as`: whose cost the LLM has; `alone` [M]: ranks under the SRM alone."""
    population, device = prepared.population, interactions["device"].to_numpy()
    users, owners = (of.astype(np.int32)[device] for of in (population.users, population.owners))
    steps, as_of, ranks = (interactions[name].to_numpy() for name in ("step", "as_of", "rank"))
    shown = Shown(users, owners, steps, as_of, ranks, alone)
    rows: list[Note | None] = []
    lists, inputs = prepared.source is not None and made_of.slate.uses_llm, prepared.inputs
    if lists:
        rows += lists_by_age(made_of, served_as, prepared, slates, shown)
    if lists and made_of.slate.is_list and isinstance(slates, ListSlates):
        rows.append(shrinking(made_of.exclude_seen, prepared, slates, shown))
    rows += [srm_training(inputs.training.srm.kind, prepared.trained.srm.curve), clock(inputs.arrivals, prepared)]
    rows.append(represented(inputs.fleet.represents, prepared))
    found = [row for row in rows if row is not None]
    return data_of(*sorted(found, key=_weight))


def _weight(row: Note) -> int:
    """The place of a row: what moves the decision most comes first."""
    if row.key == "srm_training" and not row.values["converged"]:
        return 1
    return _ORDER.index(row.key)
