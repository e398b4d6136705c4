"""The cloud keeps the SRM up to date: it trains on what devices have uploaded by then, and releases new versions.

Real training happens when simulated time gets there, on the interactions whose upload had arrived and on no others;
it takes the time of its FLOPs on the schedule's GPU.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.srm.deployment import Deployed, MasterWeights, deploy, most_popular
from fleetrec.models.srm.updating import (
    Plan,
    Update,
    known_data,
    newest_data,
    update_or_load,
    updated_weights,
)
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import TrainedModels
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs

Ints = NDArray[np.int64]

NOBODY = np.iinfo(np.int64).max
"""of a user without a device: more than anybody sends"""
_BACKWARD = 3.0  # FLOPs of a training pass, in forward passes


@dataclass(frozen=True)
class Training:
    """What a training has come to, in plain values: its weights are in the artifact store."""

    key: Mapping[str, Any]
    """under which they are there"""
    known: NDArray[np.bool_]
    """[n_items] items that devices are sent vectors of"""
    trained_s: float
    """when it began: it knew what had been uploaded by then"""
    released_s: float
    interactions: int
    """known to the cloud by then"""
    new: int
    """of them, not known to the training before"""
    gpu_seconds: float
    loss: float


@dataclass(frozen=True)
class Release:
    """A version of the fleet's weights."""

    version: int
    weights: int
    """its number in DeviceWeights"""
    srm: Deployed
    training: Training
    """that it is of"""

    @property
    def released_s(self) -> float:
        """When devices may have it."""
        return self.training.released_s


@dataclass
class Check:
    """What the cloud knows at a check: an UploadsView."""

    now_s: float
    new: int
    since_check: int
    known: int
    trainings: int
    last_trained_s: float
    best_ndcg: float
    compute_ndcg: Callable[[], float]
    found_ndcg: float = -math.inf
    """once it was asked for; minus infinity before"""

    @property
    def ndcg(self) -> float:
        """See UploadsView."""
        if not self.since_check:
            return math.inf
        if self.found_ndcg == -math.inf:
            self.found_ndcg = self.compute_ndcg()
        return self.found_ndcg


class Trainer:
    """The cloud's newest weights, what they have learnt, and the versions that came of it."""

    def __init__(
        self,
        schedule: sections.UpdateSchedule,
        gpu: str,
        inputs: PreparationInputs,
        trained: TrainedModels,
        srm: Deployed,
        device: str,
    ):
        """`schedule`: one that retrains, on `gpu` where it names none. `srm`: as it is when the stream begins."""
        assert schedule.retraining is not None
        self.section, self._inputs, self._trained, self._device = schedule.retraining, inputs, trained, device
        self._first_srm = srm
        self._begins = begins_of(trained)
        self._before = np.maximum(trained.training.valid_end, self._begins)  # [U] known before the stream
        self._trained_ends = self._before  # [U] what the newest weights have been trained on
        self._decides = schedule.running()
        self._seen_ends = self._trained_ends  # [U] what the check before had seen
        self._best_ndcg = -math.inf
        self._master = MasterWeights(trained.srm.kept, trained.srm.content_hash)
        self.releases: list[Release] = []
        self.gpu = default_catalogue().gpu(self.section.gpu or gpu, "policy.update.gpu")

    def srm_of(self, version: int) -> Deployed:
        """The SRM of a version, as it is on devices; 0: that of before the stream."""
        return self.releases[version - 1].srm if version else self._first_srm

    def known_ends(self, sent: Ints) -> Ints:
        """How many interactions of each user [U] the cloud has, of which devices have sent `sent` (see `sent_ends`)."""
        return np.where(sent < NOBODY, np.maximum(self._before, sent), self._before)

    def next_check(self, check: int, now: float) -> int:
        """The number of the check that follows number `check`, which has kept the cloud busy until `now`."""
        return max(math.floor(now / self.section.every), check) + 1

    def should_train(self, ends: Ints, now: float) -> bool:
        """Whether the schedule trains at a check that finds `ends` [U] interactions of each user in the cloud."""
        new, since = int((ends - self._trained_ends).sum()), int((ends - self._seen_ends).sum())
        last_s = self.releases[-1].training.trained_s if self.releases else -math.inf
        seen = self._seen_ends
        counts = now, new, since, int((ends - self._begins).sum()), len(self.releases)
        check = Check(*counts, last_s, self._best_ndcg, lambda: self._ndcg(seen, ends))
        trains = self._decides.should_train(check)
        self._seen_ends, self._best_ndcg = ends, max(self._best_ndcg, check.found_ndcg)
        return trains

    def _ndcg(self, seen: Ints, ends: Ints) -> float:
        """NDCG@10, by the newest weights, of what came after `seen` [U] interactions of each user."""
        from fleetrec.models.srm.validation import catalogue_ranks

        users = np.flatnonzero(ends > seen)
        which, nth = ragged((ends - seen)[users])
        owner = users[which]
        log = self._trained.split.log
        steps, hides_seen = seen[owner] + nth, self._inputs.lists.hides_seen
        ranks = catalogue_ranks(self._master.model, log.offsets, log.items, owner, steps, hides_seen)
        return accuracy(ranks, (10,))["ndcg@10"]

    def train(self, ends: Ints, now: float, progress: Progress) -> Release:
        """The version that a training on `ends` [U] interactions of each user, begun now, comes to."""
        section, inputs, trained = self.section, self._inputs, self._trained
        srm, table = inputs.training.srm, inputs.item_table
        known = known_data(trained.training, ends)
        data = known
        if section.learn_from == "new":
            data = newest_data(known, self._trained_ends, srm.max_length)
        elif section.learn_from == "before":
            data = known_data(trained.training, trained.training.valid_end)
        elif self._begins.any():
            data = newest_data(known, self._begins, srm.max_length)
        training = srm.training
        if section.learning_rate is not None:
            training = training.model_copy(update={"learning_rate": section.learning_rate})
        training = training.model_copy(update={"seed": training.seed + len(self.releases) + 1})
        plan = Plan(srm.kind, srm.loss, section.epochs, training)
        update = update_or_load(
            self._master, plan, data, trained.store, inputs.training.threads, self._device, progress
        )
        gpu_seconds = section.start + self._flops(update) / (self.gpu.flops_32bit * section.mfu)
        new = int((ends - self._trained_ends).sum())
        self._trained_ends = ends
        counts = np.bincount(known.items[~known.events_before(self._begins)], minlength=known.n_items)
        held = most_popular(counts, table.top if isinstance(table, sections.OnDeviceTable) else None)
        count = int((ends - self._begins).sum())
        told = Training(update.key, held, now, now + gpu_seconds, count, new, gpu_seconds, update.loss)
        return self._next_version(update.master, told)

    def follow(self, training: Training) -> Release:
        """The version that somebody else's training has come to: that of the cloud which regions share."""
        return self._next_version(updated_weights(self._master, training.key, self._trained.store), training)

    def _next_version(self, master: MasterWeights, training: Training) -> Release:
        """The version of newest weights."""
        self._master, table, version = master, self._inputs.item_table, len(self.releases) + 1
        travels = isinstance(table, sections.OnDeviceTable)
        how = table.precision, self.section.weights, self.srm_of(version - 1), travels
        return Release(version, -1, deploy(master, training.known, *how), training)

    def _flops(self, update: Update) -> float:
        """FLOPs of a training: forward and backward passes over every position, scored against what the loss needs."""
        srm, trained = self._inputs.training.srm, self._trained
        scored = trained.histories.n_items if srm.loss == "full_softmax" else 1 + srm.training.negatives
        position = trained.srm.flops_encode / srm.max_length + trained.srm.flops_per_candidate * scored
        return _BACKWARD * position * update.transitions * self.section.epochs


def begins_of(trained: TrainedModels) -> Ints:
    """How many interactions of each user [U] are another one's as well, of whom it is a clone whose histories grow."""
    histories = trained.histories
    if not isinstance(histories, GrowingHistories):
        return np.zeros(trained.training.n_users, dtype=np.int64)
    clones = histories.numbers != np.arange(len(histories.numbers))
    if clones.any() and trained.srm.kept.shape.has_user_table:
        raise InputError(
            f"policy.update: an SRM of kind {trained.srm.kept.shape.kind} knows users by their numbers, and users who "
            "react are one a device; set fleet.devices to at most the users of the log"
        )
    return np.where(clones, histories.before, 0)


class FleetLearning(Trainer):
    """What the devices of a run have sent to the cloud, and what it may train on (see LearningCloud)."""

    def __init__(self, schedule: sections.UpdateSchedule, gpu: str, prepared: Prepared, looks_back: bool, device: str):
        """`looks_back`: whether the request policy or the fusion needs states from before the newest interaction."""
        super().__init__(schedule, gpu, prepared.inputs, prepared.trained, prepared.srm, device)
        self._prepared, self._looks_back, section = prepared, looks_back, self.section
        self.uploads_s = section.upload
        self.told: deque[Training | None] | None = None
        """of a region: what each check has led to, as it was told (None: no training); None: it decides by itself"""
        trained, population = prepared.trained, prepared.population
        self._history = trained.split.history[population.users]  # [D] interactions known before the stream
        self._newest = np.maximum(self._history - 1, prepared.preloaded)  # [D] interaction that the cloud has
        draws = prepared.draws.uniform("update.stage", np.arange(population.n_devices))
        ends = [stage.share for stage in section.stages]
        self.stage: list[int] = np.searchsorted(ends, draws, side="left").tolist()  # of the rollout, of each device
        self.no_release_before_s = section.every
        if section.every >= population.stream.horizon_s:
            raise InputError(
                f"policy.update.every: a schedule of every {section.every:,.0f} s never fires in a run of "
                f"{population.stream.horizon_s:,.0f} s; shorten it"
            )

    def receive(self, device: int, step: int) -> None:
        """A device's history up to `step` has arrived."""
        self._newest[device] = max(self._newest[device], step)

    def lacking(self, device: int, step: int) -> int:
        """Interactions of a device up to `step` that the cloud does not have."""
        return max(step - int(self._newest[device]), 0)

    def sent_ends(self, now: float) -> Ints:
        """How many interactions of each user [U] its devices here have sent, NOBODY where there are none. Of a user
        with several devices, what all of those have sent: a clone's later life must not teach about an earlier one's.
        """
        population = self._prepared.population
        joined = population.presence.joined_s <= now
        sent = np.full(len(self._trained.training.valid_end), NOBODY)
        np.minimum.at(sent, population.users, np.where(joined, self._newest + 1, self._history))
        return sent

    def check(self, now: float, progress: Progress) -> Release | None:
        """The version that a check leads to; None: there is no training."""
        if self.told is not None:
            training = self.told.popleft()
            return None if training is None else self.follow(training)
        ends = self.known_ends(self.sent_ends(now))
        return self.train(ends, now, progress) if self.should_train(ends, now) else None

    def first_steps(self, now: float, told: Ints) -> Ints:
        """Newest interaction [U] before now, less what an adaptation looks back at: no slate of a version that is
        released now needs an earlier state, unless the policy looks back as far as a list's history. `told` [D]: the
        newest that each device has told, which those that sleep lag behind with."""
        if self._looks_back:
            return self._prepared.first
        population, history = self._prepared.population, self._prepared.trained.split.history
        newest, stream = told, population.stream
        if not isinstance(self._prepared.trained.histories, GrowingHistories):
            owner = np.repeat(np.arange(stream.n_devices), np.diff(stream.device_offsets))
            newest = self._history - 1 + np.bincount(owner[stream.t_s <= now], minlength=stream.n_devices)
        first = np.full(len(history), np.iinfo(np.int64).max)
        np.minimum.at(first, population.users, newest)
        return np.where(first < np.iinfo(np.int64).max, np.maximum(first - self._prepared.inputs.window, 0), history)

    def superseded(self, device: int, release: Release, now: float) -> bool:
        """Whether the device may fetch a newer release by now."""
        stage = self.stage[device]
        newer = self.releases[release.version :]
        return any(now >= other.released_s + self.section.stages[stage].after for other in newer)

    def push_bytes(self, has: int, release: Release) -> float:
        """Bytes that bring a device from version `has` to a release: the whole, or every change in between."""
        if self.section.weights != "delta":
            return release.srm.push_bytes
        return sum(other.srm.push_bytes for other in self.releases[has : release.version])

    def steady_until(self, device: int, version: int) -> float:
        """A time before which a device that has `version` surely gets no other weights."""
        if self.releases and version < self.releases[-1].version:
            return -math.inf
        return self.no_release_before_s


class KeepsWeights:
    """A cloud that never retrains (see LearningCloud)."""

    def receive(self, device: int, step: int) -> None:
        """It learns nothing from it."""

    def lacking(self, device: int, step: int) -> int:
        """It needs nothing."""
        return 0

    def steady_until(self, device: int, version: int) -> float:
        """For ever."""
        return math.inf
