"""A fusion rule of one's own: the product of both orders' reciprocal ranks.

fleetrec simulate examples/product.yaml
"""

import numpy as np
from numpy.typing import NDArray

from fleetrec import FusionRule, ListView


class Product(FusionRule):
    """Reciprocal rank by the LLM times that by the SRM, which is raised to a power: 0 leaves the LLM's order."""

    power: float = 0.5

    def fuse(self, view: ListView) -> NDArray[np.float64]:
        by_llm, by_srm = 1.0 / (view.lists.llm_rank + 1.0), 1.0 / (view.lists.srm_rank + 1.0)
        return by_llm * by_srm**self.power
