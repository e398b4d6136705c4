"""A hosted API in SimPy, and the client in your server that calls it: refused calls are made again, each request ends
exactly once.

An account is refused by its rate limits (429, with Retry-After where a token bucket tells it) and during outages (503),
which also break off what is under way. What is let in is billed then, in full, whether its device waits for the end or
not; what an outage breaks off is not.
"""

import math
from array import array
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simpy import Event

from fleetrec.models.runtime.retries import pause_s
from fleetrec.simulator.cloud.api.latency import ApiLatency, Key
from fleetrec.simulator.cloud.api.limits import Limits
from fleetrec.simulator.cloud.api.outages import Outages
from fleetrec.simulator.cloud.api.price import Bill, bill
from fleetrec.simulator.cloud.api.prompt_cache import Prefixes, PromptCache
from fleetrec.simulator.cloud.node.queueing import Outcome, Served, Ticket
from fleetrec.simulator.cloud.node.timeline import Timeline
from fleetrec.simulator.core.clock import Clock, Process, WakeTime
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Api

_TRIES = 128  # more than a request ever makes: keys of draws


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of the API."""

    device: int
    step: int
    prompt_tokens: int
    output_tokens: int
    """of each of its sequences"""
    sequences: int = 1
    prefixes: Prefixes = ()
    """beginnings of its prompt that others may share, with their tokens"""
    latency_s: float = math.nan
    """of its answer, where that is known; else the law's"""
    batched: bool = False

    @property
    def written(self) -> int:
        """Tokens that all its sequences generate."""
        return self.output_tokens * self.sequences


class ApiTicket(Ticket):
    """A request at the API; `usd` is what it is billed, of all its tries, and `joules` what it took: NaN where the
    provider does not tell."""

    __slots__ = ("joules", "usd")

    def __init__(self, env: Clock, number: int, t_arrived_s: float, deadline_s: float):
        super().__init__(env, number, (), t_arrived_s, deadline_s)
        self.usd = self.joules = 0.0


class ApiNode:
    """The API of a scenario, called by one account."""

    def __init__(self, env: Clock, api: Api, draws: Draws):
        assert api.price is not None
        self.env = env
        self.outcomes: Counter[Outcome] = Counter()
        self.answers: Counter[int] = Counter()
        """by HTTP status, of every try"""
        self.prompt_tokens = self.cached_tokens = self.output_tokens = self.batched = 0
        """of what was billed"""
        self.bill, self.joules = Bill(0.0, 0.0, 0.0, 0.0), 0.0
        self.ttft_s, self.took_s = array("d"), array("d")
        """of each request from the try that was let in, by its number; NaN where none was"""
        self.usd = array("d")
        """what each was billed"""
        self._api, self._price, self._draws = api, api.price, draws
        self._limits, self._outages = Limits(api.limits), Outages(api.outages, draws)
        self._latency = ApiLatency(api, draws)
        self._cache = None if api.prompt_cache is None else PromptCache(api.prompt_cache)
        self._open: dict[int, ApiTicket] = {}
        self._again: dict[int, tuple[int, int]] = {}  # of each device its newest step, and calls before at that step
        self._pausing = 0
        self._closed_s: float | None = None
        self._timeline = Timeline()

    def submit(self, call: Call, deadline_s: float = math.inf) -> ApiTicket:
        """A request arrives now; `served = yield ticket.done` waits for its end. Its client is told "timed_out" at the
        deadline (absolute time), or "rejected" after its last try."""
        now = self.env.now
        ticket = ApiTicket(self.env, len(self.took_s), now, deadline_s)
        self.ttft_s.append(math.nan)
        self.took_s.append(math.nan)
        self.usd.append(0.0)
        self._open[ticket.number] = ticket
        if self._closed_s is not None:
            self._tell(ticket, "unfinished")
        elif deadline_s <= now:
            self._tell(ticket, "timed_out")
        else:
            step, again = self._again.get(call.device, (call.step, -1))
            again = again + 1 if step == call.step else 0
            self._again[call.device] = call.step, again
            self.env.start((self._batch if call.batched else self._calls)(ticket, call, again))
            self._record()
        return ticket

    def close(self, now: float) -> None:
        """Ends the API at the horizon: what is open is "unfinished", billed as far as it has been let in."""
        self._closed_s = now
        for ticket in list(self._open.values()):
            self._tell(ticket, "unfinished")

    def bill_of(self, prompt_tokens: int, output_tokens: int) -> float:
        """Dollars of a request with so many tokens, none of them cached."""
        return bill(self._price, prompt_tokens, 0, output_tokens).usd

    def joules_of(self, prompt_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Energy of a request with so many tokens; NaN where nobody tells it."""
        energy = self._api.energy
        return math.nan if energy is None else energy.joules(prompt_tokens, cached_tokens, output_tokens)

    @property
    def queue_length(self) -> int:
        """Requests that wait for their next try."""
        return self._pausing

    def timeline(self) -> dict[str, NDArray[np.float64]]:
        """See LlmNode.timeline; an API has no replicas."""
        return self._timeline.rows(self.env.now if self._closed_s is None else self._closed_s)

    # ------------------------------------------------------------------------------------------ the client

    def _calls(self, ticket: ApiTicket, call: Call, again: int) -> Process:
        """Try, and try again."""
        clock, retries = self.env, self._api.retries
        for attempt in count():
            key = (call.device, call.step, again * _TRIES + attempt)
            after_s = self._refused_for_s(call)
            if after_s is None:
                answered = yield from self._answer(ticket, call, key)
                if answered:
                    return
                after_s = 0.0
            if attempt >= retries.most:
                return self._tell(ticket, "rejected")
            spread = self._draws.uniform_one("api.retry", *key)
            again_s = clock.now + pause_s(retries.backoff, attempt, spread, after_s)
            self._pausing += 1
            self._record()
            yield clock.after(min(again_s, ticket.deadline_s) - clock.now)
            self._pausing -= 1
            self._record()
            if again_s >= ticket.deadline_s:
                return self._tell(ticket, "timed_out")

    def _refused_for_s(self, call: Call) -> float | None:
        """The Retry-After of a refusal, 0 where it has none; None: the call is let in."""
        now = self.env.now
        if self._outages.next_s(now)[0] <= now:
            self.answers[503] += 1
            return 0.0
        after_s = self._limits.refused_for_s(call.prompt_tokens + call.written, now)
        if after_s is not None:
            self.answers[429] += 1
        return after_s

    # ------------------------------------------------------------------------------------------ the provider

    def _answer(self, ticket: ApiTicket, call: Call, key: Key) -> Generator[Event | WakeTime, Any, bool]:
        """What was let in runs to its end; returns whether that is an answer and not an outage."""
        clock, now = self.env, self.env.now
        times = self._latency.draw(key, now)
        ttft_s, took_s = times.ttft_s, times.ttft_s + times.tpot_s * max(call.output_tokens - 1, 0)
        if not math.isnan(call.latency_s):
            ttft_s, took_s = math.nan, call.latency_s
        breaks_s, _ = self._outages.next_s(now)
        broken = breaks_s < now + took_s
        end_s = breaks_s if broken else now + took_s
        if not broken:
            self._begin(ticket, call, ttft_s, took_s)
        self._record()
        yield clock.after(min(end_s, ticket.deadline_s) - now)
        if end_s > ticket.deadline_s:
            self._tell(ticket, "timed_out")
            yield clock.after(end_s - clock.now)
        self._limits.running -= 1
        if broken:
            self.answers[503] += 1
            self._record()
            return ticket.served is not None
        if ticket.served is None:
            self._tell(ticket, "completed")
        self._record()
        return True

    def _begin(self, ticket: ApiTicket, call: Call, ttft_s: float, took_s: float) -> None:
        """It will be answered: it is billed now."""
        now = self.env.now
        self.answers[200] += 1
        ticket.t_started_s, ticket.t_first_token_s = now, now + ttft_s
        self.ttft_s[ticket.number], self.took_s[ticket.number] = ttft_s, took_s
        cached = 0 if self._cache is None else self._cache.read(call.prefixes, now)
        self._charge(ticket, call, min(cached, call.prompt_tokens))

    def _charge(self, ticket: ApiTicket, call: Call, cached: int) -> None:
        billed = bill(self._price, call.prompt_tokens, cached, call.written, call.batched)
        ticket.usd = self.usd[ticket.number] = billed.usd
        ticket.joules = self.joules_of(call.prompt_tokens, cached, call.written)
        self.joules += ticket.joules
        self.bill = Bill(*(so_far + more for so_far, more in zip(self.bill, billed, strict=True)))
        self.prompt_tokens += call.prompt_tokens
        self.cached_tokens += cached
        self.output_tokens += call.written

    def _batch(self, ticket: ApiTicket, call: Call, again: int) -> Process:
        """A request that waits for a batch, outside the rate limits."""
        batch, clock, now = self._price.batch, self.env, self.env.now
        assert batch is not None
        key = (call.device, call.step, again * _TRIES)
        delay_s = -batch.delay * math.log(self._draws.uniform_one("api.batch", *key))
        comes = delay_s <= batch.window
        if comes:
            self.batched += 1
            self.answers[200] += 1
            ticket.t_started_s = now
            self.took_s[ticket.number] = delay_s
            self._charge(ticket, call, 0)
        end_s = now + min(delay_s, batch.window)
        yield clock.after(min(end_s, ticket.deadline_s) - now)
        if ticket.served is None:
            self._tell(ticket, "completed" if comes and end_s <= ticket.deadline_s else "timed_out")
            self._record()

    # ------------------------------------------------------------------------------------------ told

    def _tell(self, ticket: ApiTicket, outcome: Outcome) -> None:
        now = self.env.now if self._closed_s is None else self._closed_s
        del self._open[ticket.number]
        self.outcomes[outcome] += 1
        ticket.t_finished_s = now
        if ticket.t_first_token_s > now:
            ticket.t_first_token_s = math.nan
        ticket.tell(Served(outcome, -1, ticket.t_started_s, now, 0.0, True))

    def _record(self) -> None:
        self._timeline.change(self.env.now, self.queue_length, 0, self._limits.running, 0)
