"""What `decide` runs of a scenario, as a sweep: first its request policies, then the one chosen in other circumstances.

Every point is simulated; nothing is guessed from another.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.policy_comparison import RATIO, request_policies
from fleetrec.simulator.experiments.sweeps import Plan, Sweep, make_plan
from fleetrec.simulator.experiments.sweeps.reading import Group
from fleetrec.simulator.experiments.sweeps.sections import SweepFile
from fleetrec.simulator.experiments.sweeps.variants import plain
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.overrides import setting_of, to_node
from fleetrec.simulator.scenario.reading import Place

OWN = "as it is"
"""the policy of the scenario itself"""
QUALITIES: Mapping[str, Mapping[str, float]] = {
    "half blended": {"blend": 0.5, "knows_next": 0.0},
    "blended 80%": {"blend": 0.8, "knows_next": 0.0},
    "knowing 5%": {"blend": 1.0, "knows_next": 0.05},
    "knowing 15%": {"blend": 1.0, "knows_next": 0.15},
}
LINKS = ("wifi", "3g")
"""the best and the worst link, each for all phones"""
PRICES = ("low", "high")
"""of the catalogue's range for the GPU"""
SIZES = (0.1, 10)
"""times as many phones"""
TIMES = {"half": 0.5, "twice": 2.0}
"""of the price and the latency of a hosted API"""

Settings = Mapping[str, Any]


def policies(policy: sections.Policy) -> dict[str, Settings]:
    """The settings of each request policy that is looked at, by name; the scenario's own is among them."""
    if not policy.slate.asks:
        raise InputError(
            f"policy.slate: {policy.slate.kind} never asks the cloud, so there is nothing to decide; "
            "decide with --set policy.slate=llm"
        )
    own = policy.request
    found = {
        name: request
        for name, request in request_policies(getattr(own, "ratio", None) or RATIO).items()
        if policy.slate.uses_llm or not request.needs_list
    }
    unlimited = sections.Budget()
    lifted = {} if policy.budget == unlimited else {"policy.budget": unlimited.model_dump()}
    settings: dict[str, Settings] = {
        name: {"policy.request": _said(request)} | lifted for name, request in found.items()
    }
    if lifted or own not in found.values():
        settings[f"{OWN} ({own.kind.rpartition(':')[2]})"] = {"policy.request": _said(own)}
    return settings


def _said(request: sections.RequestPolicy) -> dict[str, Any]:
    """As a file says it: the hash of the user's own source is no key."""
    held = request.model_dump(mode="json", exclude_defaults=True)
    return {"kind": request.kind} | {name: value for name, value in held.items() if name not in ("kind", "source")}


def circumstances(
    slate: sections.Slate, fleet: sections.Fleet, cloud: sections.Cloud, react: bool = False
) -> dict[str, Settings]:
    """The settings of each circumstance that the choice is tried in, by name. Nobody knows what users who `react` take
    next, so no LLM is tried that does."""
    found: dict[str, Settings] = {}
    if slate.uses_llm:
        tried = {name: held for name, held in QUALITIES.items() if not (react and held["knows_next"])}
        found |= {f"LLM quality: {name}": {"llm.quality": dict(held)} for name, held in tried.items()}
    classes = range(len(fleet.classes))
    for link in LINKS:
        found[f"links: all {link}"] = {f"fleet.classes.{number}.link": link for number in classes}
    if cloud.kind != "api":
        found |= {f"GPU price: {name}": {"tariffs.gpu_hour": name} for name in PRICES}
    found |= _of_api(cloud)
    represents = fleet.represents or fleet.devices
    for size in SIZES:
        phones = max(round(size * represents), 1)
        found[f"fleet of {phones:,}"] = {"fleet.represents": phones}
    return found


def _of_api(cloud: sections.Cloud) -> dict[str, Settings]:
    """Other prices and latencies of the hosted API, where it serves."""
    if cloud.api is None or cloud.kind == "gpus":
        return {}
    price, latency = cloud.api.price, cloud.api.latency
    found: dict[str, Settings] = {}
    prices = {name: getattr(price, name) for name in ("input", "output", "cached_input")}
    for name, times in TIMES.items():
        found[f"API price: {name}"] = {
            f"cloud.api.price.{key}": usd * times for key, usd in prices.items() if usd is not None
        }
        if isinstance(latency, sections.LogNormalLatency):
            times_of = {key: getattr(latency, key) * times for key in ("ttft", "tpot")}
            slower = latency.model_copy(update=times_of).model_dump(mode="json", exclude_none=True)
            found[f"API latency: {name}"] = {"cloud.api.latency": slower}
    return found


def plan_of(
    base: Path,
    overrides: Sequence[str],
    name: str,
    seeds: Sequence[int],
    metric: str,
    groups: Mapping[str, Settings],
) -> Plan:
    """The checked plan of the variants `groups` at every seed; `name` is that of the scenario in the file `base`."""
    fixed = dict(setting_of(text) for text in overrides)
    file = SweepFile(
        name=f"{name}-decision"[:80],
        question="Should the phones call the cloud, by which policy, and what does that hang on?",
        base=str(base),
        seeds=tuple(seeds),
        metrics=(metric,),
        baseline=next(iter(groups)),
    )
    variants = [{"name": called, "set": dict(settings)} for called, settings in groups.items()]
    told = {key: value for key, value in file.model_dump(mode="json").items() if value not in (None, "")}
    told |= {"set": {key: plain(node) for key, node in fixed.items()}} if fixed else {}
    text = yaml.safe_dump(told | {"variants": variants}, sort_keys=False, allow_unicode=True)
    place = Place(str(base))
    nodes = [
        Group(called, place, {key: to_node(value, place) for key, value in settings.items()}, {})
        for called, settings in groups.items()
    ]
    sweep = Sweep(path=base, text=text, file=file, base=base, fixed=fixed, groups=nodes)
    return make_plan(sweep, confirmed=True)
