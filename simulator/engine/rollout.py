"""What devices and the cloud that retrains send each other: histories up, new versions down.

A device fetches a version when it is reachable over a link that may carry it, so versions live side by side.
"""

import math
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.clock import Story
from fleetrec.simulator.engine.retraining import NOBODY, Ints, Release, Trainer
from fleetrec.simulator.preparation.prepare import Prepared, first_needed
from fleetrec.simulator.preparation.training import srm_scores
from fleetrec.simulator.ranking.list_view import looks_back
from fleetrec.simulator.scenario import sections

if TYPE_CHECKING:
    from fleetrec.simulator.engine.context import World
    from fleetrec.simulator.engine.device import Device

RETRY_S = 60.0
"""after a download that was lost"""
_UPLOAD, _FETCH = 2, 3  # kinds of messages, after those of requests; a repeated download counts on from _FETCH


class FleetLearning(Trainer):
    """What the devices of a world have sent to the cloud, and how they get the versions that it releases."""

    def __init__(
        self,
        scenario: sections.Scenario,
        section: sections.Retraining,
        prepared: Prepared,
        preloaded: Ints,
        device: str,
    ):
        """`preloaded` [D]: what each device's list is as of when it joins: the cloud has seen that much."""
        super().__init__(scenario, section, prepared.learnt, prepared.srm, device)
        self._prepared = prepared
        self.uploads_s = section.upload
        self.orders: deque[Ints | None] | None = None
        """of a region: what to train on at each look, as it was told (None: not at all); None: it decides by itself"""
        learnt, population = prepared.learnt, prepared.population
        self._history = learnt.split.history[population.users]  # [D] interactions known before the stream
        self._newest = np.maximum(self._history - 1, preloaded)  # [D] interaction that the cloud has
        draws = prepared.draws.uniform("update.stage", np.arange(population.n_devices))
        ends = [stage.share for stage in section.stages]
        self._stage: list[int] = np.searchsorted(ends, draws, side="left").tolist()  # of the rollout, of each device
        self._steady_s = section.every  # no release before
        if section.every >= population.stream.horizon_s:
            raise InputError(
                f"policy.update.every: a schedule of every {section.every:,.0f} s never fires in a run of "
                f"{population.stream.horizon_s:,.0f} s; shorten it"
            )

    # ------------------------------------------------------------------------------------------ uploads

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
        sent = np.full(len(self._learnt.training.valid_end), NOBODY)
        np.minimum.at(sent, population.users, np.where(joined, self._newest + 1, self._history))
        return sent

    def uploads(self, world: "World", device: "Device") -> Story:
        """A device sends, once in a period, what the cloud lacks, when it is reachable over an allowed link."""
        env, number = world.env, device.device
        period_s = self.uploads_s
        if world.joined_s[number] == math.inf or period_s is None:
            return
        phase = self._prepared.draws.uniform_one("update.upload", number)
        turn = 0
        while True:
            due_s = max((turn + phase) * period_s, world.joined_s[number])
            yield env.timeout(max(due_s - env.now, 0.0))
            turn = max(turn + 1, math.ceil(env.now / period_s - phase))
            device.catch_up(env.now)
            step = device.step
            lacking = self.lacking(number, step)
            if not lacking or device.exhausted or not world.presence.reachable(number, env.now):
                continue
            nbytes = world.messages.history_bytes(lacking)
            up_s = world.network.up(number, turn, _UPLOAD, nbytes, env.now)
            if up_s is None or world.presence.reachable_until(number, env.now) < env.now + up_s:
                continue
            device.other_j += world.network.radio_joules(number, up_s)
            world.log.uploaded(number, nbytes)
            yield env.timeout(up_s)
            self.receive(number, step)

    # ------------------------------------------------------------------------------------------ training

    def retrain(self, world: "World", devices: "list[Device]", progress: Progress) -> Story:
        """Look at the uploads once a period, train where the schedule says so, release when training has ended."""
        env, period_s = world.env, self._section.every
        look = 1
        while True:
            yield env.until(look * period_s, len(devices))
            ends = self._to_learn(env.now)
            if ends is not None:
                release = self.train(ends, env.now, progress)
                self._steady_s = release.released_s
                yield env.timeout(release.released_s - env.now)
                self._publish(world, release, devices)
            look = self.look_after(look, env.now)
            self._steady_s = look * period_s

    def _to_learn(self, now: float) -> Ints | None:
        """What a look finds to train on: how many interactions of each user [U]; None: there is no training."""
        if self.orders is not None:
            return self.orders.popleft()
        ends = self.known_ends(self.sent_ends(now))
        return ends if self.wants(ends) else None

    def _publish(self, world: "World", release: Release, devices: "list[Device]") -> None:
        """From now on devices may have it; each will look for it when its stage of the rollout begins."""
        learnt, population = self._prepared.learnt, self._prepared.population
        first = self._first_steps(world.env.now)
        users = np.unique(population.users)
        srm = release.srm
        weights = world.weights.add_version(lambda: srm_scores(learnt, first, users, srm))
        release = replace(release, weights=weights)
        self.releases.append(release)
        made = release.interactions, release.new, release.gpu_seconds, srm.push_bytes, release.loss
        world.log.released(release.released_s, release.version, *made)
        stages = self._section.stages
        for device, stage in zip(devices, self._stage, strict=True):
            if stage < len(stages) and self._may_carry(world, device.device):
                world.env.tell(self._fetch(world, device, release, stages[stage].after))

    def _first_steps(self, now: float) -> Ints:
        """Newest interaction [U] before now, less what an adaptation looks back at: no slate of a version that is
        released now needs an earlier state, unless the policy looks back as far as a list's history."""
        if looks_back(self._scenario.policy):
            return first_needed(self._scenario, self._prepared.learnt)
        population, history = self._prepared.population, self._prepared.learnt.split.history
        stream = population.stream
        adaptation = sections.adaptation_of(self._scenario.policy.update)
        back = adaptation.window if adaptation is not None else 0
        owner = np.repeat(np.arange(stream.n_devices), np.diff(stream.device_offsets))
        past = np.bincount(owner[stream.t_s <= now], minlength=stream.n_devices)
        first = np.full(len(history), np.iinfo(np.int64).max)
        np.minimum.at(first, population.users, self._history - 1 + past)
        return np.where(first < np.iinfo(np.int64).max, np.maximum(first - back, 0), history)

    def _may_carry(self, world: "World", device: int) -> bool:
        return world.network.link_names[device] in self._section.links

    def _fetch(self, world: "World", device: "Device", release: Release, after_s: float) -> Story:
        """A device downloads a version, over and over until it is there or a newer one has come."""
        env, number, presence = world.env, device.device, world.presence
        begins_s = max(release.released_s + after_s, world.joined_s[number])
        if begins_s == math.inf:
            return
        yield env.until(begins_s, number + release.version * len(world.joined_s) + 1)
        attempt = _FETCH
        while not (self._superseded(number, release, env.now) or device.exhausted):
            if not presence.reachable(number, env.now):
                back_s = presence.next_reachable(number, env.now)
                if back_s == math.inf:
                    return
                yield env.timeout(back_s - env.now)
                continue
            nbytes = self._push_bytes(device.version, release)
            down_s = world.network.down(number, release.version, attempt, nbytes, env.now)
            attempt += 1
            if down_s is None:
                yield env.timeout(RETRY_S)
                continue
            spent_s = min(down_s, presence.reachable_until(number, env.now) - env.now)
            device.catch_up(env.now)  # with the battery as it was
            device.other_j += world.network.radio_joules(number, spent_s)
            world.log.pushed(number, nbytes * spent_s / down_s if down_s > 0 else nbytes)
            yield env.timeout(spent_s)
            device.catch_up(env.now)
            if spent_s < down_s:
                continue
            if device.version < release.version:
                device.receive(release.version, release.weights, env.now)
                world.log.installed(env.now, number, release.version)
            return

    def _superseded(self, device: int, release: Release, now: float) -> bool:
        """Whether the device may fetch a newer release by now."""
        stage = self._stage[device]
        newer = self.releases[release.version :]
        return any(now >= other.released_s + self._section.stages[stage].after for other in newer)

    def _push_bytes(self, has: int, release: Release) -> float:
        """Bytes that bring a device from version `has` to a release: the whole, or every change in between."""
        if self._section.weights != "delta":
            return release.srm.push_bytes
        return sum(other.srm.push_bytes for other in self.releases[has : release.version])

    def steady_until(self, device: int, version: int) -> float:
        """A moment before which a device that has `version` surely gets no other weights."""
        if self.releases and version < self.releases[-1].version:
            return -math.inf
        return self._steady_s
