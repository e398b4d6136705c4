"""One metric of every variant, in the form that its intervals need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.resampling import INTERVAL
from fleetrec.simulator.experiments.statistics import Estimates, Replicates, over_runs, over_users, resampled

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """Sums [V, R, U] and counts [R, U] by run and user; where only runs have the metric, U is 1 and counts are 1.

    draws [V, R, B]: the metric of a run under resamples of its users, where the run has kept them. least, most: what no
    mean over users is below or above.
    """

    sums: Floats
    counts: Floats
    replicates: Replicates
    by_user: bool
    draws: Floats | None = None
    least: float = 0.0
    most: float = 1.0

    @property
    def by_run(self) -> Floats:
        """The metric of each run, [V, R]."""
        return np.asarray(self.sums.sum(axis=-1) / self.counts.sum(axis=-1))

    @property
    def means(self) -> Floats:
        """Mean over runs, [V]."""
        return np.asarray(self.by_run.mean(axis=-1))

    def own(self) -> Estimates:
        """Means [V] of the variants with their intervals."""
        return self.of(self.sums) if self.by_user else over_runs(self.by_run, self.replicates, self.draws)

    def interval(self) -> tuple[Floats, Floats]:
        """Ends [V] of the 95% intervals of `means`, as table, figure and sentence state them.

        Of one run with resampled users they are quantiles of these draws, as its own account states them. None is
        below nothing where that cannot be: of accuracies and shares, which are not above 1 either, and of what is
        resampled, requests, replicas and dollars.
        """
        if self.draws is not None and len(self.replicates) == 1:
            low, high = np.quantile(self.draws[:, 0], INTERVAL, axis=-1)
            return low, high
        found = self.own()
        if self.by_user:
            return np.maximum(found.low, self.least), np.minimum(found.high, self.most)
        return np.maximum(found.low, 0.0) if self.draws is not None else found.low, found.high

    def difference(self, baseline: int) -> Estimates:
        """Paired differences [V] to the variant at place `baseline`."""
        if self.by_user:
            return self.of(self.sums - self.sums[baseline])
        values, draws = self.by_run, self.draws
        return over_runs(values - values[baseline], self.replicates, None if draws is None else draws - draws[baseline])

    def of(self, sums: Floats) -> Estimates:
        """Mean and interval of sums [..., R, U] of this user metric: a difference's, a mixture's."""
        return over_users(sums, self.counts, self.replicates)

    def resampled(self, weights: Sequence[NDArray[np.uint8]]) -> Floats:
        """The metric [V, R, B] under resamples of users, weights [B, U] by run; as it is where nothing is known."""
        if self.by_user:
            return resampled(self.sums, self.counts, weights)
        return self.draws if self.draws is not None else np.repeat(self.by_run[..., None], len(weights[0]), axis=-1)


def on_common_counts(sums: Floats, counts: Floats, common: Floats) -> Floats:
    """Sums [V, R, U] whose ratios to `common` counts [R, U] are those of sums [V, R, U] to counts [V, R, U], and which
    each user moves as much: so ratios of different counts, such as choices a session, are paired as means are."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums.sum(axis=-1, keepdims=True) / counts.sum(axis=-1, keepdims=True)
        scale = common.sum(axis=-1, keepdims=True) / counts.sum(axis=-1, keepdims=True)
    return np.asarray(means * common + (sums - means * counts) * scale)


def of_requests(name: str) -> bool:
    """Whether a figure is one of requests, which a run without any has none of."""
    return name.startswith(("latency_s.request.", "latency_s.queue."))


def kept_without_requests(name: str, values: Floats, silent: NDArray[np.bool_]) -> Floats:
    """A limited figure of runs [V, R], at most any limit where a run made no request (`silent`): none is too late."""
    return np.where(silent & np.isnan(values), -np.inf, values) if of_requests(name) else values
