"""When machines fail and are taken away."""

from itertools import islice, pairwise

import numpy as np
import pytest

from fleetrec.simulator.cloud.node.faults import failures, spot_preemptions
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Failures, Spot


def test_failures_come_at_exponential_times_and_repairs_take_exponential_times():
    outages = list(islice(failures(Failures(every=100.0, repair=10.0), Draws(1), 0), 4000))
    up = np.diff([0.0, *(x for o in outages for x in (o.lost_s, o.back_s))])[::2]
    down = np.array([o.back_s - o.lost_s for o in outages])
    assert up.mean() == pytest.approx(100.0, rel=0.06)  # 4 standard errors of 1 / sqrt(4000)
    assert up.std() == pytest.approx(100.0, rel=0.1)
    assert down.mean() == pytest.approx(10.0, rel=0.06)
    assert all(early.back_s < late.warned_s for early, late in pairwise(outages))


def test_a_taking_is_announced_as_long_before_as_the_notice_says():
    outages = list(
        islice(spot_preemptions(Spot(taken_per_hour=36.0, notice=30.0, replacement=60.0), Draws(1), 2), 3000)
    )
    assert {round(o.lost_s - o.warned_s, 6) for o in outages} == {30.0}
    after = np.diff([0.0, *(x for o in outages for x in (o.warned_s, o.back_s))])[::2]
    assert after.mean() == pytest.approx(100.0, rel=0.07)


def test_no_machine_is_taken_at_a_rate_of_zero():
    assert list(spot_preemptions(Spot(taken_per_hour=0.0), Draws(1), 0)) == []


def test_each_replica_has_faults_of_its_own_that_only_the_seed_changes():
    def first(seed, replica):
        return next(failures(Failures(), Draws(seed), replica))

    assert first(1, 0) == first(1, 0)
    assert len({first(1, 0), first(1, 1), first(2, 0)}) == 3
