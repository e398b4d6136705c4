"""What is on screen, item by item, from docs/background/model.md alone.

The list as the default fusion orders it, or the best items of the SRM; and what a device makes of the two orders.
"""

import math

import numpy as np

from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections


class Slates:
    """Of a scenario whose models are prepared; lists and logits are given."""

    def __init__(self, scenario: sections.Scenario, prepared: Prepared):
        self.prepared, self.log = prepared, prepared.trained.histories
        self.exclude_seen, self.length = scenario.workload.exclude_seen, scenario.llm.list_length

    def item(self, user: int, step: int) -> int:
        """The item of the user's interaction number `step`; -1: there is none."""
        return int(self.log.item_at(np.array([user]), np.array([step]))[0])

    def list_of(self, user: int, as_of: int) -> list[int]:
        return self.prepared.source.lists(np.array([user]), np.array([as_of])).items[0].tolist()  # type: ignore[union-attr]

    def logits(self, user: int, step: int, items: list[int]) -> list[float]:
        """The SRM's, with the weights of before the stream."""
        at = np.array([user]), np.array([[step]]), np.array([items]), np.zeros(1, dtype=np.int64)
        return self.prepared.scores.of_lists(*at)[0, 0].tolist()

    def srm_places(self, user: int, step: int, items: list[int]) -> list[int]:
        """The place of each item in the SRM's order; ties go by place in the list."""
        logits = self.logits(user, step, items)
        order = sorted(range(len(items)), key=lambda i: (-logits[i], i))
        return [order.index(i) for i in range(len(items))]

    def place(self, user: int, step: int, as_of: int, item: int, seen: int) -> int:
        """0-based place of `item` on screen, -1 where it is not there; items had up to `seen` have left the slate."""
        had = self.had(user, seen) if self.exclude_seen else set()
        if as_of < 0:
            items = self.best(user, step, had)[: self.length]
        else:
            items, llm = self.list_of(user, as_of), list(range(self.length))
            if self.exclude_seen == "refill":  # what was had by then gives its place to the SRM's best
                kept = [i for i in range(self.length) if items[i] not in self.had(user, step)]
                own = self.best(user, step, self.had(user, step) | set(items))[: self.length - len(kept)]
                items = [items[i] for i in kept] + own
                llm = kept + [self.length] * len(own)
            srm, n = self.srm_places(user, step, items), self.length
            fused = [round((-(llm[i] + 1) / n + 1 - (srm[i] + 0.5) / n - 0.5) * 2**30) for i in range(n)]
            items = [items[i] for i in sorted(range(n), key=lambda i: (-fused[i], i)) if items[i] not in had]
        return items.index(item) if item in items else -1

    def had(self, user: int, upto: int) -> set[int]:
        """Items of the user's log up to interaction number `upto`."""
        low = int(self.log.offsets[user])
        return set(self.log.items[low : low + upto + 1].tolist())

    def best(self, user: int, step: int, without: set[int]) -> list[int]:
        """The catalogue in the SRM's order."""
        items = [item for item in range(self.log.n_items) if item not in without]
        logits = self.logits(user, step, items)
        return [items[i] for i in sorted(range(len(items)), key=lambda i: (-logits[i], i))]

    def inconsistency(self, user: int, step: int, as_of: int, terms: str) -> float:
        """The paper's score of a list all of whose candidates are valid."""
        places = self.srm_places(user, step, self.list_of(user, as_of))
        gap = sum(abs(srm - llm) for llm, srm in enumerate(places)) / len(places)
        return {"both": gap + 16.0, "rank": gap, "invalid": 16.0}[terms]

    def uncertainty(self, user: int, step: int, as_of: int, measure: str) -> float:
        """Entropy of the SRM's softmax as a share of the largest, or 1 less the lead of its best."""
        logits = self.logits(user, step, self.list_of(user, as_of))
        weights = [math.exp(logit - max(logits)) for logit in logits]
        shares = sorted((weight / sum(weights) for weight in weights), reverse=True)
        if measure == "margin":
            return 1 - (shares[0] - shares[1])
        return -sum(share * math.log(share) for share in shares) / math.log(len(shares))
