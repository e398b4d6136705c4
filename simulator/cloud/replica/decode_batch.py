"""The sequences of a replica that decode, one token each a step: counted, so that many steps cost as much as one.

All contexts grow together. A sequence opens a KV block when its context is a multiple of the block size, so what the
next steps need follows from how many sequences there are of each phase of that cycle.
"""

from heapq import heappop, heappush

from fleetrec.simulator.cloud.hardware.beam_steps import NO_BEAMS
from fleetrec.simulator.cloud.hardware.step_time import Batch, Run, StepTime
from fleetrec.simulator.cloud.replica.jobs import Job

Chunks = tuple[int, int, int, int]
"""What a step holds of prompts, as `Batch` has it: tokens, prompts that end, context read and pairs."""


class Decoding:
    """The batch's decoding part, and the number of the step that it is at."""

    __slots__ = (
        "_block",
        "_finishing",
        "_phases",
        "_searches",
        "_timing",
        "beams",
        "context",
        "each",
        "sequences",
        "step",
    )

    def __init__(self, timing: StepTime, block_tokens: int):
        self.step = 0
        self.sequences = 0
        self.each = 1  # tokens of a sequence that pass through the weights in a step
        self.context: float = 0  # tokens of KV cache, over all sequences
        self.beams = NO_BEAMS  # counted where they cost something beyond so many sequences
        self._timing = timing
        self._searches = timing.beams is not None
        self._block = block_tokens
        self._phases = [0] * block_tokens  # sequences by the step, modulo block size, that opens a block
        # heap of (last step, number, preemptions, job); entries from before a preemption stay until they surface
        self._finishing: list[tuple[int, int, int, Job]] = []

    def join(self, job: Job, generated: int) -> None:
        """`job` has its prompt and `generated` tokens of each sequence."""
        job._finish_step = self.step + job.output_tokens - generated
        heappush(self._finishing, (job._finish_step, job._number, job.preemptions, job))
        self._count(job, job.prompt_tokens + generated - 1, 1)

    def leave(self, job: Job) -> None:
        """`job` decodes no more; it then knows what it has generated and which blocks it holds."""
        job._generated = job.output_tokens - (job._finish_step - self.step)
        context = job.prompt_tokens + job._generated - 1
        self._count(job, context, -1)
        job._blocks = job.blocks_at(context, self._block) - job._shared

    def _count(self, job: Job, context: int, sign: int) -> None:
        sequences = sign * job.sequences
        self.sequences += sequences
        self.context += sequences * context
        self._phases[(self.step - context) % self._block] += sequences
        if self._searches and job.sequences > 1:
            self.beams = self.beams.joined(job.prompt_tokens, job.sequences, sign)

    def at(self, chunks: Chunks) -> float:
        """Seconds of a step of it that holds prompt chunks too."""
        n, context = self.sequences, self.context + self.sequences
        tokens, ends, read, pairs = chunks
        return self._timing.at(Batch(n + tokens, n + ends, context + read, context + pairs, self.beams))

    def prompts_s(self, chunks: Chunks) -> float:
        """Seconds of a step of prompt chunks alone."""
        return self._timing.at(Batch(*chunks))

    def run(self) -> Run:
        """The steps that follow, as long as nobody joins or leaves."""
        return self._timing.decoding(self.sequences, self.context + self.sequences, self.beams)

    def advance(self, steps: int) -> None:
        """`steps` steps are over: every sequence has got as many more tokens."""
        self.step += steps
        self.context += self.sequences * steps

    def steps_to_finish(self) -> int:
        """Steps until the next job has all its tokens. There must be a job."""
        while True:
            finish_step, _, preemptions, job = self._finishing[0]
            if job._state == "decode" and job.preemptions == preemptions:
                return finish_step - self.step
            heappop(self._finishing)

    def jobs(self) -> list[Job]:
        """Those that decode."""
        entries = self._finishing
        return [job for _, _, times, job in entries if job._state == "decode" and job.preemptions == times]

    def finished(self) -> list[Job]:
        """The jobs that have all their tokens, in order of arrival; they are still to leave."""
        jobs = []
        while self._finishing and self._finishing[0][0] <= self.step:
            _, _, preemptions, job = heappop(self._finishing)
            if job._state == "decode" and job.preemptions == preemptions:
                jobs.append(job)
        return jobs

    def run_after_joining(self, jobs: list[Job], free: int) -> tuple[Run, int] | None:
        """What follows one more step, where `jobs` (at least one) have their prompts then and join: the run of steps
        until a job has all its tokens. None where `free` blocks may not do for it, or there is no such step."""
        sequences, context, beams = self.sequences, self.context + self.sequences, self.beams
        steps = self.steps_to_finish() - 1 if sequences else jobs[0].output_tokens
        for job in jobs:
            sequences += job.sequences
            context += job.sequences * (job.prompt_tokens + job._generated)
            if self._searches and job.sequences > 1:
                beams = beams.joined(job.prompt_tokens, job.sequences)
            steps = min(steps, job.output_tokens - job._generated - 1)
        if steps <= 0 or sequences * -(-steps // self._block) > free:
            return None
        return self._timing.decoding(sequences, context + sequences, beams), steps

    def steps_within(self, free: int) -> int:
        """Steps until the next job has all its tokens, or before more than `free` blocks are taken by those after the
        first."""
        steps = self.steps_to_finish()
        if self.sequences * -(-steps // self._block) > free:
            steps = min(steps, self.steps_in(free + self.blocks_of_next_step))
        return steps

    @property
    def blocks_of_next_step(self) -> int:
        """Blocks that the next step takes."""
        return self._phases[self.step % self._block]

    def blocks_after_first(self, steps: int) -> int:
        """Blocks that the next `steps` steps open, the first of them aside."""
        cycles, rest = divmod(steps - 1, self._block)
        first = (self.step + 1) % self._block
        end = first + rest
        opened = sum(self._phases[first:end]) if rest else 0
        if end > self._block:
            opened += sum(self._phases[: end - self._block])
        return cycles * self.sequences + opened

    def steps_in(self, blocks: int) -> int:
        """The most steps that open no more than `blocks` blocks."""
        cycles, left = divmod(blocks, self.sequences)
        for k in range(self._block):
            left -= self._phases[(self.step + k) % self._block]
            if left < 0:
                return cycles * self._block + k
        return (cycles + 1) * self._block
