"""Which service stands behind a slate."""

from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.api_service import ApiService, OverflowService
from fleetrec.simulator.engine.asked import RequestReader
from fleetrec.simulator.engine.cloud_service import CpuService, LateCost, LlmService, Service
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections


def build_service(
    env: Clock,
    slate: sections.Slate,
    llm: sections.Llm,
    cloud: sections.Cloud,
    tariffs: sections.Tariffs,
    prepared: Prepared,
    late_cost: LateCost,
) -> Service:
    """The service of `cloud`; slates that never ask get cores that stay idle."""
    source, trained = prepared.source, prepared.trained
    if source is None or slate.by_cloud_srm:
        return CpuService(env, cloud, tariffs, trained.srm.flops(trained.histories.n_items), late_cost)
    reader = RequestReader(llm, prepared, source)
    api = (
        None
        if cloud.kind == "gpus" or cloud.api is None
        else ApiService(env, cloud.api, llm, tariffs, prepared, reader)
    )
    if api is not None and cloud.kind == "api":
        return api
    gpus = LlmService(env, llm, cloud, tariffs, prepared, reader, late_cost)
    return gpus if api is None else OverflowService(gpus, api)
