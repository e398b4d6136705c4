"""By cached prefix and load."""

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.scenario.sections.router import ClusterView, Ints, RequestView, Router


class PrefixAware(Router):
    """The replica with the highest score: the share of the prompt that it has cached, less `load_weight` times the
    share of its requests that it has more than the least loaded replica. Without a cached prefix, the least loaded.

    As the prefix-aware routers of SGLang, vLLM's production stack and llm-d weigh the two.
    """

    kind: Literal["prefix_aware"] = "prefix_aware"
    in_bulk: ClassVar[bool] = True

    load_weight: float = Field(1.0, ge=0, description="of the load, where the cached share of the prompt weighs 1")
    imbalance: float = Field(
        4.0,
        ge=1,
        description="a replica with more than so many times the load of the least loaded one (plus 1) gets nothing for "
        "the sake of its cache",
    )

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        number, caching = cluster.least_loaded(), cluster.caching(request)
        if not caching:
            return number
        least = cluster.replicas[number].load
        best = (0.0, -least, -number)
        for replica in caching:
            load = replica.load
            if load <= self.imbalance * (least + 1.0):
                share = replica.cached_tokens(request) / request.prompt_tokens
                score = share - self.load_weight * (load - least) / (load + 1.0)
                best = max(best, (score, -load, -replica.number))
        return -best[2]

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        """Of requests whose prompts share nothing, as compiled code serves them."""
        return np.full(len(device), -1)
