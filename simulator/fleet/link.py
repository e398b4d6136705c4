"""One device's way to the cloud: when it can be reached, and what a message takes."""

from fleetrec.simulator.fleet.network import Network
from fleetrec.simulator.fleet.presence import Presence


class Link:
    """Presence and network as one device knows them. Times asked for never fall."""

    __slots__ = ("_device", "_network", "_reachable_until_s", "kind", "presence")

    def __init__(self, device: int, presence: Presence, network: Network):
        self._device, self.presence, self._network = device, presence, network
        self.kind = network.link_names[device]
        self._reachable_until_s = -1.0  # as far as has been looked up

    def reachable_until(self, now: float) -> float:
        """The end of the reachable period that holds `now`; no later than `now` where the device is out of reach."""
        if self._reachable_until_s <= now:
            self._reachable_until_s = self.presence.reachable_until(self._device, now)
        return self._reachable_until_s

    def reachable(self, now: float) -> bool:
        """Whether the device can reach the cloud now."""
        return self.reachable_until(now) > now

    def next_reachable(self, now: float) -> float:
        """The first time from now on at which it can; infinite: never again."""
        return self.presence.next_reachable(self._device, now)

    def next_online(self, now: float) -> float:
        """The first time after now at which it comes back within reach; infinite: never again."""
        return self.presence.next_online(self._device, now)

    def up(self, step: int, attempt: int, nbytes: float, now: float) -> float | None:
        """Seconds that a message to the cloud takes; None: it is lost, or the link breaks before it is through."""
        seconds = self._network.up(self._device, step, attempt, nbytes, now)
        return None if seconds is None or self.reachable_until(now) < now + seconds else seconds

    def down(self, step: int, attempt: int, nbytes: float, now: float) -> float | None:
        """Seconds that a message from the cloud takes; None: it is lost, or the link breaks before it is through."""
        seconds = self._network.down(self._device, step, attempt, nbytes, now)
        return None if seconds is None or self.reachable_until(now) < now + seconds else seconds

    def begin_down(self, step: int, attempt: int, nbytes: float, now: float) -> tuple[float | None, float]:
        """Seconds that a message from the cloud takes (None: it is lost), and those of them before the link breaks."""
        seconds = self._network.down(self._device, step, attempt, nbytes, now)
        return seconds, min(seconds or 0.0, self.reachable_until(now) - now)

    def joules(self, seconds: float) -> float:
        """Energy of a radio that is active for so long."""
        return self._network.radio_joules(self._device, seconds)
