"""Blocks of KV cache of a replica, and which free ones still hold a prefix that a later prompt may reuse.

As in vLLM V1: a free block keeps its content until it is taken again; blocks are taken in the order in which they were
given back, a request's last block first. Blocks are counted by chain (the prompts of one key, each the beginning of the
next), not one by one.
"""

from collections import deque
from collections.abc import Hashable


class _Segment:
    """Free blocks low .. high - 1 of a chain, given back together; without a chain, blocks that hold nothing of use."""

    __slots__ = ("chain", "high", "low")

    def __init__(self, chain: "_Chain | None", low: int, high: int):
        self.chain, self.low, self.high = chain, low, high


class _Chain:
    """The blocks of one key's prompts: the first `resident` of them are in memory, held or free."""

    __slots__ = ("free", "holders", "key", "resident")

    def __init__(self, key: Hashable):
        self.key = key
        self.resident = 0
        self.holders: list[int] = []  # how many blocks each running job holds, from the first on
        self.free: list[_Segment] = []  # those of its segments that are not empty


class KvCache:
    """Counts of blocks; `free` is what may be taken, cached prefixes included."""

    __slots__ = ("_chains", "_emptied", "_queue", "blocks", "caching", "free")

    def __init__(self, blocks: int, caching: bool = False):
        self.blocks = self.free = blocks
        self.caching = caching
        self._chains: dict[Hashable, _Chain] = {}
        self._queue: deque[_Segment] = deque([_Segment(None, 0, blocks)])
        self._emptied = 0  # segments of the queue that reuse has emptied

    def take(self, blocks: int) -> None:
        """Take free blocks, those given back longest ago first; what they held is lost."""
        self.free -= blocks
        if not self.caching:
            return
        queue = self._queue
        while blocks:
            segment = queue[0]
            there, chain = segment.high - segment.low, segment.chain
            if blocks < there:
                segment.high -= blocks
                blocks = 0
            else:
                segment.high = segment.low
                blocks -= there
                queue.popleft()
                if not there:
                    self._emptied -= 1
                    continue
            if chain is not None:
                if segment.high < chain.resident:
                    chain.resident = segment.high
                if segment.low == segment.high:
                    chain.free.remove(segment)
                    self._forget(chain)

    def give(self, blocks: int) -> None:
        """Give back blocks whose content no prompt will ask for."""
        self.free += blocks
        if self.caching and blocks:
            self._queue.append(_Segment(None, 0, blocks))

    def keep(self, key: Hashable, blocks: int) -> None:
        """Give back blocks that are the first `blocks` of the new chain `key`."""
        if blocks:
            chain = self._chains[key] = _Chain(key)
            chain.resident = blocks
            self._put_back(chain, 0, blocks)

    def resident(self, key: Hashable) -> int:
        """Blocks of the chain that are in memory, from its first on."""
        chain = self._chains.get(key)
        return 0 if chain is None else chain.resident

    def free_among(self, key: Hashable, blocks: int) -> int:
        """How many of the chain's first `blocks` no job holds: using them lowers `free`."""
        chain = self._chains.get(key)
        if chain is None:
            return 0
        held = max(chain.holders) if chain.holders else 0
        return blocks - held if blocks > held else 0

    def hold(self, key: Hashable, blocks: int) -> None:
        """A job holds the first `blocks` of the chain, which are resident."""
        chain = self._chains.get(key)
        if chain is None:
            chain = self._chains[key] = _Chain(key)
        chain.holders.append(blocks)
        if not blocks or not chain.free:
            return
        for segment in list(chain.free):
            if segment.low < blocks:
                low = min(blocks, segment.high)
                self.free -= low - segment.low
                segment.low = low
                if low == segment.high:
                    chain.free.remove(segment)
                    self._emptied += 1
        if self._emptied > 64 and 2 * self._emptied > len(self._queue):
            self._queue = deque(segment for segment in self._queue if segment.low < segment.high)
            self._emptied = 0

    def extend(self, key: Hashable, held: int, blocks: int) -> bool:
        """A job that holds `held` blocks of the chain has computed more, up to `blocks`; False where others have too,
        so that its own are of no use."""
        chain = self._chains[key]
        if chain.resident != held:
            return False
        chain.holders[chain.holders.index(held)] = blocks
        chain.resident = blocks
        return True

    def drop(self, key: Hashable, held: int) -> None:
        """A job that holds `held` blocks of the chain lets go of them."""
        chain = self._chains[key]
        holders = chain.holders
        holders.remove(held)
        others = max(holders) if holders else 0
        if held > others:
            self._put_back(chain, others, held)
        elif not holders:
            self._forget(chain)

    def claim(self, key: Hashable, blocks: int) -> None:
        """Take the first `blocks` of the chain, with what they hold, for good; the rest of it holds nothing of use."""
        self.hold(key, blocks)
        chain = self._chains.pop(key)
        for segment in chain.free:
            segment.chain = None

    def _put_back(self, chain: _Chain, low: int, high: int) -> None:
        segment = _Segment(chain, low, high)
        self.free += high - low
        self._queue.append(segment)
        chain.free.append(segment)

    def _forget(self, chain: _Chain) -> None:
        if not chain.resident and not chain.holders:
            self._chains.pop(chain.key, None)
