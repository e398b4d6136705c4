"""The `cloud` section: the GPUs that serve the LLM."""

from typing import Literal

from pydantic import Field

from simulator.scenario.sections.base import Section
from simulator.scenario.units import Seconds


class Slo(Section):
    """The service-level objective that the provisioned account must meet."""

    p95_latency: Seconds = Field(1.0, description="95% of the requests should be answered within this")


class Cloud(Section):
    """The GPUs that serve the LLM."""

    gpu: str = Field("h100", description="a GPU of the catalogue")
    replicas: int = Field(1, ge=1, description="copies of the LLM that serve requests")
    gpus_per_replica: int = Field(1, ge=1, description="GPUs that hold one copy (tensor parallel)")
    cpu_cores: int = Field(4, ge=1, description="cores that answer where the slate is cloud_srm")
    slots: int = Field(16, ge=1, description="requests that one replica serves at once")
    queue_limit: int = Field(1000, ge=0, description="waiting requests above which new ones are rejected")
    request_timeout: Seconds = Field(10.0, gt=0, description="an answer that takes longer is given up")
    slo: Slo = Slo()
    stores: Literal["none", "history", "lists"] = Field("none", description="what the cloud keeps of each user")
