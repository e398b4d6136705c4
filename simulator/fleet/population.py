"""Who takes part in a run and when: the same for every policy at one seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.fleet.devices import FleetTable, build_fleet
from fleetrec.simulator.fleet.network import Network
from fleetrec.simulator.fleet.presence import Presence, build_presence
from fleetrec.simulator.scenario.event_checks import check_events, fleet_clocks
from fleetrec.simulator.scenario.inputs import PreparationInputs
from fleetrec.simulator.workload.arrivals import Stream, arrival_times
from fleetrec.simulator.workload.splitting import SplitLog

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Who takes part and when: the same for every policy at one seed."""

    fleet: FleetTable
    users: Ints  # [D] place in the histories: in the log, or one of its own where histories grow
    network: Network
    stream: Stream
    presence: Presence
    first_row: Ints  # [D] rows of the stream that happen while the device takes part
    end_row: Ints
    first_step: Ints  # [D] place in its user's log of the first of them
    owners: Ints  # [D] place in the log of the user that each has; clones share one

    @property
    def n_devices(self) -> int:
        return len(self.users)

    @property
    def n_interactions(self) -> Ints:
        """Those that each device [D] meets."""
        return self.end_row - self.first_row


@dataclass(frozen=True)
class DeviceRange:
    """The devices first .. end - 1 of a fleet: those of a region."""

    region: str
    first: int
    end: int


def populate(inputs: PreparationInputs, split: SplitLog, draws: Draws, own: DeviceRange | None = None) -> Population:
    """Draws devices, arrivals and presence; of `own` alone where given, numbered from 0 then."""
    streamed = np.flatnonzero(split.streamed)
    fleet = build_fleet(inputs.fleet, len(streamed), Draws(inputs.seed))
    everyone, part = streamed[fleet.user], None
    if own is not None:
        part = own.first, fleet.n_devices
        fleet = fleet.part(own.first, own.end)
    users = streamed[fleet.user]
    network = Network(inputs.fleet, fleet, draws)
    stream = arrival_times(split, inputs.arrivals, users, inputs.duration_s, draws, everyone)
    check_events(fleet_clocks(inputs.fleet, len(users)), stream.horizon_s)
    outages = network.outages(stream.horizon_s)
    presence = build_presence(
        inputs.fleet.churn, fleet, stream.horizon_s, stream.start_s, draws, outages, part, stream.zero_s
    )
    owner = np.repeat(np.arange(len(users)), np.diff(stream.device_offsets))
    before = np.bincount(owner[stream.t_s < presence.joined_s[owner]], minlength=len(users))
    until = np.bincount(owner[stream.t_s <= presence.left_s[owner]], minlength=len(users))
    first_row = stream.device_offsets[:-1] + before
    end_row = np.maximum(stream.device_offsets[:-1] + until, first_row)
    first_step = split.history[users] + before
    network.foresee(first_step - 1, end_row - first_row + 1)  # devices may ask as they join, too
    return Population(fleet, users, network, stream, presence, first_row, end_row, first_step, users)
