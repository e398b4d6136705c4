"""What accuracy is worth to whom decides: dollars for a hundredth of it, a budget a month, or nothing that is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.results.engagement import PREFIX
from fleetrec.simulator.results.sentences import money
from fleetrec.simulator.scenario.sections import Currency

POINT = 0.01
"""of the metric, which `worth_usd` is the worth of"""
_MOST_USD = 1e15  # beyond which sums would overflow


@dataclass(frozen=True)
class Value:
    """What decides. Without a worth the most accurate policy that the budget allows is wanted; without either the
    cheapest that is shown to add accuracy at all."""

    worth_usd: float | None = None
    """of a hundredth of the metric over 1,000 interactions"""
    budget_usd: float | None = None
    """most dollars a month"""

    def __post_init__(self) -> None:
        for option, usd in (("--worth", self.worth_usd), ("--budget", self.budget_usd)):
            if usd is not None and not 0 < usd <= _MOST_USD:
                most = f" and at most {_MOST_USD:g}" if usd > _MOST_USD else ""
                raise InputError(f"{option} {usd:g}: expected an amount above 0{most}, such as 0.5")

    def check(self, metric: str) -> None:
        """InputError where a worth of accuracy is given for what is none."""
        if self.worth_usd is not None and metric.startswith(PREFIX):
            name = metric.removeprefix(PREFIX)
            raise InputError(
                f"--worth: is of a hundredth of an accuracy, which {name} is not; drop it, or give --budget"
            )

    def in_usd(self, currency: Currency) -> "Value":
        """What was given in a currency."""
        usd = [None if one is None else one / currency.per_usd for one in (self.worth_usd, self.budget_usd)]
        return Value(*usd)

    def of(self, gain: Measure, cost: Measure, weights: Sequence[NDArray[np.uint8]]) -> Measure:
        """What policies add: net dollars per 1,000 interactions, or accuracy where no worth of it is known."""
        if self.worth_usd is None:
            return gain
        per = self.worth_usd / POINT
        known = cost.draws is not None or len(cost.replicates) > 1  # else nothing says how the cost varies
        draws = per * gain.resampled(weights) - cost.resampled(weights) if known else None
        by_run = per * gain.by_run - cost.by_run
        return Measure(by_run[..., None], cost.counts, cost.replicates, by_user=False, draws=draws)

    def taken(self, metric: str, accuracy: bool = True) -> str:
        """Which value of a metric was taken, in words; `accuracy`: it is one, so that it may have a worth."""
        most = f", for at most {money(self.budget_usd)} a month" if self.budget_usd is not None else ""
        if self.worth_usd is not None:
            return f"{POINT:g} of {metric} over 1,000 interactions is taken to be worth {money(self.worth_usd)}{most}"
        options = ["--worth"] * accuracy + ["--budget"] * (not most)
        lacks = (
            f"; no {'worth of accuracy' if accuracy else 'budget'} was given ({', '.join(options)})" if options else ""
        )
        return f"the most {metric}{most}{lacks}" if most else f"the cheapest gain in {metric} that is shown{lacks}"
