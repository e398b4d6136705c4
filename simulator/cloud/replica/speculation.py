"""The decoding part of a batch whose steps verify drafts: many steps still cost as much as one.

How many steps a request's tokens take is known when it comes (drawn, see verify_steps.py). In between its tokens come
evenly, so contexts grow by a fixed part of a token a step; blocks hold whole tokens, and at each step all its drafts.
"""

from heapq import heappush

from fleetrec.simulator.cloud.hardware.step_time import Run, StepTime
from fleetrec.simulator.cloud.hardware.verify_time import VerifyTime
from fleetrec.simulator.cloud.replica.decode_batch import Chunks, Decoding
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.jobs import Job

_FORGET = 4096  # steps after which those before are dropped


class Speculating(Decoding):
    """See Decoding; every job is one sequence."""

    __slots__ = ("_first", "_growth", "_opened", "_verifying")

    def __init__(self, timing: StepTime, block_tokens: int, drafter: Drafter):
        super().__init__(timing, block_tokens)
        self._verifying = VerifyTime(timing, drafter.tokens, drafter.steps, drafter.lookup_s)
        self.each = drafter.tokens + 1
        self._growth = 0.0  # of the context, tokens a step
        self._opened: list[int] = []  # blocks that steps open, from step `_first` on
        self._first = 0

    def join(self, job: Job, generated: int) -> None:
        tokens, context, steps = job.output_tokens - generated, job.prompt_tokens + generated - 1, job.decode_steps
        if generated > 1:  # it was preempted: the rest takes its part of the steps
            steps = -(-tokens * steps // (job.output_tokens - 1))
        now = self.step
        job._generated, job._joined_step, job._finish_step = generated, now, now + steps
        heappush(self._finishing, (now + steps, job._number, job.preemptions, job))
        self.sequences += 1
        self.context += context
        self._growth += tokens / steps
        missing = now + steps - self._first - len(self._opened)
        if missing > 0:
            self._opened.extend([0] * missing)
        self._open(now, context, tokens, steps, 0, 1)

    def leave(self, job: Job) -> None:
        joined, tokens = job._joined_step, job.output_tokens - job._generated
        done, steps, context = self.step - joined, job._finish_step - joined, job.prompt_tokens + job._generated - 1
        held = context + (done - 1) * tokens // steps + self.each if done else context
        job._blocks = job.blocks_at(held, self._block) - job._shared
        if done < steps:
            self._open(joined, context, tokens, steps, done, -1)
        self.sequences -= 1
        self.context -= context + done * (tokens / steps)
        self._growth -= tokens / steps
        if not self.sequences:
            self.context = self._growth = 0.0
        job._generated += done * tokens // steps

    def _open(self, joined: int, context: int, tokens: int, steps: int, done: int, sign: int) -> None:
        """Count the blocks that the steps of a job open which came with `context` tokens and gets `tokens` more in
        `steps` steps, after the first `done`."""
        block, opened, at = self._block, self._opened, joined - self._first
        held = context + (done - 1) * tokens // steps + self.each if done else context
        before = block * -(-held // block) - context - self.each  # tokens that may have come, and no block is opened
        while before < done * tokens // steps:
            opened[at + done] += sign
            before += block
        for come in range(before + 1, (steps - 1) * tokens // steps + 1, block):
            opened[at - (-come * steps // tokens)] += sign

    def at(self, chunks: Chunks) -> float:
        return self._verifying.at(self.sequences, self.context, chunks)

    def prompts_s(self, chunks: Chunks) -> float:
        return self._verifying.at(0, 0.0, chunks)

    def run(self) -> Run:
        return self._verifying.run(self.sequences, self.context, self._growth)

    def advance(self, steps: int) -> None:
        self.step += steps
        self.context += self._growth * steps
        if self.step - self._first > _FORGET:
            del self._opened[: self.step - self._first]
            self._first = self.step

    def run_after_joining(self, jobs: list[Job], free: int) -> tuple[Run, int] | None:
        sequences, context, growth = self.sequences, self.context + self._growth, self._growth
        steps = self.steps_to_finish() - 1 if sequences else jobs[0].output_tokens
        for job in jobs:
            tokens = job.output_tokens - job._generated - 1
            if tokens <= 0:
                return None
            its = -(-tokens * job.decode_steps // (job.output_tokens - 1))
            sequences, context = sequences + 1, context + job.prompt_tokens + job._generated
            growth += tokens / its
            steps = min(steps, its)
        if steps <= 0 or sequences * -(-steps * self.each // self._block) > free:
            return None
        return self._verifying.run(sequences, context, growth), steps

    def steps_within(self, free: int) -> int:
        steps = self.steps_to_finish()
        if self.sequences * -(-steps * self.each // self._block) > free:
            free -= sum(self._opened[self.step + 1 - self._first : self.step + steps - self._first])
            while free < 0:
                steps -= 1
                free += self._opened[self.step + steps - self._first]
        return steps

    @property
    def blocks_of_next_step(self) -> int:
        at = self.step - self._first
        return self._opened[at] if at < len(self._opened) else 0

    def blocks_after_first(self, steps: int) -> int:
        at = self.step - self._first
        return sum(self._opened[at + 1 : at + steps])
