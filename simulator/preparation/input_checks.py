"""What can be wrong with a scenario and shows before a log is read or anything is trained, beyond its own text."""

from collections.abc import Iterable

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.api.latency import measured_times
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.pools import check_cloud, expected_errors, slow_beams
from fleetrec.simulator.cloud.tokens import longest_request
from fleetrec.simulator.core.costs import carbon_signal
from fleetrec.simulator.core.signals import DAY_S, read_bandwidth_trace
from fleetrec.simulator.fleet.presence_trace import read_spans
from fleetrec.simulator.preparation.api_load import check_load, check_longest
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.file_checks import check_files
from fleetrec.simulator.scenario.regional import regional


def price_notes(clouds: Iterable[sections.Cloud], tariffs: sections.Tariffs) -> list[str]:
    """What hosted APIs of the clouds charge; what an hour of each GPU costs, and between which prices it can be had."""
    clouds = list(clouds)
    names = dict.fromkeys(section.gpu for cloud in clouds for _, section in cloud.machines())
    gpus = [default_catalogue().gpu(name) for name in names]
    apis = dict.fromkeys(cloud.api.charges for cloud in clouds if cloud.api is not None and cloud.kind != "gpus")
    return [*apis] + [
        f"{gpu.name} is charged {gpu.usd_per_hour(tariffs):.2f} USD an hour (tariffs.gpu_hour); "
        f"the catalogue has {gpu.price.low:.2f} to {gpu.price.high:.2f}, typically {gpu.price.typical:.2f}"
        for gpu in gpus
    ]


def engine_notes(clouds: Iterable[sections.Cloud], llm: sections.Llm) -> list[str]:
    """Which error to expect of the step times, where serving engines time them, and where another one is much quicker
    at such requests."""
    clouds, named, beams = list(clouds), llm.served_as, longest_request(llm).sequences
    lines = [line for cloud in clouds for line in expected_errors(cloud, named or "the candidate model", beams)]
    if named is not None:  # else the model is not known before it has been trained
        model = default_catalogue().model(named)
        lines += [slow.text for cloud in clouds for slow in slow_beams(llm, cloud, model)]
    return list(dict.fromkeys(lines))


def check_inputs(scenario: sections.Scenario) -> None:
    """InputError for a file that is missing or a small one that cannot be used (traces, carbon, profiles), and for a
    model or GPU that the catalogue lacks or that do not go together."""
    check_files(scenario)
    asking = scenario.workload.arrivals, scenario.fleet.devices
    if not scenario.regions:
        _check_served(scenario.policy, scenario.llm, scenario.cloud, *asking)
    for number, region in enumerate(scenario.regions):
        own = regional(scenario, number)
        try:
            _check_served(own.policy, own.llm, own.cloud, asking[0], round(asking[1] * region.share))
        except InputError as error:
            raise InputError(f"regions.{number}.{error}") from None
    churn = scenario.fleet.churn
    if isinstance(churn, sections.PresenceTrace):
        read_spans(churn, scenario.fleet.devices)
    for link in (*(one.link for one in scenario.fleet.classes), *(region.link for region in scenario.regions)):
        if isinstance(link, sections.TraceLink):
            read_bandwidth_trace(link.path)
    carbon_signal(scenario.tariffs)


def _check_served(
    policy: sections.Policy, llm: sections.Llm, cloud: sections.Cloud, arrivals: sections.Arrivals, devices: int
) -> None:
    """Whether a cloud can serve the LLM, and an API's limits let in so many devices."""
    check_cloud(llm, cloud)
    check_longest(llm, cloud)
    if cloud.api is not None and isinstance(cloud.api.latency, sections.MeasuredLatency):
        measured_times(cloud.api.latency)
    if not isinstance(arrivals, sections.ReplayArrivals | sections.EmpiricalArrivals):  # known once a log is read
        events = arrivals.events if isinstance(arrivals, sections.SessionArrivals) else 1.0
        check_load(policy, llm, cloud, devices * arrivals.per_day * events, DAY_S, 1)
