"""When a device asks, from docs/background/model.md and docs/reference/scenario.md alone.

Only the request policies that need no training."""

from typing import TYPE_CHECKING

from fleetrec.simulator.scenario import sections
from tests.independent.devices import Device

if TYPE_CHECKING:
    from tests.independent.device_story import Story


def wants(story: "Story", device: Device, joins: bool) -> bool:
    """Whether the scenario's policy asks, now that the device has met its newest interaction, or joins."""
    section, slates, now = story.policy.request, story.slates, story.now
    user, step, as_of = device.user, device.step, device.as_of
    match section:
        case sections.NeverRequest() | sections.CloudPush():
            return False
        case sections.AlwaysRequest():
            return True
        case sections.EveryRequest():
            return (device.decisions - 1) % section.n == 0
        case sections.RandomRequest():
            return story.draws.uniform_one("request.random", device.number, step) < section.ratio
        case sections.StalenessRequest() if section.threshold is not None:
            return as_of < 0 or step - as_of >= section.threshold
        case sections.StalenessRequest():
            return as_of < 0 or now - device.list_time_s >= section.age
        case sections.InconsistencyRequest():
            return as_of < 0 or slates.inconsistency(user, step, as_of, section.terms) >= section.threshold
        case sections.UncertaintyRequest():
            return as_of < 0 or slates.uncertainty(user, step, as_of, section.measure) >= section.threshold
        case sections.CongestionRequest():
            return as_of < 0 or step - as_of >= device.threshold
        case sections.SessionStartRequest():
            return joins or device.pause_s >= section.gap
        case sections.NightlyRequest():
            into_s = (now - section.at) % 86400.0
            stale = as_of < 0 or device.list_time_s < now - into_s
            return stale and into_s < section.window and device.link in section.links
        case sections.OracleGreedyRequest():
            following = slates.item(user, step + 1)
            mine, fresh = (slates.place(user, step, of, following, step) for of in (as_of, step))
            return fresh >= 0 and (mine < 0 or fresh < mine)
    raise NotImplementedError(section.kind)
