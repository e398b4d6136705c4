"""The `regions` section: parts of the fleet with LLM nodes of their own."""

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.cloud import Cloud
from fleetrec.simulator.scenario.sections.fleet import Link
from fleetrec.simulator.scenario.units import Share


class CloudChanges(Cloud):
    """The keys of `cloud` that differ in a region; a section among them, such as `slo`, is given whole."""


class Region(Section):
    """A part of the fleet with an LLM node of its own; regions meet at fleet pushes and in the fleet's budget only."""

    name: str = Field(min_length=1, description="names the region in every table; unique")
    share: Share = Field(description="share of the devices; the regions' shares add up to 1")
    cloud: CloudChanges = Field(default_factory=CloudChanges, description="keys of `cloud` that differ here")
    link: Link | None = Field(None, description="link of all devices here; none: those of their classes")
    peak_hour: float | None = Field(
        None, ge=0, lt=24, description="hour (UTC) of the daily peak here; none: that of `workload.arrivals`"
    )
