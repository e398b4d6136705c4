"""What devices and the cloud that retrains send each other: histories up, new versions down.

A device fetches a version when it is reachable over a link that may carry it, so versions live side by side.
"""

import math
from dataclasses import replace

import numpy as np

from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.clock import Clock, Process
from fleetrec.simulator.engine.device import Device
from fleetrec.simulator.engine.retraining import FleetLearning, Release
from fleetrec.simulator.fleet.message_sizes import Messages
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.training import srm_scores
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.update_log import UpdateLog

RETRY_S = 60.0
"""after a download that was lost"""
_UPLOAD, _FETCH = 2, 3  # kinds of messages, after those of requests; a repeated download counts on from _FETCH


class Rollout:
    """The processes by which devices and the cloud that retrains keep up with each other."""

    def __init__(
        self,
        learning: FleetLearning,
        prepared: Prepared,
        clock: Clock,
        messages: Messages,
        weights: DeviceWeights,
        log: UpdateLog,
    ):
        self._learning, self._section, self._clock, self._messages = learning, learning.section, clock, messages
        self._trained, self._draws, self._users = prepared.trained, prepared.draws, np.unique(prepared.population.users)
        self._weights, self._log = weights, log

    def start(self, devices: list[Device], progress: Progress) -> None:
        """All of them, in a run whose clock has not begun."""
        self._clock.start(self._retrain(devices, progress))
        for device in devices if self._learning.uploads_s is not None else []:
            self._clock.start(self._upload(device))

    def _upload(self, device: Device) -> Process:
        """A device sends, once in a period, what the cloud lacks, when it is reachable over an allowed link."""
        clock, number, joins_s, link = self._clock, device.device, device.profile.joins_s, device.connection
        period_s = self._learning.uploads_s
        if joins_s == math.inf or period_s is None:
            return
        phase = self._draws.uniform_one("update.upload", number)
        turn = 0
        while True:
            due_s = max((turn + phase) * period_s, joins_s)
            yield clock.timeout(max(due_s - clock.now, 0.0))
            turn = max(turn + 1, math.ceil(clock.now / period_s - phase))
            device.catch_up(clock.now)
            step = device.step
            lacking = self._learning.lacking(number, step)
            if not lacking or device.exhausted or not link.reachable(clock.now):
                continue
            nbytes = self._messages.history_bytes(lacking)
            up_s = link.up(turn, _UPLOAD, nbytes, clock.now)
            if up_s is None:
                continue
            device.spend(link.joules(up_s))
            self._log.uploaded(number, nbytes)
            yield clock.timeout(up_s)
            self._learning.receive(number, step)

    def _retrain(self, devices: list[Device], progress: Progress) -> Process:
        """Check the uploads once a period, train where the schedule says so, release when training has ended."""
        clock, learning, period_s = self._clock, self._learning, self._section.every
        check = 1
        while True:
            yield clock.until(check * period_s, len(devices))
            release = learning.check(clock.now, progress)
            if release is not None:
                learning.no_release_before_s = release.released_s
                yield clock.timeout(release.released_s - clock.now)
                self._publish(release, devices)
            check = learning.next_check(check, clock.now)
            learning.no_release_before_s = check * period_s

    def _publish(self, release: Release, devices: list[Device]) -> None:
        """From now on devices may have it; each will look for it when its stage of the rollout begins."""
        told = np.array([device.step for device in devices], dtype=np.int64)
        first, srm = self._learning.first_steps(self._clock.now, told), release.srm
        weights = self._weights.add_version(lambda: srm_scores(self._trained, first, self._users, srm))
        release = replace(release, weights=weights)
        self._learning.releases.append(release)
        of = release.training
        made = of.interactions, of.new, of.gpu_seconds, srm.push_bytes, of.loss
        self._log.released(release.released_s, release.version, *made)
        stages = self._section.stages
        for device, stage in zip(devices, self._learning.stage, strict=True):
            if stage < len(stages) and device.connection.kind in self._section.links:
                self._clock.start(self._fetch(device, release, stages[stage].after))

    def _fetch(self, device: Device, release: Release, after_s: float) -> Process:
        """A device downloads a version, over and over until it is there or a newer one has come."""
        clock, number, link = self._clock, device.device, device.connection
        begins_s = max(release.released_s + after_s, device.profile.joins_s)
        if begins_s == math.inf:
            return
        yield clock.until(begins_s, number + release.version * len(self._learning.stage) + 1)
        attempt = _FETCH
        while not (self._learning.superseded(number, release, clock.now) or device.exhausted):
            if not link.reachable(clock.now):
                back_s = link.next_reachable(clock.now)
                if back_s == math.inf:
                    return
                yield clock.timeout(back_s - clock.now)
                continue
            nbytes = self._learning.push_bytes(device.version, release)
            down_s, spent_s = link.begin_down(release.version, attempt, nbytes, clock.now)
            attempt += 1
            if down_s is None:
                yield clock.timeout(RETRY_S)
                continue
            device.spend(link.joules(spent_s))
            self._log.pushed(number, nbytes * spent_s / down_s if down_s > 0 else nbytes)
            yield clock.timeout(spent_s)
            device.catch_up(clock.now)
            if spent_s < down_s:
                continue
            if device.version < release.version:
                device.receive(release.version, release.weights, clock.now)
                self._log.installed(clock.now, number, release.version)
            return
