"""What is asked of servers: how it is written, and what meets it."""

import numpy as np
import pytest

from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective, Times
from fleetrec.simulator.scenario.objectives import Objective
from fleetrec.simulator.scenario.sections import Slo


@pytest.mark.parametrize(
    ("text", "measure", "share", "bound"),
    [
        ("p95=1s", "latency", 0.95, 1.0),
        ("ttft_p99=200ms", "ttft", 0.99, 0.2),
        ("tpot_p50=0.03", "tpot", 0.5, 0.03),
        ("p99.9=2s", "latency", 0.999, 2.0),
        ("latency_p50=2s", "latency", 0.5, 2.0),
    ],
)
def test_objectives_are_read_as_they_are_written(text: str, measure: str, share: float, bound: float) -> None:
    objective = Objective.parse(text)
    assert (objective.measure, objective.share, objective.at_most_s) == (measure, pytest.approx(share), bound)


@pytest.mark.parametrize("text", ["", "p95", "95=1s", "p95=1parsec", "p0=1s", "p100=1s", "p95=0", "wait_p95=1s"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an objective"):
        Objective.parse(text)


def test_a_missing_answer_misses_every_objective_but_that_of_tpot() -> None:
    values = np.array([0.5, 1.0, 1.1, np.nan])
    assert Objective(0.5, 1.0).misses(values).tolist() == [False, False, True, True]
    assert Objective(0.5, 1.0, "tpot").misses(values).tolist() == [False, False, True, False]
    assert Objective(0.95, 1.0).allows(4000) == 200


def test_a_mix_is_met_where_each_of_its_parts_is_and_names_the_part_that_is_hardest() -> None:
    objective = ServiceObjective.parse("p50=2s, ttft_p75=1s,tpot_p50=100ms")
    assert str(objective) == "p50 latency of at most 2s, p75 TTFT of at most 1s and p50 TPOT of at most 100ms"
    latency_s, tokens = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 11, 11, 11])
    in_time = Times.of(latency_s, np.array([1.0, 1.0, 1.0, 3.0]), tokens)
    assert np.isnan(in_time.tpot_s[0])
    assert in_time.tpot_s[1:].tolist() == [0.1, 0.2, 0.1]
    assert objective.met(in_time)
    assert not objective.met(Times.of(latency_s, np.array([1.0, 1.0, 1.2, 3.0]), tokens))
    assert not objective.met(Times.of(latency_s + np.array([0, 0.1, 0, 0]), np.array([1.0, 1.0, 1.0, 3.0]), tokens))
    assert not objective.met(Times.of(latency_s, np.array([1.0, 0.9, 1.0, 2.9]), tokens))
    part, value = objective.hardest(Times.of(latency_s, np.array([1.0, 1.0, 1.2, 3.0]), tokens))
    assert (part.what, value) == ("p75 TTFT", 1.2)


def test_a_scenario_asks_for_its_p95_beside_all_that_it_lists_unless_it_takes_it_away() -> None:
    further = ("ttft_p99=200ms",)
    assert [part.what for part in Slo(objectives=further).parts] == ["p95 latency", "p99 TTFT"]
    assert [part.what for part in Slo(p95_latency=None, objectives=further).parts] == ["p99 TTFT"]
    with pytest.raises(ValueError, match="no objective is left; give p95_latency a time"):
        Slo(p95_latency=None)
    with pytest.raises(ValueError, match="'ttft=1s' is not an objective; write p95=1s"):
        Slo(objectives=("ttft=1s",))
