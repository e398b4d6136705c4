"""Counts the requests of a run: each is open until it has its one outcome, and recorded once its cost is known."""

from collections.abc import Callable

from fleetrec.simulator.cloud.node.queueing import Ticket
from fleetrec.simulator.records.recorder import Recorder
from fleetrec.simulator.records.schemas import RequestRecord, ServingCost


class RequestLedger:
    """The requests that are under way, and those that have ended for their device and still run on a GPU."""

    def __init__(self, recorder: Recorder, cost_of: Callable[[Ticket], ServingCost]):
        """`cost_of` a ticket: what serving it has used."""
        self._recorder, self._cost_of = recorder, cost_of
        self.open: dict[int, RequestRecord] = {}
        self._unsettled: dict[int, RequestRecord] = {}
        self.issued = 0

    def issue(self, device: int, step: int, now: float, weights: int, pushed: bool = False) -> RequestRecord:
        """A device with these weights asks; the request stays open until it is closed."""
        record = RequestRecord(self.issued, device, step, now, step, weights, pushed=pushed)
        self.open[self.issued] = record
        self.issued += 1
        return record

    def close(self, record: RequestRecord) -> None:
        """The request has its one outcome; it is recorded now, or once it has left its GPU."""
        del self.open[record.request]
        ticket = record.ticket
        if ticket is not None and ticket.in_service:
            self._unsettled[ticket.number] = record
        else:
            self._record(record)

    def settle(self, ticket: Ticket) -> None:
        """A request that had been given up has left its GPU."""
        record = self._unsettled.pop(ticket.number, None)
        if record is not None:
            self._record(record)

    def _record(self, record: RequestRecord) -> None:
        ticket = record.ticket
        if ticket is None:
            self._recorder.request(record)
        else:
            self._recorder.request(record, self._cost_of(ticket), ticket.t_first_token_s)
