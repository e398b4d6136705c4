"""A replica one step at a time, in plain lists: what `simulator.cloud.replica` must equal. Every KV block is an object
with a label, every sequence has a block table, every step is timed and added. Written apart from the code under test.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

from fleetrec.simulator.cloud.hardware.beam_steps import Beams
from fleetrec.simulator.cloud.hardware.step_time import Batch


@dataclass
class Ask:
    """One request of a test case."""

    at: float
    prompt: int
    output: int
    sequences: int = 1
    key: float = 0.0
    prefix: tuple | None = None
    removed_at: float | None = None
    steps: int | None = None
    """that its tokens after the first take, where drafts are verified"""
    received: bool = False  # it comes with its prompt and a first token, computed elsewhere


@dataclass
class Entry:
    number: int
    ask: Ask
    state: str = "future"
    computed: int = 0  # tokens of this admission's prefill, then context of each sequence
    generated: int = 0
    tables: list = field(default_factory=list)  # shared blocks first, then a list of blocks per sequence
    first: float | None = None
    left: float | None = None
    completed: bool = False
    labelled: int = 0
    preemptions: int = 0
    cached: int = 0
    share: float = 0.0
    context: Fraction = Fraction(0)  # tokens in memory while it decodes: they come evenly
    pace: Fraction = Fraction(1)  # tokens a step

    @property
    def to_prefill(self):
        return self.ask.prompt + self.ask.sequences * self.generated


class Pool:
    """Free blocks in the order in which they are taken; a label names a block's content until it is taken again."""

    def __init__(self, n, caching):
        self.free = list(range(n))
        self.labels = {}  # block -> label
        self.where = {}  # label -> block
        self.references = {}
        self.caching = caching

    def take(self):
        block = self.free.pop(0)
        if block in self.labels:
            del self.where[self.labels.pop(block)]
        self.references[block] = 1
        return block

    def share(self, block):
        if self.references.get(block, 0) == 0:
            self.free.remove(block)
        self.references[block] = self.references.get(block, 0) + 1

    def label(self, block, label):
        if self.caching and label is not None and label not in self.where and block not in self.labels:
            self.labels[block], self.where[label] = label, block

    def give(self, blocks):
        for block in reversed(blocks):
            self.references[block] -= 1
            if self.references[block] == 0:
                self.free.append(block)


class Stepwise:
    """Serve `asks`, sorted by time; then read `entries` and `steps` (start, end, batch, sequences, used blocks)."""

    def __init__(
        self,
        asks,
        timing,
        blocks,
        budget,
        sequences,
        block,
        pipelined=False,
        caching=False,
        host=0,
        host_block_s=0.0,
        drafter=None,
        separate=False,
        reserve=False,
        clock=None,
    ):
        """`host`: blocks of host memory behind, whose labels stand in `self.host`, the least recently used first.
        `clock`: when a step ends that begins then and would take so long at full speed."""
        self.clock = clock
        self.host_blocks, self.host_block_s, self.host, self.brought = host, host_block_s, {}, 0
        self.entries = [Entry(number, ask) for number, ask in enumerate(asks)]
        for entry in self.entries:
            if entry.ask.received:
                entry.first, entry.cached = entry.ask.at, entry.ask.prompt
        self.timing, self.budget, self.limit, self.block = timing, budget, sequences, block
        self.pipelined, self.pool = pipelined, Pool(blocks, caching)
        self.drafter, self.each = drafter, 1 if drafter is None else drafter.tokens + 1
        self.separate, self.reserve, self.blocks = separate, reserve, blocks
        self.running, self.held, self.steps, self.finished = [], [], [], []
        self.run()

    def waiting(self, until):
        seen = [e for e in self.entries if e.state in ("future", "waiting") and e.ask.at <= until]
        return sorted(seen, key=lambda e: (e.ask.key, e.number))

    def labels(self, entry, index):
        if entry.ask.prefix is not None and (index + 1) * self.block <= min(entry.ask.prefix[1], entry.ask.prompt):
            return ("chain", entry.ask.prefix[0], index)
        return ("own", entry.number, index) if entry.ask.sequences == 1 else None

    def shape(self, entry, tokens, whole):
        """(shared blocks, blocks of each sequence) once `tokens` are computed."""
        if not whole:
            return -(-tokens // self.block), 0
        shared = entry.ask.prompt // self.block
        context = tokens if entry.state == "decode" else entry.ask.prompt + entry.generated
        return shared, -(-(context - shared * self.block) // self.block)

    def wanted(self, entry, tokens, whole):
        shared, each = self.shape(entry, tokens, whole)
        return shared + each * entry.ask.sequences

    def grow(self, entry, tokens, whole):
        wanted = self.wanted(entry, tokens, whole)
        while len(entry.tables) < wanted:
            entry.tables.append(self.pool.take())
        if entry.state != "decode" or self.drafter is None:  # a draft is remembered once it is accepted
            self.remember(entry, tokens)

    def remember(self, entry, tokens):
        full = min(tokens // self.block, len(entry.tables))
        for index in range(entry.labelled, full):  # a copy of a block that is there already is not remembered
            self.pool.label(entry.tables[index], self.labels(entry, index))
        entry.labelled = max(entry.labelled, full)

    def release(self, entry):
        labels = [self.pool.labels.get(block) for block in entry.tables]
        chain = [label for label in labels if label is not None and label[0] == "chain"]
        if chain:
            self.touch(chain[0][1], chain)
        self.pool.give(entry.tables)
        entry.tables = []

    def touch(self, key, labels):
        """Host memory gets these, and all that it has of that prefix was used just now, the first block last."""
        for label in sorted({*labels, *(label for label in self.host if label[1] == key)}, reverse=True):
            self.host.pop(label, None)
            self.host[label] = True
        while len(self.host) > self.host_blocks:
            del self.host[next(iter(self.host))]

    def from_host(self, entry, cached):
        """Blocks that follow the `cached` ones and are brought in, since that is quicker than computing them."""
        labels, last = [], (entry.to_prefill - 1) // self.block
        while cached + len(labels) < last and self.labels(entry, cached + len(labels)) in self.host:
            labels.append(self.labels(entry, cached + len(labels)))
        end = cached + len(labels)

        def alone(start):
            tokens = range(start * self.block, entry.to_prefill)
            return self.timing.at(Batch(len(tokens), 1, entry.to_prefill, sum(t + 1 for t in tokens)))

        if not labels or len(labels) * self.host_block_s >= alone(cached) - alone(end):
            return 0
        self.touch(labels[0][1], labels)
        self.brought += len(labels)
        return len(labels)

    def preempt(self, entry):
        self.running.remove(entry)
        self.release(entry)
        entry.state, entry.computed = "waiting", 0
        entry.preemptions += 1

    def withdraw(self, now):
        leaving = [e for e in self.entries if e.left is None and e.ask.removed_at is not None]
        for entry in sorted(leaving, key=lambda e: e.ask.removed_at):
            at = entry.ask.removed_at
            if at > now:
                continue
            if entry in self.running:
                self.running.remove(entry)
                self.release(entry)
                entry.state, entry.left = "removed", now
                self.finished.append(entry)
            elif at >= entry.ask.at:
                entry.state, entry.left = "removed", at

    def plan(self):
        """Tokens of each running entry: one for each decoding sequence, and what is left of the budget for a prompt."""
        budget = self.budget - sum(e.ask.sequences * self.each for e in self.running if e.state == "decode")
        return {
            e.number: e.ask.sequences * self.each if e.state == "decode" else min(budget, e.to_prefill - e.computed)
            for e in self.running
        }

    def most_blocks(self, entry):
        """Of its whole answer."""
        blocks = entry.ask.prompt // self.block
        drafts = self.each - 1 if entry.ask.output > 1 else 0
        rest = entry.ask.prompt + max(entry.ask.output, 1) - 1 + drafts - blocks * self.block
        return blocks + entry.ask.sequences * math.ceil(rest / self.block)

    def schedule(self, waiting):
        """Tokens of each running entry in the next step. Prompts that go first leave nothing to those that decode."""
        if self.separate:
            prompts = [e for e in self.running if e.state == "prefill"]
            plan, budget = {}, self.budget
            for entry in prompts:
                plan[entry.number] = min(budget, entry.to_prefill - entry.computed)
                budget -= plan[entry.number]
                tokens = entry.computed + plan[entry.number]
                self.grow(entry, tokens, self.whole(entry, plan))
            self.admit(waiting, plan, budget)
            if any(plan.values()):
                return plan
        plan = self.plan()
        preempted = False

        def short():
            return sum(
                self.wanted(e, e.computed + (self.each if e.state == "decode" else plan[e.number]), self.whole(e, plan))
                - len(e.tables)
                for e in self.running
            ) - len(self.pool.free)

        while short() > 0:
            self.preempt(max(self.running, key=lambda e: (e.ask.key, e.number)))
            preempted, plan = True, self.plan()
        for entry in self.running:
            tokens = entry.computed + (self.each if entry.state == "decode" else plan[entry.number])
            self.grow(entry, tokens, self.whole(entry, plan))
        self.admit([] if preempted else waiting, plan, self.budget - sum(plan.values()))
        return plan

    def admit(self, waiting, plan, budget):
        """Let in those that wait, in order, as far as there is room."""
        for entry in waiting:
            occupied = sum(e.ask.sequences for e in self.running + self.held)
            if budget <= 0 or occupied + entry.ask.sequences > self.limit:
                break
            reserved = sum(self.most_blocks(e) for e in self.running + self.held)
            if self.reserve and reserved + self.most_blocks(entry) > self.blocks:
                break
            if entry.ask.received and entry.preemptions == 0:
                blocks = entry.ask.prompt // self.block
                blocks += entry.ask.sequences * -((blocks * self.block - entry.ask.prompt - 1) // self.block)
                if entry.ask.sequences > budget or blocks > len(self.pool.free):
                    break
                entry.state, entry.computed, entry.generated = "decode", entry.ask.prompt, 1
                self.set_pace(entry)
                self.running.append(entry)
                plan[entry.number] = entry.ask.sequences
                budget -= entry.ask.sequences
                self.grow(entry, entry.computed + 1, True)
                continue
            hits = []
            if self.pool.caching:
                for index in range((entry.to_prefill - 1) // self.block):
                    block = self.pool.where.get(self.labels(entry, index))
                    if block is None:
                        break
                    hits.append(block)
            idle = sum(self.pool.references.get(block, 0) == 0 for block in hits)
            if self.wanted(entry, entry.to_prefill, True) - len(hits) + idle > len(self.pool.free):
                break
            for block in hits:
                self.pool.share(block)
            entry.tables, entry.labelled = list(hits), len(hits)
            entry.state, entry.computed = "prefill", (len(hits) + self.from_host(entry, len(hits))) * self.block
            if entry.preemptions == 0:
                entry.cached = entry.computed
            self.running.append(entry)
            plan[entry.number] = min(budget, entry.to_prefill - entry.computed)
            budget -= plan[entry.number]
            self.grow(entry, entry.computed + plan[entry.number], self.whole(entry, plan))

    def whole(self, entry, plan):
        return entry.state == "decode" or entry.computed + plan[entry.number] == entry.to_prefill

    def run(self):
        now, step_start, idle = 0.0, 0.0, True
        while True:
            self.withdraw(now)
            eligible = self.waiting(now if idle or not self.pipelined else step_start)
            plan = self.schedule(eligible)
            if not any(plan.values()):
                for entry in self.held:
                    self.release(entry)
                self.held = []
                plan = self.schedule(self.waiting(now))
            if not any(plan.values()):
                later = [e.ask.at for e in self.entries if e.state == "future" and e.ask.at > now]
                if not later:
                    for entry in self.entries:  # withdrawn after all work was done
                        assert entry.left is not None, "a request was left waiting"
                    return
                now, idle = min(later), True
                continue
            end = now + self.step(now, plan)
            step_start, now, idle = now, end, False

    def step(self, now, plan):
        new = sequences = context = pairs = 0
        decoding = [e for e in self.running if e.state == "decode" and plan.get(e.number)]
        searches = [e for e in decoding if e.ask.sequences > 1]
        beams = Beams(
            len(searches),
            sum(e.ask.sequences - 1 for e in searches),
            sum(e.ask.sequences**2 for e in searches),
            sum((e.ask.sequences - 1) * e.ask.prompt for e in searches),
        )
        for entry in self.running:
            if entry in decoding and self.drafter is None:
                n = entry.ask.sequences
                new, sequences = new + n, sequences + n
                context, pairs = context + n * (entry.computed + 1), pairs + n * (entry.computed + 1)
            elif entry.state == "prefill" and plan[entry.number]:
                start, stop = entry.computed, entry.computed + plan[entry.number]
                new, context = new + stop - start, context + stop
                pairs += sum(range(start + 1, stop + 1))
                sequences += stop == entry.to_prefill
        batch = Batch(new, sequences, context, pairs, beams)
        seconds = self.timing.at(batch) if self.drafter is None else self.verified_s(batch[:4], decoding)
        seconds += self.brought * self.host_block_s
        self.brought = 0
        if self.clock is not None:
            seconds = self.clock(now, seconds) - now
        served = sum(e.ask.sequences for e in self.running)
        for entry in self.running:
            entry.share += seconds * entry.ask.sequences / served
        used = sum(count > 0 for count in self.pool.references.values())
        self.steps.append((now, now + seconds, new, served, used))
        end = now + seconds
        released, done = self.held, []
        for entry in list(self.running):
            if entry.state == "prefill":
                entry.computed += plan[entry.number]
                if entry.computed < entry.to_prefill:
                    continue
                if entry.first is None:
                    entry.first = end
                entry.generated += 1
                entry.state, entry.computed = "decode", entry.ask.prompt + entry.generated - 1
                self.set_pace(entry)
                if entry.generated >= entry.ask.output:
                    done.append((0, entry))
            elif entry in decoding:
                entry.context += entry.pace
                came = int(entry.context) - entry.computed
                entry.generated += came
                entry.computed += came
                if self.drafter is not None:
                    self.remember(entry, entry.computed)
                if entry.generated >= entry.ask.output:
                    done.append((1, entry))
        ended = []
        for _, entry in done:
            self.running.remove(entry)
            entry.state, entry.left, entry.completed = "finished", end, True
            ended.append(entry)
        # those that only prefilled give their memory back in the order of the step, the others in order of arrival
        ended = [e for order, e in done if order == 0] + sorted((e for o, e in done if o), key=lambda e: e.number)
        self.finished += ended
        self.held = ended if self.pipelined else []
        for entry in released + ([] if self.pipelined else ended):
            self.release(entry)
        return seconds

    def set_pace(self, entry):
        left = entry.ask.output - entry.generated
        if self.drafter is not None and left > 0:
            steps = math.ceil(Fraction(left * entry.ask.steps, entry.ask.output - 1))
            entry.pace = Fraction(left, steps)
        entry.context = Fraction(entry.computed)

    def verified_s(self, chunks, decoding):
        """Each sequence has its drafts made one after the other, and then verified in one step with a token more."""
        contexts = [e.context for e in decoding]
        n, each, read = len(contexts), self.each, sum(contexts)
        pairs = sum(context + i + 1 for context in contexts for i in range(each))
        verified = Batch(n * each, n * each, float(read + n * each), float(pairs))
        seconds = self.timing.at(Batch(*map(sum, zip(verified[:4], chunks, strict=True)))) + n * self.drafter.lookup_s
        if self.drafter.steps is not None:
            middle = float(read + n * Fraction(sum(range(1, each)), each - 1))
            for draft in range(self.drafter.tokens):
                batch = Batch(n, n, middle, middle)
                if draft == 0:
                    seconds += self.drafter.steps.at(Batch(*map(sum, zip(batch[:4], chunks, strict=True))))
                elif n:
                    seconds += self.drafter.steps.at(batch)
        return seconds
