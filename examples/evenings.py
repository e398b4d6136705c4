"""A request policy of one's own: ask in the evening, when the user has time and the list is old.

fleetrec simulate examples/evenings.yaml
fleetrec sweep examples/evenings_sweep.yaml
"""

from fleetrec import DeviceView, RequestPolicy, Seconds


class Evenings(RequestPolicy):
    """A request after a time of day, once the list has not seen so many interactions."""

    after: Seconds = 18 * 3600.0
    unseen: int = 3

    def wants(self, device: DeviceView) -> bool:
        return device.time_of_day_s >= self.after and device.staleness >= self.unseen
