"""When a device asks, from docs/background/model.md and docs/reference/scenario.md alone.

Only the request policies that need no training."""

from typing import TYPE_CHECKING

from fleetrec.simulator.policies.request.always import AlwaysRequest
from fleetrec.simulator.policies.request.cloud_push import CloudPush
from fleetrec.simulator.policies.request.congestion import CongestionRequest
from fleetrec.simulator.policies.request.every import EveryRequest
from fleetrec.simulator.policies.request.inconsistency import InconsistencyRequest
from fleetrec.simulator.policies.request.never import NeverRequest
from fleetrec.simulator.policies.request.nightly import NightlyRequest
from fleetrec.simulator.policies.request.oracle_greedy import OracleGreedyRequest
from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.policies.request.session_start import SessionStartRequest
from fleetrec.simulator.policies.request.staleness import StalenessRequest
from fleetrec.simulator.policies.request.uncertainty import UncertaintyRequest
from tests.independent.devices import Device

if TYPE_CHECKING:
    from tests.independent.device_story import Story


def wants(story: "Story", device: Device, joins: bool) -> bool:
    """Whether the scenario's policy asks, now that the device has met its newest interaction, or joins."""
    section, slates, now = story.policy.request, story.slates, story.now
    user, step, as_of = device.user, device.step, device.as_of
    match section:
        case NeverRequest() | CloudPush():
            return False
        case AlwaysRequest():
            return True
        case EveryRequest():
            return (device.decisions - 1) % section.n == 0
        case RandomRequest():
            return story.draws.uniform_one("request.random", device.number, step) < section.ratio
        case StalenessRequest() if section.threshold is not None:
            return as_of < 0 or step - as_of >= section.threshold
        case StalenessRequest():
            return as_of < 0 or now - device.list_time_s >= section.age
        case InconsistencyRequest():
            return as_of < 0 or slates.inconsistency(user, step, as_of, section.terms) >= section.threshold
        case UncertaintyRequest():
            return as_of < 0 or slates.uncertainty(user, step, as_of, section.measure) >= section.threshold
        case CongestionRequest():
            return as_of < 0 or step - as_of >= device.threshold
        case SessionStartRequest():
            return joins or device.pause_s >= section.gap
        case NightlyRequest():
            into_s = (now - section.at) % 86400.0
            stale = as_of < 0 or device.list_time_s < now - into_s
            return stale and into_s < section.window and device.link in section.links
        case OracleGreedyRequest():
            following = slates.item(user, step + 1)
            mine, fresh = (slates.place(user, step, of, following, step) for of in (as_of, step))
            return fresh >= 0 and (mine < 0 or fresh < mine)
    raise NotImplementedError(section.kind)
