"""A log of what was shown in the built-in world: slates by a known law, clicks by a known truth.

Each place of a slate is drawn by itself, so an item's propensity is exact. A user clicks an item at place k (from 1)
with probability attraction / k; attraction follows from how much the item's genre and style are to the user's taste,
and a little from its popularity. The truth is there for estimators to be tested against.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.exposures import Exposures
from fleetrec.simulator.workload.synthetic import START_S
from fleetrec.simulator.workload.synthetic_catalogue import make_catalogue
from fleetrec.simulator.workload.synthetic_walk import Walk

Floats = NDArray[np.float64]

Logging = Literal["uniform", "softmax"]
_BASE, _BY_TASTE, _BY_POPULARITY = -2.5, 3.0, 0.3
_SHARPNESS = 0.7
"""of the softmax exposure: what a recommender that knows the truth dimly would show"""


@dataclass(frozen=True)
class ExposureWorld:
    """Users of a world to whom slates of `places` items are shown, `slates` times each."""

    world: SyntheticWorld = field(default_factory=lambda: SyntheticWorld(users=500, items=200))
    slates: int = 10
    places: int = 5
    logging: Logging = "softmax"

    @cached_property
    def attraction(self) -> Floats:
        """[U, I]: the chance that a user who sees an item clicks it."""
        return 1 / (1 + np.exp(-self._utility))

    @cached_property
    def examination(self) -> Floats:
        """[K]: the chance that a place is looked at."""
        return 1 / np.arange(1, self.places + 1)

    @cached_property
    def shown(self) -> Floats:
        """[U, I]: the probability with which a place shows an item to a user."""
        weight = np.exp(_SHARPNESS * self._utility) if self.logging == "softmax" else np.ones(self._utility.shape)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def click_rate(self, probability: Floats) -> float:
        """The true clicks per shown item of a policy that shows items with these probabilities [U, I] or [U, K, I]."""
        by_place = probability if probability.ndim == 3 else probability[:, None, :]
        return float((np.einsum("uki,ui->uk", by_place, self.attraction) * self.examination).mean())

    def log(self, seed: int | None = None) -> Exposures:
        """What was shown and clicked, user by user; another `seed` draws other slates and clicks of the same world."""
        draws = Draws(self.world.seed if seed is None else seed)
        users, places = np.arange(self.world.users)[:, None, None], np.arange(self.places)
        slates = np.arange(self.slates)[:, None]
        cumulative = np.cumsum(self.shown, axis=1)
        uniform = draws.uniform("exposure.item", users, slates, places)
        item = np.stack([np.searchsorted(row, at * row[-1]) for row, at in zip(cumulative, uniform, strict=True)])
        user, position = np.broadcast_to(users, item.shape), np.broadcast_to(places, item.shape)
        chance = self.attraction[user, item] * self.examination[position]
        clicked = draws.uniform("exposure.click", users, slates, places) < chance
        return Exposures(
            "the built-in world",
            [f"u{u}" for u in range(self.world.users)],
            [f"i{i}" for i in range(self.world.items)],
            user.ravel(),
            item.ravel(),
            position.ravel(),
            clicked.ravel(),
            self.shown[user, item].ravel(),
        )

    def table(self) -> pa.Table:
        """The log as a file holds it: user_id, item_id, timestamp, slate, position from 1, clicked, propensity."""
        log = self.log()
        slate = np.arange(len(log.user)) // self.places
        return pa.table(
            {
                "user_id": np.array(log.user_ids, dtype=object)[log.user],
                "item_id": np.array(log.item_ids, dtype=object)[log.item],
                "timestamp": START_S + 60.0 * slate,
                "slate": slate,
                "position": log.position + 1,
                "clicked": log.clicked.astype(np.int64),
                "propensity": log.propensity,
            }
        )

    @cached_property
    def _utility(self) -> Floats:
        world, draws = self.world, Draws(self.world.seed)
        catalogue = make_catalogue(
            world.items, world.genres, world.styles, world.series_length, world.popularity_exponent, draws
        )
        walk = Walk(world, catalogue, np.arange(world.users), draws)
        of_cell = np.diff(catalogue.cumulative[catalogue.cell_start])
        liking = np.zeros((world.users, len(of_cell)))
        weight = np.diff(walk.taste_cumulative, axis=1)
        share = np.divide(weight, of_cell[walk.taste_cells], out=np.zeros_like(weight), where=weight > 0)
        np.put_along_axis(liking, walk.taste_cells, share, axis=1)
        liking /= np.maximum(liking.max(axis=1, keepdims=True), 1e-12)
        popularity = np.log(catalogue.weight)
        popularity = (popularity - popularity.mean()) / max(float(popularity.std()), 1e-12)
        return np.asarray(_BASE + _BY_TASTE * liking[:, catalogue.cell] + _BY_POPULARITY * popularity)
