"""What the devices of one run share: the clock, the stream, the cloud, the network, the policy and the records."""

from array import array
from dataclasses import dataclass, field

from fleetrec.simulator.cloud import Ticket
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.adaptation import OwnAdapter
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.engine.rollout import FleetLearning
from fleetrec.simulator.fleet.message_sizes import Messages
from fleetrec.simulator.fleet.network import Network
from fleetrec.simulator.fleet.presence import Presence
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.recorder import Recorder
from fleetrec.simulator.records.schemas import RequestRecord
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario.sections.request import RunningRequestPolicy


@dataclass
class World:
    """Everything that is not a device. Per-device values are plain lists: they are read one at a time."""

    env: Clock
    t_s: "array[float]"
    """time of each row of the stream"""
    next_tie: "array[int]"
    """first row at or after each that shares its moment with the row after it"""
    first_row: list[int]
    end_row: list[int]
    first_step: list[int]
    """place, in the user's log, of each device's first streamed interaction"""
    joined_s: list[float]
    left_s: list[float]
    compute_s: list[float]
    """time of one ranking on each device"""
    compute_j: list[float]
    battery_j: list[float]
    preloaded_as_of: list[int]
    presence: Presence
    network: Network
    service: Service
    """answers requests"""
    messages: Messages
    weights: DeviceWeights
    scorer: Scorer
    scores: DeviceScores
    """of one device at a time"""
    draws: Draws
    recorder: Recorder
    policy: RunningRequestPolicy
    budget: Budget
    request_timeout_s: float
    patience_s: float
    late_s: float
    """an answer that takes longer is late to the device that waits for it"""
    blocking: bool
    fails_offline: bool
    decides_joining: list[bool]
    """whether each device decides as it joins"""
    decides_at_interaction: bool
    decides_online: bool
    """whether devices decide as they come back online"""
    decides_at_answer: bool
    """whether they decide as a list lands, if their user has gone on since it was asked for"""
    empty_is_miss: bool
    looks_ahead: bool
    """whether the policy looks at rankings while the run goes"""
    sleeps: bool
    """whether devices sleep through interactions at which nothing is decided"""
    log: UpdateLog
    updates: bool
    """whether weights change while the run goes"""
    vectors_with_list: bool
    """whether a candidate list brings the vectors of its items (item_table: with_list)"""
    stored_lists: list[int] | None
    """newest list that the cloud has kept for each device; none where it keeps no lists"""
    learning: FleetLearning | None = None
    """the cloud's retraining; None: it keeps its weights"""
    adapters: list[OwnAdapter] | None = None
    """of each device that fine-tunes parameters of its own; None: no device does"""
    open_requests: dict[int, RequestRecord] = field(default_factory=dict)
    unsettled: dict[int, RequestRecord] = field(default_factory=dict)
    """requests that have ended for their device and still run on a GPU"""
    issued: int = 0
    energy_j: list[float] = field(default_factory=list)
    """what each device has used, once the run has ended"""
    decisions: list[int] = field(default_factory=list)
    """how often each device has decided by then"""

    def new_request(self, device: int, step: int, now: float, weights: int) -> RequestRecord:
        """A request is issued by a device with these weights; it stays open until `close_request`."""
        record = RequestRecord(self.issued, device, step, now, step, weights)
        self.open_requests[self.issued] = record
        self.issued += 1
        return record

    def close_request(self, record: RequestRecord) -> None:
        """The request has its one outcome; it is recorded once its cost is known too."""
        del self.open_requests[record.request]
        ticket = record.ticket
        if ticket is not None and ticket.in_service:
            self.unsettled[ticket.number] = record
        else:
            self._finish(record)

    def settle(self, ticket: Ticket) -> None:
        """A request that had been given up has left its GPU."""
        record = self.unsettled.pop(ticket.number, None)
        if record is not None:
            self._finish(record)

    def _finish(self, record: RequestRecord) -> None:
        if record.ticket is not None:
            self.service.charge(record)
        self.recorder.request(record)

    def take_stored(self, device: int, step: int) -> bool:
        """Whether the cloud has kept a list of exactly this history."""
        return self.stored_lists is not None and self.stored_lists[device] == step

    def store(self, device: int, step: int) -> None:
        """The cloud made a list for this device."""
        if self.stored_lists is not None:
            self.stored_lists[device] = max(step, self.stored_lists[device])
