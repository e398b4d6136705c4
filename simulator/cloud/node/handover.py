"""Prefill and decode on separate replicas: what one has computed of a prompt moves over a link to another.

As DistServe, Splitwise and vLLM's disaggregated prefill have it. The KV cache of a prompt stays where it was computed
until all of it has arrived. Each prefill replica sends over a link of its own, one cache after the other, to the decode
replica with the fewest requests when the prompt is done; those on their way there count among them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from simpy import Environment, Event, Timeout

from fleetrec.simulator.cloud.node.cluster import Cluster, Machine
from fleetrec.simulator.cloud.node.tickets import Attempt, LlmTicket
from fleetrec.simulator.cloud.node.timers import Wakes
from fleetrec.simulator.cloud.replica.replica import Replica


@dataclass(eq=False, slots=True)
class Transfer:
    """The KV cache of a prompt, from its end until it has arrived."""

    ticket: LlmTicket
    prompt: Attempt
    """which computed it, at `source`"""
    answer: Attempt
    """what goes on from it"""
    source: Machine


class Handover:
    """The links of a node's prefill replicas, and what is to go over them."""

    def __init__(self, env: Environment, cluster: Cluster, wakes: Wakes, count: Callable[[Machine], None]):
        """`count` counts anew who waits at a replica."""
        self._env, self._cluster, self._wakes, self._count = env, cluster, wakes, count
        self._replicas = [cast(Replica, machine.replica) for machine in cluster.machines]  # where prompts are computed
        self._under_way: dict[Transfer, None] = {}
        self.unplaced: dict[int, Transfer] = {}
        """those that no decode replica takes, by the request's number, in order"""

    def begin(self, ticket: LlmTicket, source: Machine, now: float) -> None:
        """A prompt's end: its request goes on elsewhere, where any replica takes it."""
        prompt, answer = ticket.job, ticket.hand_over()
        source.sending += 1
        self._place(Transfer(ticket, prompt, answer, source), now)

    def _place(self, transfer: Transfer, now: float) -> None:
        ticket, source = transfer.ticket, transfer.source
        choice = self._cluster.decode_choice
        if not choice.accepting:
            self.unplaced[ticket.number] = transfer
            return
        machine = ticket.machine = self._cluster.decoding[choice.least_loaded()]
        self._replicas[machine.place].expect(transfer.answer, now)
        self._count(machine)
        link = source.pool.link
        assert link is not None
        source.link_free_s = max(now, source.link_free_s) + transfer.prompt.prompt_tokens * link.token_s
        self._under_way[transfer] = None
        arrives_s = source.link_free_s + link.latency_s
        Timeout(self._env, arrives_s - now, transfer).callbacks.append(self._on_arrival)

    def machine_ready(self) -> None:
        """A decode replica takes requests: those that wait for one are sent."""
        waiting = list(self.unplaced.values())
        self.unplaced.clear()
        for transfer in waiting:
            self._place(transfer, self._env.now)

    def _on_arrival(self, event: Event) -> None:
        transfer: Transfer = event._value
        if transfer not in self._under_way:  # its source was lost, or the node is closed
            return
        now = self._env.now
        del self._under_way[transfer]
        self._sent(transfer, now)
        machine = transfer.ticket.machine
        if machine is not None and transfer.ticket.job is transfer.answer:
            replica = self._replicas[machine.place]
            replica.arrive(transfer.answer, now)
            next_s = replica.next_s()
            if next_s < math.inf:
                self._wakes.at(machine, next_s)

    def _sent(self, transfer: Transfer, now: float) -> None:
        """Its source need not keep it any longer."""
        source = transfer.source
        source.sending -= 1
        if self._replicas[source.place].sent(transfer.prompt, now):
            self._wakes.at(source, now)
        self._cluster.emptied(source)

    def give_up(self, ticket: LlmTicket) -> None:
        """Nobody wants the answer of a request that no decode replica has taken."""
        self._sent(self.unplaced.pop(ticket.number), self._env.now)

    def lost(self, source: Machine) -> list[LlmTicket]:
        """A prefill replica is lost with the caches that it was sending: whose they were, and who must begin anew."""
        now = self._env.now
        source.sending, source.link_free_s = 0, -math.inf
        unplaced = [transfer for transfer in self.unplaced.values() if transfer.source is source]
        for transfer in unplaced:
            del self.unplaced[transfer.ticket.number]
        sent = [transfer for transfer in self._under_way if transfer.source is source]
        for transfer in sent:
            del self._under_way[transfer]
            machine = transfer.ticket.machine
            expected = transfer.ticket.job is transfer.answer
            if expected and machine is not None and machine.replica.remove(transfer.answer, now):
                unplaced.append(transfer)
        return [transfer.ticket for transfer in unplaced]

    def close(self) -> None:
        """The horizon: nothing arrives any more."""
        self._under_way.clear()
        self.unplaced.clear()
