"""A server at a fixed concurrency: so many clients, each with one request under way and the next one right behind it.

As benchmarks of serving engines run it (InferenceMAX): all clients begin at once, each serves ten requests in the mean,
and lengths are drawn evenly between a share of those stated and the whole. Means over all requests, the first ones
included, but for a warm-up's.
"""

import heapq
import math
from dataclasses import dataclass

import numpy as np

from fleetrec.simulator.cloud.hardware.engine_profile import Seconds
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.replica import Replica

ROUNDS = 10
"""requests of a client"""
SPREAD = 0.2
"""how much shorter than stated a prompt or an answer may be"""


@dataclass(frozen=True)
class Load:
    """What the clients ask."""

    prompt_tokens: int
    output_tokens: int
    concurrency: int
    spread: float = SPREAD
    rounds: int = ROUNDS
    wait_steps: int = 0
    """for which prompts are held while others decode, so that more of them share a step (TensorRT-LLM can)"""
    prompts: int | None = None
    """so many differ, sent in turns; None: all do"""
    warm_up: int = 0
    """requests of a client before those: they count in no mean, and the others begin when all of them have ended"""
    seed: int = 0

    def jobs(self) -> list[Job]:
        """All requests, in the order in which they are sent."""
        rng, n = np.random.default_rng(self.seed), self.concurrency * (self.warm_up + self.rounds)
        shares = 1.0 - self.spread * rng.random((n, 2))
        lengths = np.maximum(np.rint(shares * (self.prompt_tokens, self.output_tokens)), (1, 2)).astype(int)
        prefixes = [None if self.prompts is None else (i % self.prompts, self.prompt_tokens) for i in range(n)]
        return [Job(own[0], own[1], prefix=prefix) for own, prefix in zip(lengths.tolist(), prefixes, strict=True)]


@dataclass(frozen=True)
class Served:
    """What came of it."""

    ttft_s: float
    """mean time to first token, as the client sees it"""
    tpot_s: float
    """mean time per further token"""
    latency_s: float
    requests_per_s: float
    tokens_per_s: float
    """written"""
    busy_s: float
    seconds: float
    """until the last answer"""
    passed_tokens: float
    """that went through the weights: prompts, and answers but for their last tokens"""


def closed_loop(steps: StepTime, engine: Engine, load: Load, front_end: Seconds | None = None) -> Served:
    """Serve the load. `front_end` says how long requests take from the client to the scheduler: drawn, exponentially,
    since what one thread does for many clients is uneven; none: no time."""
    jobs, rng = load.jobs(), np.random.default_rng(load.seed + 1)
    replica, sent = Replica(steps, engine), np.zeros(len(jobs))
    arrivals: list[tuple[float, int]] = []
    held: list[Job] = []
    release_s = decoding_s = 0.0

    def send(i: int, now: float) -> None:
        sent[i] = now
        delay_s = 0.0
        if front_end is not None:
            uneven_s = front_end.request + front_end.request_stream * load.concurrency
            delay_s = uneven_s * float(rng.exponential()) + front_end.request_token * jobs[i].prompt_tokens
        heapq.heappush(arrivals, (now + delay_s, i))

    warm, now = load.warm_up * load.concurrency, 0.0
    for begin, end in ((0, warm), (warm, len(jobs))):
        begin_s, busy_s, next_one = now, replica.busy_s, min(begin + load.concurrency, end)
        for i in range(begin, next_one):
            send(i, now)
        while arrivals or held or replica.outstanding:
            now, arrival_s = replica.next_s(), arrivals[0][0] if arrivals else math.inf
            if held and release_s <= min(now, arrival_s):
                now = release_s
            elif arrival_s <= now:
                now, i = heapq.heappop(arrivals)
                held.append(jobs[i])
                if load.wait_steps:
                    replica.catch_up(now)
                    start_s, end_s, run, chunks = replica.current_run
                    decoding_s = (end_s - start_s) / run if run and not chunks else decoding_s
                    if run and decoding_s:
                        release_s = now + load.wait_steps * decoding_s if len(held) == 1 else release_s
                        continue
            else:
                for job in replica.advance(now):
                    if next_one < end:
                        send(next_one, job.t_finished_s)
                        next_one += 1
                continue
            for job in held:
                replica.add(job, now)
            held.clear()
    jobs, sent = jobs[warm:], sent[warm:]
    first = np.array([job.t_first_token_s for job in jobs])
    last = np.array([job.t_finished_s for job in jobs])
    tokens = np.array([job.output_tokens for job in jobs])
    span = float(last.max()) - begin_s
    return Served(
        float((first - sent).mean()),
        float(((last - first) / (tokens - 1)).mean()),
        float((last - sent).mean()),
        len(jobs) / span,
        float(tokens.sum()) / span,
        replica.busy_s - busy_s,
        span,
        float(sum(job.prompt_tokens - job.cached_tokens for job in jobs) + (tokens - 1).sum()),
    )
