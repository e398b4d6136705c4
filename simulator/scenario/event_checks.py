"""How many events a scenario's clocks alone would make, said before it is simulated: a period of a microsecond over a
week of a fleet is a slip of the pen that no machine would come to the end of."""

from collections.abc import Iterable, Iterator

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import in_words
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.units import DURATION

MOST_EVENTS = 2e9
"""hours of simulating, at the engine's speed"""
MOST_HELD = 2e8
"""of those whose moments are drawn and held before the run begins"""


Clock = tuple[str, int, float, float]
"""(dotted key, how many such clocks tick, seconds between two ticks of one, the most ticks)"""


def check_events(ticking: Iterable[Clock], horizon_s: float) -> None:
    """InputError for the first period that makes more events over the run than can be simulated or held."""
    for key, clocks, period_s, most in ticking:
        if period_s * most < clocks * horizon_s:
            raise InputError(
                f"{key}: a period of {DURATION.show(period_s)} means more than {most:,.0f} events over "
                f"{in_words(horizon_s)}, with {clocks:,} such clocks; lengthen it, or lower duration"
            )


def fleet_clocks(fleet: sections.Fleet, devices: int) -> Iterator[Clock]:
    """Those of devices that come and go, and of their links."""
    if isinstance(fleet.churn, sections.OnOff):
        yield "fleet.churn", devices, fleet.churn.online + fleet.churn.offline, MOST_HELD
    for number, one in enumerate(fleet.classes):
        every = getattr(one.link, "outage_every", None)
        if every is not None:
            length = one.link.outage_length or 0.0  # type: ignore[union-attr]
            yield f"fleet.classes.{number}.link.outage_every", devices, every + length, MOST_HELD


def policy_clocks(policy: sections.Policy, cloud: sections.Cloud, devices: int) -> Iterator[Clock]:
    """Those of pushes, updates and the cloud."""
    period_s = policy.request.push_period_s()
    if period_s is not None:
        yield "policy.request.every", devices, period_s, MOST_HELD
    retraining = policy.update.retraining
    if retraining is not None:
        if retraining.upload is not None:
            yield "policy.update.upload", devices, retraining.upload, MOST_EVENTS
        yield "policy.update.every", 1, retraining.every, MOST_EVENTS
    for key, machines in cloud.machines():
        if machines.autoscale is not None:
            yield f"{key}.autoscale.period", 1, machines.autoscale.period, MOST_EVENTS
    if cloud.failures is not None:
        yield "cloud.failures.every", cloud.replicas, cloud.failures.every + cloud.failures.repair, MOST_EVENTS
