"""The cloud keeps the SRM up to date: it trains on what devices have uploaded by then, and releases new versions.

Real training happens when simulated time gets there, on the interactions whose upload had arrived and on no others;
it takes the time of its FLOPs on the schedule's GPU.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.srm.deployment import Deployed, deploy, most_popular
from fleetrec.models.srm.updating import MasterWeights, Plan, Update, known_data, newest_data, update_or_load
from fleetrec.models.srm.validation import catalogue_ranks
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.preparation.training import Learnt, item_table
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

NOBODY = np.iinfo(np.int64).max
"""of a user without a device: more than anybody sends"""
_BACKWARD = 3.0  # FLOPs of a training pass, in forward passes


@dataclass(frozen=True)
class Release:
    """A version of the fleet's weights."""

    version: int
    weights: int
    """its number in DeviceWeights"""
    srm: Deployed
    trained_s: float
    """when training began: it knew what had been uploaded by then"""
    released_s: float
    interactions: int
    """known to the cloud by then"""
    new: int
    """of them, not known to the training before"""
    gpu_seconds: float
    loss: float


class Trainer:
    """The cloud's newest weights, what they have learnt, and the versions that came of it."""

    def __init__(
        self,
        scenario: sections.Scenario,
        section: sections.Retraining,
        learnt: Learnt,
        srm: Deployed,
        device: str,
    ):
        """`srm`: as it is on devices when the stream begins."""
        self._scenario, self._section, self._learnt, self._device = scenario, section, learnt, device
        self._first_srm = srm
        self._learnt_ends = learnt.training.valid_end  # [U] what the newest weights have been trained on
        self._seen_ends = self._learnt_ends  # [U] what the look before had seen
        self._best_look = -math.inf
        self._master = MasterWeights(learnt.srm.model, learnt.srm.content_hash)
        self.releases: list[Release] = []
        self.gpu = default_catalogue().gpu(section.gpu or scenario.cloud.gpu, "policy.update.gpu")

    def known_ends(self, sent: Ints) -> Ints:
        """How many interactions of each user [U] the cloud has, of which devices have sent `sent` (see `sent_ends`)."""
        learnt_from = self._learnt.training.valid_end
        return np.where(sent < NOBODY, np.maximum(learnt_from, sent), learnt_from)

    def look_after(self, look: int, now: float) -> int:
        """The number of the look that follows the one of number `look`, which has kept the cloud busy until `now`."""
        return max(math.floor(now / self._section.every), look) + 1

    def wants(self, ends: Ints) -> bool:
        """Whether the schedule trains at a look that finds `ends` [U] interactions of each user in the cloud."""
        new = int((ends - self._learnt_ends).sum())
        if self._section.drift is None:
            return new >= self._section.min_new
        users = np.flatnonzero(ends > self._seen_ends)
        counts = (ends - self._seen_ends)[users]
        seen, self._seen_ends = self._seen_ends, ends
        if not len(users) or new < self._section.min_new:
            return False
        which, nth = ragged(counts)
        owner = users[which]
        positions = seen[owner] + nth
        log = self._learnt.split.log
        exclude_seen = self._scenario.workload.hides_seen
        ranks = catalogue_ranks(self._master.model, log.offsets, log.items, owner, positions, exclude_seen)
        look = accuracy(ranks, (10,))["ndcg@10"]
        self._best_look, best = max(self._best_look, look), self._best_look
        return look < (1.0 - self._section.drift) * best

    def train(self, ends: Ints, now: float, progress: Progress) -> Release:
        """The version that a training on `ends` [U] interactions of each user, begun now, comes to."""
        section, srm, learnt = self._section, self._scenario.srm, self._learnt
        known = known_data(learnt.training, ends)
        data = known
        if section.learn_from == "new":
            data = newest_data(known, self._learnt_ends, srm.max_length)
        elif section.learn_from == "before":
            data = known_data(learnt.training, learnt.training.valid_end)
        training = srm.training
        if section.learning_rate is not None:
            training = training.model_copy(update={"learning_rate": section.learning_rate})
        training = training.model_copy(update={"seed": training.seed + len(self.releases) + 1})
        plan = Plan(srm.kind, srm.dim, srm.layers, srm.heads, srm.max_length, srm.loss, section.epochs, training)
        threads = self._scenario.engine.threads
        update = update_or_load(self._master, plan, data, learnt.store, threads, self._device, progress)
        gpu_seconds = section.start + self._flops(update) / (self.gpu.flops_32bit * section.mfu)
        new = int((ends - self._learnt_ends).sum())
        self._master, self._learnt_ends = update.master, ends
        table = item_table(self._scenario)
        on_device = isinstance(table, sections.OnDeviceTable)
        counts = np.bincount(known.items[known.events_before(ends)], minlength=known.n_items)
        before = self.releases[-1].srm if self.releases else self._first_srm
        deployed = deploy(
            update.master,
            most_popular(counts, table.top if isinstance(table, sections.OnDeviceTable) else None),
            table.precision,
            section.weights,
            before,
            on_device,
        )
        version = len(self.releases) + 1
        return Release(version, -1, deployed, now, now + gpu_seconds, int(ends.sum()), new, gpu_seconds, update.loss)

    def _flops(self, update: Update) -> float:
        """FLOPs of a training: forward and backward passes over every position, scored against what the loss needs."""
        srm, learnt = self._scenario.srm, self._learnt
        scored = learnt.histories.n_items if srm.loss == "full_softmax" else 1 + srm.training.negatives
        position = learnt.srm.flops_encode / srm.max_length + learnt.srm.flops_per_candidate * scored
        return _BACKWARD * position * update.transitions * self._section.epochs
