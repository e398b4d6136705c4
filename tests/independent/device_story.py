"""What happens to each device, event by event, from docs/background/model.md alone: a slow second opinion.

Of the package it takes what is fixed before a run: who interacts when, presence, what a message takes, logits of the
SRM, candidate lists. Each interaction, ranking, decision, message and answer is an event of its own.
"""

import heapq
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fleetrec.simulator.cloud.tokens import llm_request_tokens
from fleetrec.simulator.fleet.message_sizes import messages_of
from fleetrec.simulator.policies.request.cloud_push import CloudPush
from fleetrec.simulator.policies.request.congestion import CongestionRequest
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections
from tests.independent.devices import Ask, Device, Slate
from tests.independent.policies import wants
from tests.independent.slates import Slates
from tests.independent.stepwise_node import Node, Request


class Story:
    """A run of a scenario whose models are prepared."""

    def __init__(self, scenario: sections.Scenario, prepared: Prepared, compute_s: np.ndarray, node: Node):
        """compute_s [D]: what a ranking takes on each device."""
        self.scenario, self.prepared, self.node, self.compute_s = scenario, prepared, node, compute_s
        population, policy = prepared.population, scenario.policy
        self.population, self.policy, self.slates = population, policy, Slates(scenario, prepared)
        self.messages = messages_of(scenario.llm, scenario.srm, scenario.cloud)
        self.draws = prepared.draws
        self.horizon_s = population.stream.horizon_s
        self.interactions: list[dict[str, Any]] = []
        self.asks: list[Ask] = []
        self.attempt = int(isinstance(policy.request, CloudPush))  # keys the draws of messages
        self.moments: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.told = 0
        burst = policy.budget.burst
        if policy.budget.scope == "fleet":
            self.burst = max(0.05 * population.n_devices, 1.0) if burst is None else burst
        else:
            self.burst = 3.0 if burst is None else burst
        self.fleet_tokens = self.burst
        self.devices = [self.new_device(number) for number in range(population.n_devices)]

    def new_device(self, number: int) -> Device:
        """As it joins, with its preloaded list."""
        population, fleet = self.population, self.scenario.fleet
        rows = list(range(int(population.first_row[number]), int(population.end_row[number])))
        step = int(population.first_step[number]) - 1
        as_of = max(step - fleet.preloaded.lag, -1) if fleet.preloaded else -1
        joined_s = float(population.presence.joined_s[number])
        threshold = getattr(self.policy.request, "threshold", None) or 0
        user, link = int(population.users[number]), population.network.link_names[number]
        return Device(number, user, rows, step, as_of, joined_s, link, self.burst, threshold)

    # Time

    def at(self, t_s: float, what: Callable[..., None], *of: Any) -> None:
        """`what` happens at t_s."""
        self.told += 1
        heapq.heappush(self.moments, (t_s, self.told, what, of))

    def tell(self) -> None:
        """The whole run."""
        stream, presence = self.population.stream, self.population.presence
        for device in self.devices:
            joined_s, left_s = presence.joined_s[device.number], presence.left_s[device.number]
            if joined_s <= self.horizon_s:
                self.at(float(joined_s), self.join, device)
                self.at(float(left_s), self.leave, device)
        section = self.policy.request
        if isinstance(section, CloudPush):
            presence, horizon_s = self.population.presence, self.population.stream.horizon_s
            until_s = np.minimum(presence.left_s, horizon_s)
            times = section.push_times(presence.joined_s, until_s, horizon_s, self.draws)
            for device, times_s in zip(self.devices, times, strict=True):
                for t_s in times_s:
                    self.at(t_s, self.push, device)
        for device in self.devices:
            groups: dict[float, list[int]] = {}
            for row in device.rows:
                groups.setdefault(float(stream.t_s[row]), []).append(row)
            for t_s, rows in groups.items():
                self.at(t_s, self.interact, device, rows)
        while True:
            now = min(self.node.next_s(), self.moments[0][0] if self.moments else math.inf)
            if now > self.horizon_s:
                break
            self.now = now
            self.node.end_steps(now)
            while self.moments and self.moments[0][0] == now:
                _, _, what, of = heapq.heappop(self.moments)
                what(*of)
            self.node.begin_steps(now)
        for ask in self.asks:
            ask.outcome = ask.outcome or "unfinished"

    # The device

    def join(self, device: Device) -> None:
        """It orders its preloaded list and decides once; one that is there from the start did not join then."""
        device.last_s = self.now
        device.newest_s = self.now if self.now > 0 else -math.inf
        self.rank(device)
        if self.policy.decide_at == "join" or (self.policy.decide_at == "both" and self.now > 0):
            self.decide(device, True)

    def interact(self, device: Device, rows: list[int]) -> None:
        """Evaluate, observe, re-rank, decide: a group of interactions at one moment."""
        self.come_to_screen(device)
        slate, seen, device.awaited = device.shown, device.step, None
        latency_s = min(device.first_ready_s, self.now) - device.last_s
        if self.is_empty(device) and self.scenario.fleet.when_empty == "miss":
            slate = None
        for row in rows:
            step = int(self.population.stream.step[row])
            item = self.slates.item(device.user, step)
            listed = slate is not None and slate.as_of >= 0
            record = {
                "device": device.number,
                "step": step,
                "t_s": self.now,
                "item": item,
                "rank": -1 if slate is None else self.slates.place(device.user, slate.step, slate.as_of, item, seen),
                "as_of": slate.as_of if listed else -1,
                "staleness": step - 1 - slate.as_of if listed else -1,
                "list_age_s": self.now - slate.list_time_s if listed else math.nan,
                "slate_latency_s": latency_s,
                "requested": False,
                "online": self.population.presence.reachable(device.number, self.now),
            }
            self.interactions.append(record)
            device.step = step
        device.pause_s, device.newest_s = self.now - device.newest_s, self.now
        device.last_s, device.last_record = self.now, record
        self.rank(device)
        if self.policy.decide_at != "join":
            self.decide(device, False)

    def come_to_screen(self, device: Device) -> None:
        """A slate that was ready strictly before now is on screen."""
        if device.coming is not None and device.coming.ready_s < self.now:
            device.shown, device.coming = device.coming, None

    def is_empty(self, device: Device) -> bool:
        return device.joules >= self.population.fleet.battery_j[device.number]

    def rank(self, device: Device, landed: bool = False) -> None:
        """Order the cached list anew; what is not finished is superseded."""
        self.come_to_screen(device)
        first = not landed or device.coming is not None
        if self.is_empty(device):
            device.first_ready_s = device.first_ready_s if landed else self.now
            return
        seconds = float(self.compute_s[device.number])
        device.joules += seconds * float(self.population.fleet.power_w[device.number])
        device.coming = Slate(self.now + seconds, device.step, device.as_of, device.list_time_s)
        if first:
            device.first_ready_s = device.coming.ready_s

    def decide(self, device: Device, joins: bool) -> None:
        """Ask, if the policy says so and the budget holds a token."""
        budget = self.policy.budget
        device.decisions += 1
        device.tokens = min(device.tokens + budget.ratio, self.burst)
        self.fleet_tokens = min(self.fleet_tokens + budget.ratio, self.burst)
        if self.is_empty(device) or device.asking is not None or not wants(self, device, joins):
            return
        fails = self.policy.when_offline == "fail" and not self.population.presence.reachable(device.number, self.now)
        if budget.ratio < 1:
            if (self.fleet_tokens if budget.scope == "fleet" else device.tokens) < 1 - 1e-9:
                return
            if not fails:  # that costs nothing
                device.tokens -= 1
                self.fleet_tokens -= 1
        if not joins:
            device.last_record["requested"] = True
        self.request(device, fails)

    # The request

    def request(self, device: Device, fails: bool) -> None:
        """The history goes to the cloud, at once or when the link is back."""
        ask = device.asking = Ask(device.number, device.step, self.now)
        self.asks.append(ask)
        if fails:
            self.end(device, ask, "lost")
            return
        if self.policy.mode == "blocking" and device.coming is not None:
            device.awaited = ask
            device.coming.ready_s = max(device.coming.ready_s, self.now + self.policy.patience)
            device.first_ready_s = device.coming.ready_s
        deadline_s = self.now + self.scenario.cloud.request_timeout
        back_s = self.population.presence.next_reachable(device.number, self.now)
        self.at(deadline_s, self.deadline, device, ask)
        ask.lost = back_s >= deadline_s
        if not ask.lost:
            self.at(back_s, self.send, device, ask, deadline_s)

    def push(self, device: Device) -> None:
        """The cloud refreshes the list of a device that can be reached and has something new."""
        reachable_until_s = self.population.presence.reachable_until(device.number, self.now)
        if reachable_until_s > self.now and device.asking is None and device.step > device.as_of:
            self.request(device, False)

    def send(self, device: Device, ask: Ask, deadline_s: float) -> None:
        """Up the link."""
        if ask.outcome:
            return
        ask.bytes_up = self.messages.request_bytes(ask.step, device.as_of)
        seconds = self.population.network.up(device.number, ask.step, self.attempt, ask.bytes_up, self.now)
        if self.gets_through(device, seconds):
            self.radio(device, seconds)
            self.at(self.now + seconds, self.arrive, device, ask, deadline_s)
        else:
            ask.lost = True

    def gets_through(self, device: Device, seconds: float | None) -> bool:
        """Whether a message sent now is through before the link breaks."""
        until_s = self.population.presence.reachable_until(device.number, self.now)
        return seconds is not None and self.now + seconds <= until_s

    def radio(self, device: Device, seconds: float) -> None:
        device.joules += self.population.network.radio_joules(device.number, seconds)

    def arrive(self, device: Device, ask: Ask, deadline_s: float) -> None:
        """On arrival at the cloud."""
        ask.t_arrived_s = self.now
        tokens = llm_request_tokens(self.scenario.llm, ask.step + 1)
        ask.served = Request(self.now, *tokens, deadline_s, device.number)
        ask.served.told = lambda: self.answer(device, ask)
        if ask.outcome != "abandoned":
            self.node.arrive(ask.served)

    def answer(self, device: Device, ask: Ask) -> None:
        """The cloud has an answer, or none: down the link."""
        assert ask.served is not None
        if ask.outcome:
            return
        if ask.served.outcome == "rejected":
            self.end(device, ask, "rejected")
        elif ask.served.outcome == "completed":
            ask.bytes_down = self.messages.answer_bytes
            seconds = self.population.network.down(device.number, ask.step, self.attempt, ask.bytes_down, self.now)
            if self.gets_through(device, seconds):
                self.radio(device, seconds)
                self.at(self.now + seconds, self.land, device, ask)
            else:
                ask.lost = True

    def land(self, device: Device, ask: Ask) -> None:
        """The list replaces the cached one, unless a newer one has landed, and is ordered."""
        if ask.outcome:
            return
        ask.t_delivered_s = self.now
        self.end(device, ask, "completed")
        if ask.step >= device.as_of:
            device.as_of, device.list_time_s = ask.step, ask.t_issued_s
            self.rank(device, landed=True)

    def deadline(self, device: Device, ask: Ask) -> None:
        """The device gives up."""
        if not ask.outcome:
            self.end(device, ask, "lost" if ask.lost else "timed_out")
            if ask.served is not None:
                self.node.deadline(ask.served, self.now)

    def leave(self, device: Device) -> None:
        """It is gone for good; what it asked for is nobody's any more."""
        if device.asking is not None:
            self.end(device, device.asking, "abandoned")

    def end(self, device: Device, ask: Ask, outcome: str) -> None:
        """The request's one outcome, as the device learns of it."""
        ask.outcome, device.asking = outcome, None
        if device.awaited is ask and device.coming is not None and outcome != "completed":
            made_s = ask.t_issued_s + float(self.compute_s[device.number])
            device.coming.ready_s = min(device.coming.ready_s, max(made_s, self.now))
            device.first_ready_s = device.coming.ready_s
        section = self.policy.request
        if isinstance(section, CongestionRequest):
            late = outcome != "completed" or self.now - ask.t_issued_s > section.late
            wanted = device.threshold * section.backoff if late else device.threshold / section.backoff
            device.threshold = min(max(wanted, section.threshold), section.longest)
