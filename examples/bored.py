"""Users of one's own: they take what pleases them most, until a genre that they had too much of bores them.

fleetrec simulate examples/bored.yaml
fleetrec sweep examples/bored_sweep.yaml
"""

import numpy as np

from fleetrec import Leave, Seconds, SlateView, Users


class Bored(Users):
    """Looks at the first places; each of the newest five items that is of an item's genre makes it worth less."""

    looks: int = 10
    boredom: float = 1.0
    least: float = 1.0
    rest: Seconds = 6 * 3600.0
    _bored: int = 0

    def next(self, slate: SlateView, now: float) -> int | Leave | str | None:
        if not slate.ready:
            return "leave" if slate.waited_s > 5 else None
        items = slate.items[: self.looks]
        lately = [slate.attributes(item)[:1] for item in slate.history[-5:]]
        often = np.array([lately.count(slate.attributes(item)[:1]) for item in items])
        worth = slate.utility(items) + slate.gumbel(items) - self.boredom * often
        if worth.max(initial=-np.inf) > self.least:
            self._bored = 0
            return int(items[worth.argmax()])
        self._bored += 1
        if self._bored >= 3:  # nothing that pleases, three times in a row
            self._bored = 0
            return Leave(for_s=self.rest)
        return None
