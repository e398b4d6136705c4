"""KV-cache blocks of a replica by job: how many it needs, what of its prompt is cached, and what it leaves behind."""

from collections.abc import Hashable

from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.kv_cache import KvCache


class JobMemory(KvCache):
    """The blocks that jobs hold: those of their prefix's chain, counted once for all that share them, and their own."""

    __slots__ = ("_answers", "_block", "_drafts", "_reserved")

    def __init__(self, engine: Engine):
        super().__init__(engine.kv_blocks, engine.prefix_caching)
        self._block = engine.block_tokens
        self._answers = engine.reserve_output  # whole ones are reserved
        self._drafts = 0 if engine.drafter is None else engine.drafter.tokens
        self._reserved = 0

    def prefill_blocks(self, job: Job, computed: int) -> int:
        """Blocks once `computed` tokens are prefilled; beams get theirs with the last chunk."""
        if computed < job._prefill:
            return -(-computed // self._block)
        return job.blocks_at(job.prompt_tokens + job._generated, self._block)

    def admit(self, job: Job) -> bool:
        """Let a job in, with what is cached of it, if its whole prompt fits the free blocks."""
        if self._answers and self._reserved + self._whole(job) > self.blocks:
            return False
        needed = job.blocks_at(job.prompt_tokens + job._generated, self._block)
        if not self.caching:
            if needed > self.free:
                return False
            if self._answers:
                self._reserved += self._whole(job)
            job._shared = job._blocks = job._computed = 0
            return True
        shared, own = self._cached(job)
        needed -= shared
        if shared and job.prefix is not None and needed <= self.free:
            needed += self.free_among(job.prefix[0], shared)
        if needed > self.free:
            return False
        if self._answers:
            self._reserved += self._whole(job)
        if job.prefix is not None:
            self.hold(job.prefix[0], shared)
        if job.preemptions:
            self.claim(job, own)
        elif shared:
            job.cached_tokens = shared * self._block
        job._shared, job._blocks = shared, own
        job._computed = (shared + own) * self._block
        return True

    def _whole(self, job: Job) -> int:
        """Blocks that a job comes to hold at most; none of its prefix's are taken to be there."""
        drafts = self._drafts if job.output_tokens > 1 else 0
        return job.blocks_at(job.prompt_tokens + max(job.output_tokens, 1) - 1 + drafts, self._block)

    def _cached(self, job: Job) -> tuple[int, int]:
        """Blocks of a waiting job's tokens that are in memory: of its prefix's chain, and of its own before preemption.
        At least one token is left to compute."""
        shared, prefix = 0, job.prefix
        if prefix is not None:
            shared = self.usable(prefix[1], job.prompt_tokens, job._prefill, self.resident(prefix[0]))
        if not job.preemptions or (prefix is not None and shared < min(prefix[1], job.prompt_tokens) // self._block):
            return shared, 0
        return shared, min((job._prefill - 1) // self._block - shared, self.resident(job))

    def cached_blocks(self, prefix: tuple[Hashable, int], prompt: int) -> int:
        """Blocks that a prompt with this prefix need not compute now."""
        key, tokens = prefix
        return self.usable(tokens, prompt, prompt, self.resident(key))

    def usable(self, prefix: int, prompt: int, prefill: int, resident: int) -> int:
        """How many of a chain's `resident` first blocks a prompt may use that shares `prefix` tokens with it; of the
        `prefill` tokens that it computes without them at least one is left."""
        if not resident:
            return 0
        block = self._block
        return min(prefix // block, prompt // block, (prefill - 1) // block, resident)

    def hold_chunk(self, job: Job, end: int) -> None:
        """Take the blocks of a prompt chunk up to token `end`."""
        total = self.prefill_blocks(job, end)
        self.take(total - job._blocks - job._shared)
        if self.caching and job.prefix is not None:
            shared = min(job.prefix[1], job.prompt_tokens, end) // self._block
            if shared > job._shared and self.extend(job.prefix[0], job._shared, shared):
                job._shared = shared
        job._blocks = total - job._shared
        job._computed = end

    def release(self, job: Job, resumes_from: int) -> None:
        """Give back a job's blocks; one that will resume may find its first `resumes_from` tokens again (not beams)."""
        if self._answers:
            self._reserved -= self._whole(job)
        if not self.caching:
            self.free += job._blocks
        elif not resumes_from:
            self.give(job._blocks)
            if job.prefix is not None:
                self.drop(job.prefix[0], job._shared)
        else:
            full = resumes_from // self._block - job._shared if job.sequences == 1 else 0
            prefix = 0 if job.prefix is None else min(job.prefix[1], job.prompt_tokens) // self._block
            copies = min(max(prefix - job._shared, 0), full)  # of a prefix that others have computed too
            self.give(job._blocks - full)
            self.keep(job, full - copies)
            self.give(copies)
            if job.prefix is not None:
                self.drop(job.prefix[0], job._shared)
        job._blocks = job._shared = 0
