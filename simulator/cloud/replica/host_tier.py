"""A tier of KV cache in host memory: prefixes that the GPUs' memory no longer holds come back over a link.

As LMCache and vLLM's offloading: when a job lets go of its prefix, its blocks are written to host memory beside the
computation. Host memory drops the least recently used prefixes, of each the last blocks first. What a waiting prompt
finds there is brought in by the step that admits it, if that is quicker than to compute it.
"""

from collections import OrderedDict
from collections.abc import Hashable

from fleetrec.simulator.cloud.hardware.step_time import Batch, StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine, Job
from fleetrec.simulator.cloud.replica.kv_allocation import JobMemory


class HostMemory:
    """How many blocks it holds of each prefix's chain, from the first on; the least recently used chain first."""

    __slots__ = ("_held", "blocks", "used")

    def __init__(self, blocks: int):
        self.blocks, self.used = blocks, 0
        self._held: OrderedDict[Hashable, int] = OrderedDict()

    def resident(self, key: Hashable) -> int:
        """Blocks of the chain that it holds."""
        return self._held.get(key, 0)

    def store(self, key: Hashable, blocks: int) -> None:
        """The first `blocks` of the chain are used: it holds them from now on, as far as there is room."""
        before = self._held.pop(key, 0)
        self._held[key] = max(before, blocks)
        self.used += self._held[key] - before
        while self.used > self.blocks:
            oldest, held = next(iter(self._held.items()))
            dropped = min(held, self.used - self.blocks)
            self.used -= dropped
            if dropped < held:
                self._held[oldest] = held - dropped
            else:
                del self._held[oldest]


class TieredMemory(JobMemory):
    """The blocks of a replica with a tier in host memory behind them."""

    __slots__ = ("_block_s", "_brought", "_timing", "host")

    def __init__(self, engine: Engine, timing: StepTime):
        super().__init__(engine)
        self.host = HostMemory(engine.host_blocks)
        self._block_s, self._timing = engine.host_block_s, timing
        self._brought = 0  # blocks, by the step at hand

    def admit(self, job: Job) -> bool:
        """See JobMemory; what is brought in takes free blocks like what is computed."""
        if not super().admit(job):
            return False
        if job.prefix is not None:
            key, held = job.prefix[0], job._shared
            usable = self.usable(job.prefix[1], job.prompt_tokens, job._prefill, self.host.resident(key))
            if usable > held and self._quicker(job._prefill, held, usable):
                self.host.store(key, usable)
                self._brought += usable - held
                job._computed = usable * self._block
                if not job.preemptions:
                    job.cached_tokens = job._computed
        return True

    def _quicker(self, prefill: int, held: int, usable: int) -> bool:
        """Whether bringing blocks `held` .. `usable` in takes less than computing them, in one step of that prompt."""
        without_s, with_s = (self._timing.at(_rest(prefill, blocks * self._block)) for blocks in (held, usable))
        return (usable - held) * self._block_s < without_s - with_s

    def bringing_s(self) -> float:
        """Seconds that the blocks take on the link which were brought in since this was last asked."""
        blocks, self._brought = self._brought, 0
        return blocks * self._block_s

    def cached_blocks(self, prefix: tuple[Hashable, int], prompt: int) -> int:
        """See JobMemory; those in host memory too."""
        key, tokens = prefix
        return max(super().cached_blocks(prefix, prompt), self.usable(tokens, prompt, prompt, self.host.resident(key)))

    def release(self, job: Job, resumes_from: int) -> None:
        """See JobMemory; host memory gets what it has computed of its prefix."""
        if job.prefix is not None and job._shared:
            self.host.store(job.prefix[0], job._shared)
        super().release(job, resumes_from)


def _rest(prefill: int, cached: int) -> Batch:
    """A step that computes what is left of a prompt."""
    return Batch(prefill - cached, 1, prefill, (prefill * (prefill + 1) - cached * (cached + 1)) / 2)
