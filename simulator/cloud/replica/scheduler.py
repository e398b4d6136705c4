"""What a replica's next steps hold: the running sequences' next tokens first, then chunks of waiting prompts, within
the token budget, the limit of sequences and the KV-cache blocks. Where blocks run out, the last in order is preempted.
"""

import math
from heapq import heappop, heappush
from typing import Literal

from fleetrec.simulator.cloud.hardware.step_time import Run, StepTime
from fleetrec.simulator.cloud.replica.decode_batch import Chunks, Decoding
from fleetrec.simulator.cloud.replica.host_tier import TieredMemory
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.kv_allocation import JobMemory
from fleetrec.simulator.cloud.replica.pace import Pace
from fleetrec.simulator.cloud.replica.speculation import Speculating


class Batching:
    """The jobs at a replica, and the run of steps at hand: how it ends (`_complete`) and the next begins (`_begin`)."""

    __slots__ = (
        "_clock",
        "_coming",
        "_decoding",
        "_end_s",
        "_fresh",
        "_held",
        "_leaving",
        "_left",
        "_line",
        "_memory",
        "_partial",
        "_paused",
        "_planned",
        "_prefills",
        "_run",
        "_separate",
        "_start_s",
        "_steps",
        "busy_s",
        "engine",
        "outstanding",
        "pace",
        "preemptions",
        "running",
        "timing",
        "tokens_computed",
        "waiting",
    )

    def __init__(self, timing: StepTime, engine: Engine):
        self.timing, self.engine = timing, engine
        self.pace: Pace | None = None  # how fast it is from moment to moment; None: always as `timing` says
        self._separate = engine.separate_prefill
        self.busy_s = 0.0
        self.tokens_computed = 0  # that passed through the weights, recomputation included
        self.preemptions = 0
        self._clock = 0.0  # grows by elapsed time over running sequences
        self._empty()

    def _empty(self) -> None:
        """Nothing waits, nothing runs, nothing is in memory."""
        engine = self.engine
        self.outstanding = 0  # jobs that wait or run
        self.waiting = 0
        self.running = 0  # sequences, as `max_sequences` counts them
        self._memory = TieredMemory(engine, self.timing) if engine.host_blocks else JobMemory(engine)
        self._line: list[tuple[float, int, Job]] = []  # heap; removed jobs stay until they surface
        self._fresh: list[Job] = []  # added and not yet seen by the scheduler
        self._coming: dict[Job, None] = {}  # expected: their KV cache is on its way
        if engine.drafter is None:
            self._decoding = Decoding(self.timing, engine.block_tokens)
        else:
            self._decoding = Speculating(self.timing, engine.block_tokens, engine.drafter)
        self._partial: Job | None = None  # the job whose prompt is cut by the token budget
        self._paused = False  # the step at hand is of prompts alone, and those that decode wait for it
        self._prefills: list[Job] = []  # jobs with a chunk in the step at hand
        self._leaving: list[Job] = []  # running jobs to be dropped at the next boundary
        self._held: list[Job] = []  # asynchronous: finished, memory not yet given back
        self._start_s = 0.0  # of the run of steps at hand
        self._end_s = math.inf
        self._steps = 0
        self._run: Run | None = None  # None: one step with prompt chunks
        # What follows that step, its steps and its end, if nothing comes between and nobody is told of the step's end.
        self._planned: tuple[Run, int, float] | None = None
        self._left: list[Job] = []

    @property
    def running_jobs(self) -> list[Job]:
        """Those that have left the line and not the batch."""
        jobs = [*self._prefills, *self._decoding.jobs()]
        if self._partial is not None and self._partial not in self._prefills:
            jobs.append(self._partial)
        return jobs

    def _head(self) -> Job | None:
        while self._line:
            job = self._line[0][2]
            if job._state == "waiting":
                return job
            heappop(self._line)
        return None

    # The end of a run

    def _complete(self) -> None:
        """Account for the run that ends now: tokens, memory, jobs that finish or leave."""
        steps, end = self._steps, self._end_s
        if steps:
            elapsed = end - self._start_s
            self.busy_s += elapsed
            self._clock += elapsed / self.running_now
        if self._held:
            self._release_held()
        if steps:
            decoding = self._decoding
            if self._paused:
                self._paused = False
            else:
                if steps > 1:
                    self._memory.take(decoding.blocks_after_first(steps))  # those of the first step are taken
                decoding.advance(steps)
                self.tokens_computed += decoding.sequences * decoding.each * steps
            if self._prefills:
                for job in self._prefills:
                    self._chunk_done(job, end)
                self._prefills.clear()
            for job in decoding.finished():
                decoding.leave(job)
                self._finish(job, end)
        if self._leaving:
            self._remove_leaving(end)
        if self._held and not self.engine.async_scheduling:
            self._release_held()

    def _remove_leaving(self, end: float) -> None:
        for job in self._leaving:
            if job._state == "decode":
                self._decoding.leave(job)
            elif job._state != "prefill":
                continue
            self._leave_batch(job, end, "removed")
            self._release(job)
        self._leaving.clear()

    def _chunk_done(self, job: Job, end: float) -> None:
        if job._computed < job._prefill:
            self._partial = job
            return
        if job is self._partial:
            self._partial = None
        if math.isnan(job.t_first_token_s):
            job.t_first_token_s = end
        generated = job._generated + 1
        if generated >= job.output_tokens:
            self._finish(job, end)
            return
        job._state = "decode"
        self._decoding.join(job, generated)

    def _finish(self, job: Job, end: float) -> None:
        self._leave_batch(job, end, "finished")
        self._held.append(job)

    def _leave_batch(self, job: Job, end: float, state: Literal["finished", "removed", "waiting"]) -> None:
        if job is self._partial:
            self._partial = None
        job.busy_share_s += job.sequences * (self._clock - job._clock)
        job._state = state
        if state != "waiting":
            job.t_finished_s = end
            self.outstanding -= 1
            self._left.append(job)

    def _release_held(self) -> None:
        for job in self._held:
            if job.role == "prefill":
                self.running -= job.sequences  # its blocks are held until they are sent
            else:
                self._release(job)
        self._held.clear()

    def _release(self, job: Job, resumes_from: int = 0) -> None:
        self._memory.release(job, resumes_from)
        self.running -= job.sequences

    # The start of a run

    @property
    def running_now(self) -> int:
        """Sequences that are being served."""
        if not self._held:
            return self.running
        return self.running - sum(job.sequences for job in self._held)

    def _see(self, until_s: float) -> bool:
        """Let the scheduler see what was added up to `until_s`."""
        fresh, self._fresh = self._fresh, []
        seen = False
        for job in fresh:
            if job.t_added_s > until_s:
                self._fresh.append(job)
            elif job._state == "waiting":
                heappush(self._line, (job._key, job._number, job))
                seen = True
        return seen

    def _begin(self) -> None:
        """Compose what runs next and set when it ends."""
        now = self._end_s
        if self._planned is not None:  # nothing has come between
            self._memory.take(self._decoding.blocks_of_next_step)
            self._start_s, (self._run, self._steps, self._end_s) = now, self._planned
            self._planned = None
            return
        if self._fresh:
            pipelined = self.engine.async_scheduling and self._steps > 0
            self._see(now if not pipelined else self._last_step_s())
        batch, decoding, preempted = None, self._decoding, False
        if self._separate:
            batch = self._chunks(admit=True)
            self._paused = batch is not None
        if batch is None:
            preempted = self._make_room()
            batch = self._chunks(admit=not preempted)
        if not self._prefills and not decoding.sequences and (self._held or self._fresh):
            self._release_held()  # nothing runs: the scheduler has caught up
            self._see(now)
            batch = self._chunks(admit=True)
        self._start_s = now
        if batch is not None:
            self._run = None
            self._steps = 1
            if self._fresh:
                self._see(now)
            seconds = decoding.prompts_s(batch) if self._paused else decoding.at(batch)
            if isinstance(self._memory, TieredMemory):
                seconds += self._memory.bringing_s()
            self._end_s = self._done_s(now, seconds)
            last = self._prefills[-1]
            joins = not (self.waiting or self._held or last._computed < last._prefill or self.engine.async_scheduling)
            if joins and not self._paused:
                self._plan()
        elif decoding.sequences:
            changes = (bool(self._fresh) and self._see(now)) or preempted or bool(self._held)
            self._run = decoding.run()
            joining = self.waiting > len(self._coming)
            self._steps = 1 if changes and joining else decoding.steps_within(self._memory.free)
            self._end_s = self._done_s(now, self._run.seconds(self._steps))
        else:
            self._steps = 0
            self._end_s = math.inf

    def _last_step_s(self) -> float:
        """When the last step of the run that has ended began: asynchronous engines composed the next step then."""
        return self._start_s if self._run is None else self._done_s(self._start_s, self._run.seconds(self._steps - 1))

    def _done_s(self, start_s: float, seconds: float) -> float:
        """When steps that take so many seconds are done, if they begin then."""
        return start_s + seconds if self.pace is None else self.pace.end_s(start_s, seconds)

    def _worked_s(self, now: float) -> float:
        """Seconds of the run of steps at hand that are over, as its step times count them."""
        return now - self._start_s if self.pace is None else self.pace.work_s(self._start_s, now)

    def _plan(self) -> None:
        """A step of whole prompts runs, and nothing waits: see whether all of them decode next, with the others, until
        one has all its tokens."""
        follows = self._decoding.run_after_joining(self._prefills, self._memory.free)
        if follows is not None:
            run, steps = follows
            self._planned = run, steps, self._done_s(self._end_s, run.seconds(steps))

    def _make_room(self) -> bool:
        """Preempt the last in order until the next step's blocks are there; True where any was."""
        preempted = False
        while self._decoding.sequences or self._partial is not None:
            needed = opened = self._decoding.blocks_of_next_step
            if self._partial is not None:
                job = self._partial
                budget = self.engine.max_batched_tokens - self._decoding.sequences * self._decoding.each
                end = min(job._prefill, job._computed + budget)
                needed += self._memory.prefill_blocks(job, end) - job._blocks - job._shared
            if needed <= self._memory.free:
                self._memory.take(opened)
                return preempted
            victim = max(self.running_jobs, key=_place)
            decoded = victim._state == "decode"
            if decoded:
                self._decoding.leave(victim)
            self._leave_batch(victim, self._end_s, "waiting")
            self._release(victim, victim.prompt_tokens + victim._generated - 1 if decoded else victim._computed)
            victim.preemptions += 1
            victim._prefill = victim.prompt_tokens + victim.sequences * victim._generated
            self.preemptions += 1
            self.waiting += 1
            heappush(self._line, (victim._key, victim._number, victim))
            preempted = True
        return preempted

    def _chunks(self, admit: bool) -> Chunks | None:
        """Take prompt chunks into the next step, and admit from the line if told to: what it then holds of them, or
        None where there are none."""
        job = self._partial
        if job is None and not (admit and self._line):
            return None
        budget = self.engine.max_batched_tokens
        if not self._separate:
            budget -= self._decoding.sequences * self._decoding.each
        tokens = ends = context = pairs = 0
        while True:
            if job is None:
                job = self._head() if admit and budget > 0 else None
                if job is None or not self._admit(job, budget):
                    break
                if job._state == "decode":
                    budget -= job.sequences
                    job = None
                    continue
            start = job._computed
            end = min(job._prefill, start + budget)
            chunk = end - start
            if chunk > 0:
                self._memory.hold_chunk(job, end)
                budget -= chunk
                tokens += chunk
                context += end
                pairs += (end * (end + 1) - start * (start + 1)) // 2
                ends += end == job._prefill
                self._prefills.append(job)
            job = None
        if not self._prefills:
            return None
        self.tokens_computed += tokens
        return tokens, ends, context, pairs

    def _admit(self, job: Job, budget: int) -> bool:
        """Move the head of the line into the batch, if its whole prompt fits the free memory. One whose prompt was
        computed elsewhere decodes at once, unless it has been preempted, where it computes all anew."""
        if self.running + job.sequences > self.engine.max_sequences:
            return False
        decodes = job.role == "decode" and not job.preemptions
        if decodes and job.sequences > budget:
            return False
        if not self._memory.admit(job):
            return False
        heappop(self._line)
        self.waiting -= 1
        self.running += job.sequences
        job._clock = self._clock
        job._state = "prefill"
        if math.isnan(job.t_started_s):
            job.t_started_s = self._end_s
        if decodes:
            self._memory.hold_chunk(job, job._prefill)
            job._state = "decode"
            self._decoding.join(job, job._generated)
        return True


def _place(job: Job) -> tuple[float, int]:
    """Where it stands in the order."""
    return job._key, job._number
