"""What one key of a scenario means for another: contradictions end a run, `advice` only warns."""

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.api_checks import api_advice, api_contradictions
from fleetrec.simulator.scenario.regional import device_bounds, engines_of, regional
from fleetrec.simulator.scenario.sections.request import SCORES
from fleetrec.simulator.scenario.update_checks import table_contradictions, update_contradictions
from fleetrec.simulator.scenario.user_checks import user_contradictions

Contradiction = tuple[str, str]
"""(dotted key, what is wrong with it and how to mend it)"""

_EVEN = "must be even, since windows move by half of it"


def contradictions(scenario: sections.Scenario) -> list[Contradiction]:
    """Everything in a scenario that cannot be meant, in the order of the file's sections."""
    return [found for check in _CHECKS for found in check(scenario)]


def check_scenario(scenario: sections.Scenario) -> None:
    """Raises InputError for the first contradiction; `Scenario.load` has done so, one built in Python has not."""
    for key, text in contradictions(scenario):
        raise InputError(f"{key}: {text}")


def advice(scenario: sections.Scenario) -> list[str]:
    """Settings that have no effect, or one that may surprise: a line each."""
    return [line for source in (_idle_settings, _surprises) for line in source(scenario)]


def _basics(scenario: sections.Scenario) -> Iterator[Contradiction]:
    if scenario.name.endswith("."):
        yield "name", f"{scenario.name!r} ends with a dot, and it names a folder; drop the dot"
    if scenario.seed >= 2**63:
        yield "seed", f"expected a whole number below 2^63, got {scenario.seed}"
    price = scenario.tariffs.gpu_hour
    if isinstance(price, sections.PriceRange) and (problem := price.problem()):
        yield "tariffs.gpu_hour", problem
    currency = scenario.tariffs.currency
    if not re.fullmatch("[A-Z]{3}", currency.code):
        yield "tariffs.currency.code", f"expected three capital letters, such as EUR, got {currency.code!r}"
    if currency.code == "USD" and currency.per_usd != 1:
        yield "tariffs.currency.per_usd", f"a US dollar is 1 of USD, not {currency.per_usd:g}; name the currency (code)"


def _split(scenario: sections.Scenario) -> Iterator[Contradiction]:
    split = scenario.workload.split
    if isinstance(split, sections.GlobalTimeSplit):
        wanted = "expected a share of events between 0 and 1 (both excluded), or an ISO time such as 2019-06-01"
        if not (_is_time(split.at) if isinstance(split.at, str) else 0 < split.at < 1):
            yield "workload.split.at", f"{wanted}, got {split.at!r}"


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _fleet(scenario: sections.Scenario) -> Iterator[Contradiction]:
    classes = scenario.fleet.classes
    yield from _shares("fleet.classes", [device_class.share for device_class in classes])
    yield from _names("fleet.classes", "class", [device_class.name for device_class in classes])
    for i, device_class in enumerate(classes):
        yield from _link(f"fleet.classes.{i}.link", device_class.link)


def _shares(key: str, shares: list[float]) -> Iterator[Contradiction]:
    total = math.fsum(shares)
    if abs(total - 1) > 1e-6:
        listed = " + ".join(f"{share:g}" for share in shares[:8])
        more = " + ..." if len(shares) > 8 else ""
        yield key, f"the shares must add up to 1, but {listed}{more} = {total:.7g}; change one"


def _names(key: str, what: str, names: list[str]) -> Iterator[Contradiction]:
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in first:
            yield f"{key}.{i}.name", f"{name!r} is the name of {what} {first[name]} too; rename one"
        first.setdefault(name, i)


def _link(key: str, link: sections.Link) -> Iterator[Contradiction]:
    if isinstance(link, sections.PresetLink) and (link.outage_every is None) != (link.outage_length is None):
        missing = "outage_every" if link.outage_every is None else "outage_length"
        yield key, f"'outage_every' and 'outage_length' go together; add '{missing}'"


def _regions(scenario: sections.Scenario) -> Iterator[Contradiction]:
    regions = scenario.regions
    if not regions:
        return
    yield from _shares("regions", [region.share for region in regions])
    yield from _names("regions", "region", [region.name for region in regions])
    bounds = device_bounds(scenario.regions, scenario.fleet.devices)
    for i, region in enumerate(regions):
        key = f"regions.{i}"
        if bounds[i + 1] <= bounds[i]:
            text = f"{region.share:g} of {scenario.fleet.devices:,} devices is none"
            yield f"{key}.share", f"{text}; raise the share or fleet.devices, or remove the region"
        if region.link is not None:
            yield from _link(f"{key}.link", region.link)
        arrivals = scenario.workload.arrivals
        if region.peak_hour is not None and not isinstance(
            arrivals, sections.DiurnalArrivals | sections.SessionArrivals
        ):
            text = f"workload.arrivals of kind {arrivals.kind} have no daily peak to shift"
            yield f"{key}.peak_hour", f"{text}; choose diurnal or sessions, or remove peak_hour"
        if region.cloud.model_fields_set:
            yield from ((f"{key}.{where}", text) for where, text in _cloud(regional(scenario, i)))


def _small_model(scenario: sections.Scenario) -> Iterator[Contradiction]:
    yield from ((f"srm.{own}", text) for own, text in scenario.srm.problems())


def _language_model(scenario: sections.Scenario) -> Iterator[Contradiction]:
    llm = scenario.llm
    yield from llm.candidates.problems(llm.served_as, llm.generation, scenario.policy.slate.uses_llm)
    if llm.illegal_beams:
        yield from _illegal_beams(scenario)


def _illegal_beams(scenario: sections.Scenario) -> Iterator[Contradiction]:
    llm, key = scenario.llm, "llm.illegal_beams"
    if llm.candidates.own_tokens:
        text = f"{llm.candidates.kind} writes the ids itself, so that its network says which beams name no item"
        yield key, f"{text}; remove it, or set llm.candidates.constrained: false"
    elif (llm.generation or llm.candidates.generation) != "beam":
        yield key, "no beams are searched for these lists; remove it, or set llm.generation: beam"
    elif llm.illegal_beams == "engine":
        engines = engines_of(scenario)
        if len(engines) != 1 or None in engines:
            text = "the replicas have several engines" if len(engines) > 1 else "cloud.engine names none"
            yield key, f"engine: {text}; give a share, such as 0.2, or all replicas one engine"


def _cloud(scenario: sections.Scenario) -> Iterator[Contradiction]:
    cloud, llm = scenario.cloud, scenario.llm
    yield from api_contradictions(cloud)
    if cloud.kind == "api":  # has no replicas
        return
    own = llm.candidates.generation == "beam" and not llm.candidates.own_tokens
    beams = llm.generation == "beam" or (llm.generation is None and own)
    if beams and llm.beams > cloud.max_sequences:
        text = f"a request of {llm.beams} beams (llm.beams) never fits {counted(cloud.max_sequences, 'sequence')}"
        yield "cloud.max_sequences", f"{text}; set at least {llm.beams}"
    yield from _speculation(cloud.speculation, beams)
    drafts = 0 if cloud.speculation is None else cloud.speculation.tokens
    if cloud.max_batched_tokens < cloud.max_sequences * (drafts + 1):
        each = "one token" if not drafts else f"{counted(drafts, 'draft')} and a token"
        text = f"a step of {counted(cloud.max_batched_tokens, 'token')} has no place for {each} of each of"
        needed = cloud.max_sequences * (drafts + 1)
        yield "cloud.max_batched_tokens", f"{text} {cloud.max_sequences} sequences; set at least {needed}"
    if cloud.kv_offloading is not None and not cloud.prefix_caching:
        yield "cloud.kv_offloading", "keeps cached prefixes, and none are cached; set cloud.prefix_caching: true"
    yield from _names("cloud.pools", "pool", [pool.name for pool in cloud.pools])
    for key, machines in cloud.machines():
        yield from _autoscale(key, machines)
    if cloud.disaggregation is not None:
        yield from _disaggregation(scenario)


def _disaggregation(scenario: sections.Scenario) -> Iterator[Contradiction]:
    cloud, key = scenario.cloud, "cloud.disaggregation"
    if cloud.pools:
        yield key, "and cloud.pools both say which replicas there are; remove either"
    if scenario.llm.candidates.brings_latency():
        yield key, "has no effect on answers that bring their latency_s along; remove it, or take that column out"
    if cloud.speculation is not None:
        yield "cloud.speculation", "and cloud.disaggregation are not simulated together; remove either"
    if cloud.admission.kind == "deadline":
        text = "deadline expects an answer from the pace of one replica, and cloud.disaggregation has two for each"
        yield "cloud.admission", f"{text}; choose queue_limit or random_early"


def _speculation(speculation: sections.Speculation | None, beams: bool) -> Iterator[Contradiction]:
    if speculation is None:
        return
    if beams:
        text = "engines do not verify drafts for beams, and these requests are answered with beams"
        yield "cloud.speculation", f"{text}; set none, or llm.generation: list"
    given = len(speculation.by_position)
    if given != speculation.tokens:
        text = f"{counted(given, 'chance')} for {counted(speculation.tokens, 'drafted token')}"
        yield "cloud.speculation.acceptance", f"{text}; give one for each position, or a single number for all"


def _autoscale(key: str, machines: sections.Machines) -> Iterator[Contradiction]:
    autoscale, replicas = machines.autoscale, machines.replicas
    if autoscale is None:
        return
    low, high = autoscale.min, autoscale.max
    if low > high:
        yield f"{key}.autoscale.min", f"{low} replicas at least and {high} at most (max) contradict; change either"
    elif not low <= replicas <= high:
        text = f"{replicas} at the start are outside autoscale.min {low} to autoscale.max {high}"
        yield f"{key}.replicas", f"{text}; set {low if replicas < low else high}, or widen the limits"
    if autoscale.metric == "utilization" and autoscale.target > 1:
        text = f"a utilization of {autoscale.target:g} is never reached"
        yield f"{key}.autoscale.target", f"{text}; set a share below 1, such as 0.7"


def _request(scenario: sections.Scenario) -> Iterator[Contradiction]:
    request, slate, key = scenario.policy.request, scenario.policy.slate, "policy.request"
    if request.needs_histories and scenario.cloud.stores == "none":
        yield key, f"{request.kind} needs users' histories in the cloud; set cloud.stores: history (or lists)"
    yield from ((f"{key}.{own}" if own else key, text) for own, text in request.problems())
    links = request.links_used()
    if links is not None:
        kinds = sorted({device_class.link.kind for device_class in scenario.fleet.classes})
        if not set(kinds) & set(links):
            text = f"no device has such a link, so none would ever ask; name some of {', '.join(kinds)}"
            yield f"{key}.links", text
    if (request.needs_list or request.score is not None) and not slate.uses_llm:
        yield key, f"{request.kind} needs the LLM's list, but policy.slate is {slate.kind}; set it to llm or both"
    if request.score is not None and request.score not in SCORES:
        yield key, f"{request.kind} looks at the score {request.score!r}; name one of {', '.join(SCORES)}"


def _budget(scenario: sections.Scenario) -> Iterator[Contradiction]:
    budget = scenario.policy.budget
    if budget.burst is not None and budget.burst < 1 and 0 < budget.ratio < 1:
        text = f"a bucket of {budget.burst:g} never holds the one token that a request costs"
        yield "policy.budget.burst", f"{text}; set at least 1 (for no requests: policy.request.kind: never)"


def _fusion(scenario: sections.Scenario) -> Iterator[Contradiction]:
    fusion = scenario.policy.fusion
    sigmoid = getattr(fusion, "score", None) == "sigmoid"
    if sigmoid and scenario.srm.loss == "full_softmax":
        text = "sigmoid has no meaning for the logits of srm.loss: full_softmax"
        yield "policy.fusion.score", f"{text}; use rank, zscore or list_softmax, or set srm.loss: bce"


def _tariffs(scenario: sections.Scenario) -> Iterator[Contradiction]:
    carbon = scenario.tariffs.carbon
    if isinstance(carbon, float) and carbon < 0:
        yield "tariffs.carbon", f"expected at least 0 gCO2 per kWh, or a CSV file, got {carbon:g}"


def _metrics(scenario: sections.Scenario) -> Iterator[Contradiction]:
    if len(set(scenario.metrics.k)) != len(scenario.metrics.k):
        yield "metrics.k", "a cut-off stands there twice; name each once"


_CHECKS: tuple[Callable[[sections.Scenario], Iterator[Contradiction]], ...] = (
    _basics,
    _split,
    user_contradictions,
    _fleet,
    _small_model,
    _language_model,
    _cloud,
    _regions,
    _request,
    update_contradictions,
    table_contradictions,
    _budget,
    _fusion,
    _tariffs,
    _metrics,
)


def _set(section: sections.Section, key: str) -> bool:
    """Whether the key has another value than its default: a resolved scenario gives every key."""
    return bool(getattr(section, key) != type(section).model_fields[key].get_default(call_default_factory=True))


def _idle_settings(scenario: sections.Scenario) -> Iterator[str]:
    workload, fleet, policy = scenario.workload, scenario.fleet, scenario.policy
    if _set(policy, "patience") and policy.mode == "background":
        yield "policy.patience has no effect while policy.mode is background"
    if _set(workload, "synthetic") and workload.interactions != "synthetic":
        yield "workload.synthetic has no effect while workload.interactions is a file"
    if _set(scenario.srm.training, "softmax_precision") and scenario.srm.loss == "bce":
        yield "srm.training.softmax_precision has no effect while srm.loss is bce"
    if _set(scenario.srm.training, "encoder_precision"):
        if scenario.srm.loss == "bce":
            yield "srm.training.encoder_precision has no effect while srm.loss is bce"
        elif scenario.srm.kind != "sasrec":
            yield f"srm.training.encoder_precision has no effect while srm.kind is {scenario.srm.kind}"
    slate = policy.slate.kind
    if not policy.slate.uses_llm:
        if _set(fleet, "fallback"):
            yield f"fleet.fallback has no effect while policy.slate is {slate}, which needs no candidate list"
        if _set(policy, "fusion"):
            yield f"policy.fusion has no effect while policy.slate is {slate}, which has no candidate list"
    if workload.refills and not policy.slate.is_list:
        yield f"workload.exclude_seen: refill has no effect while policy.slate is {slate}"
    cloud = scenario.cloud
    yield from api_advice(cloud)
    if cloud.pools or cloud.disaggregation is not None:
        others = "pools" if cloud.pools else "disaggregation"
        for key, field in sections.Machines.model_fields.items():
            if getattr(cloud, key) != field.default:
                yield f"cloud.{key} has no effect while cloud.{others} is given; set it in the pools"
    if cloud.router.kind == "prefix_aware" and not cloud.prefix_caching:
        yield "cloud.router: prefix_aware is least_outstanding while cloud.prefix_caching is false"
    for key, machines in cloud.machines():
        for name in ("parallel", "precision"):
            if machines.profile is not None and getattr(machines, name).model_fields_set:
                yield f"{key}.{name} has no effect on times and memory, which {key}.profile gives"
    if _set(cloud, "max_retries") and cloud.on_failure == "lost":
        yield "cloud.max_retries has no effect while cloud.on_failure is lost"
    if _set(policy.budget, "burst") and policy.budget.ratio >= 1:
        yield "policy.budget.burst has no effect while policy.budget.ratio is 1 (no limit)"


def _surprises(scenario: sections.Scenario) -> Iterator[str]:
    fleet, policy, timeout = scenario.fleet, scenario.policy, scenario.cloud.request_timeout
    if fleet.represents is not None and fleet.represents < fleet.devices:
        yield f"fleet.represents ({fleet.represents:,}) is smaller than fleet.devices ({fleet.devices:,})"
    ratio = getattr(policy.request, "ratio", None)
    if ratio is not None and ratio > policy.budget.ratio:
        yield f"policy.request.ratio {ratio:g} is capped by policy.budget.ratio {policy.budget.ratio:g}"
    if policy.mode == "blocking" and policy.patience > timeout:
        yield f"policy.patience is longer than cloud.request_timeout: a screen waits at most {timeout:g} s"
    if policy.slate.only_seen and scenario.workload.hides_seen:
        slate = policy.slate.kind
        yield f"policy.slate {slate} is empty: its items are seen ones, which workload.exclude_seen leaves out"
    longest, length = max(scenario.metrics.k), scenario.llm.list_length
    if longest > length:
        yield f"metrics.k {longest} is longer than llm.list_length {length}: what is not in the list is a miss"
