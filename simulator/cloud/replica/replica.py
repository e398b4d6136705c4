"""One replica of a model: iteration-level continuous batching as vLLM V1 does it, as a state machine without a clock.

Each step takes the running sequences' next tokens first, then chunks of waiting prompts, under a token budget, a limit
of sequences and of KV-cache blocks; where blocks run out the last in order is preempted and later recomputed. Steps in
which the same sequences decode are taken as one run in closed form, cut short where an arrival could join. The end of
a step of prompts after which nothing is told to anybody is met later, with what comes next (`catch_up`).
Idea: Orca (Yu et al., OSDI 2022) and the scheduler of vLLM V1.
"""

import math
from collections.abc import Hashable

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.scheduler import Batching

__all__ = ["Engine", "Job", "Replica"]


class Replica(Batching):
    """The state machine. The caller looks at `next_s()` after every call and calls `advance` at that time."""

    __slots__ = ("_numbers", "_order")

    def __init__(self, timing: StepTime, engine: Engine):
        super().__init__(timing, engine)
        self._order = engine.order.start()
        self._numbers = 0

    def next_s(self) -> float:
        """When `advance` must next be called; inf while idle."""
        return self._end_s if self._planned is None else self._planned[2]

    def catch_up(self, now: float) -> None:
        """Let happen what nobody is told of, up to just before `now`: what is read then is as of `now`."""
        while self._end_s < now:
            self._complete()
            self._begin()

    @property
    def current_run(self) -> tuple[float, float, int, int]:
        """The run of steps at hand: its start and end, its steps (0 while idle), and the prompt chunks in it."""
        return self._start_s, self._end_s, self._steps, len(self._prefills)

    @property
    def kv_blocks_used(self) -> int:
        """KV blocks held at the start of the run of steps at hand."""
        return self.engine.kv_blocks - self._memory.free

    @property
    def kv_share(self) -> float:
        """Share of the KV cache that is held."""
        return self.kv_blocks_used / self.engine.kv_blocks

    def cached_tokens(self, prefix: tuple[Hashable, int], prompt_tokens: int) -> int:
        """Tokens of a prompt with this prefix (see Job) that it need not compute; at least one is left."""
        return self._memory.cached_blocks(prefix, prompt_tokens) * self.engine.block_tokens

    @property
    def max_sequences(self) -> int:
        """Sequences that are served at once."""
        return self.engine.max_sequences

    def add(self, job: Job, now: float) -> None:
        """`job` joins the waiting line. InputError where it could not fit the KV cache or the batch even alone."""
        self._enlist(job, now)
        self._join(job, now)

    def expect(self, job: Job, now: float) -> None:
        """`job` will `arrive`, with a KV cache that is on its way: it counts among those that wait. InputError: see
        `add`."""
        self._enlist(job, now)
        self._coming[job] = None

    def arrive(self, job: Job, now: float) -> None:
        """`job`, which was expected, joins the waiting line, unless it has been removed."""
        self._come_to(now)
        if job in self._coming:
            del self._coming[job]
            self._join(job, now)

    def _enlist(self, job: Job, now: float) -> None:
        if self._end_s < now:
            self._come_to(now)
        engine = self.engine
        needed = engine.blocks_of(job)
        if needed > engine.kv_blocks:
            raise InputError(
                f"request of {job.prompt_tokens} prompt and {job.sequences} x {job.output_tokens} output tokens: it "
                f"needs {needed} KV-cache blocks of {engine.block_tokens} tokens and the replica has "
                f"{engine.kv_blocks}; shorten it, or use a GPU with more memory"
            )
        if job.sequences > engine.max_sequences:
            raise InputError(
                f"request of {job.sequences} sequences: the engine runs at most {engine.max_sequences}; "
                "lower the beams or raise max_sequences"
            )
        if job.sequences > 1 and engine.drafter is not None:
            raise InputError(f"request of {job.sequences} sequences: no drafts are verified for beams; leave one out")
        if job._state != "new":
            raise ValueError(f"a job is served once, and this one is {job._state}")
        job._state = "waiting"
        if engine.window_share:
            job._window_blocks = engine.window_blocks(job)
        job._number, job._key = self._numbers, self._order(job)
        self._numbers += 1
        self.outstanding += 1
        self.waiting += 1

    def _join(self, job: Job, now: float) -> None:
        job.t_added_s = now
        self._fresh.append(job)
        if self._end_s == math.inf:
            self._start_s = self._end_s = now
            self._steps = 0
        else:
            head = self._head() if self._line else None
            if head is None or (job._key, job._number) < (head._key, head._number):
                self._cut(now)

    def sent(self, job: Job, now: float) -> bool:
        """The KV cache of a prompt that ended here is where it goes on: its blocks are free. True where it now goes on
        with what waited for them."""
        self._come_to(now)
        self._memory.release(job, 0)
        waited = self._end_s == math.inf and self.waiting > 0
        if waited:
            self._start_s = self._end_s = now
            self._steps = 0
        return waited

    def remove(self, job: Job, now: float) -> bool:
        """`job` is withdrawn: it leaves the line at once, or the batch at the next step boundary, when `advance`
        returns it with its cost. False where it is not here any more."""
        self._come_to(now)
        if job._state == "waiting":
            job._state = "removed"
            self._coming.pop(job, None)
            job.t_finished_s = now
            self.waiting -= 1
            self.outstanding -= 1
            self._cut(now)
            return True
        if job._state in ("prefill", "decode") and job not in self._leaving:
            self._leaving.append(job)
            self._cut(now)
            return True
        return False

    def advance(self, now: float) -> list[Job]:
        """Run up to `now`; returns the jobs that left the batch (finished or removed), in order."""
        while self._end_s <= now:
            self._complete()
            self._begin()
        left = self._left
        if left:
            self._left = []
        return left

    def busy_until(self, now: float) -> float:
        """`busy_s` at `now`, the part of the run at hand included."""
        self.catch_up(now)
        return self.busy_s + (now - self._start_s if self._steps else 0.0)

    def share_until(self, job: Job, now: float) -> float:
        """The share of busy time, replica-seconds, of a job up to `now`."""
        self.catch_up(now)
        if job._state not in ("prefill", "decode"):
            return job.busy_share_s
        return job.busy_share_s + job.sequences * (self._clock_at(now) - job._clock)

    def halt(self, now: float) -> list[Job]:
        """Everything stops at `now`, as when the machine is lost: the jobs that were here, in order of arrival, with
        the busy time that they used. The replica is then as new, its memory empty; what it has counted stays."""
        self._come_to(now)
        self.busy_s, self._clock = self.busy_until(now), self._clock_at(now)
        running = self.running_jobs
        waiting = [job for _, _, job in self._line if job._state == "waiting"]
        waiting += [job for job in (*self._fresh, *self._coming) if job._state == "waiting"]
        if self._steps and self._run is not None and now > self._start_s:
            self._decoding.advance(self._run.steps_until(self._worked_s(now)) - 1)  # the last was not finished
        for job in running:
            job.busy_share_s += job.sequences * (self._clock - job._clock)
            if job._state == "decode":
                self._decoding.leave(job)
        jobs = sorted(running + waiting, key=lambda job: job._number)
        for job in jobs:
            job._state, job.t_finished_s = "removed", now
        self._empty()
        return jobs

    def _clock_at(self, now: float) -> float:
        return self._clock + (now - self._start_s) / self.running_now if self._steps else self._clock

    def _come_to(self, now: float) -> None:
        if self._end_s < now:
            if self.next_s() < now:
                raise ValueError(f"time {now}: advance to {self.next_s()} first")
            self.catch_up(now)

    def _cut(self, now: float) -> None:
        """Let the run at hand end at the first boundary at or after `now`."""
        self._planned = None
        if self._steps > 1 and self._run is not None:
            self._steps = min(self._steps, self._run.steps_until(self._worked_s(now)))
            self._end_s = self._done_s(self._start_s, self._run.seconds(self._steps))
            if self.pace is not None:  # whose sums are rounded
                self._end_s = max(self._end_s, now)
