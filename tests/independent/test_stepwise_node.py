"""The LLM node against the step-by-step account of another hand (stepwise_node.py): every time of every request."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from simpy import Environment

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import window_of
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud
from tests.independent import stepwise_node

TOLERANCE = 1e-11  # relative; the engine sums a run of decode steps in closed form, this account adds them up


class Load(NamedTuple):
    """Poisson arrivals at a node of Llama 3.1 8B, or of another model."""

    a_second: float
    requests: int = 400
    prompt: tuple[int, int] = (100, 1500)
    output: tuple[int, int] = (20, 300)
    beams: int = 1
    deadline_s: float = math.inf
    together: int = 1
    """requests that arrive at one moment"""
    model: str = "llama-3.1-8b"
    replicas: int = 1
    gpus: int = 1
    kv_blocks: int = 4000
    max_batched_tokens: int = 8192
    max_sequences: int = 256
    queue_limit: int = 1000
    abort: bool = False
    shows: str = "completed"
    """an outcome that some of its requests have, or "preempted", so that the load is what its name says"""


LOADS = {
    "light": Load(2.0),
    "busy": Load(18.0),
    "overload": Load(60.0, queue_limit=80, shows="rejected"),
    "small chunks": Load(8.0, max_batched_tokens=256, max_sequences=32),
    "little memory": Load(12.0, kv_blocks=400, shows="preempted"),
    "little memory, small chunks": Load(
        10.0, kv_blocks=300, max_batched_tokens=300, max_sequences=64, shows="preempted"
    ),
    "four replicas": Load(60.0, replicas=4),
    "bursts over three replicas": Load(
        40.0, replicas=3, together=7, max_sequences=12, queue_limit=20, shows="rejected"
    ),
    "beams": Load(15.0, output=(8, 8), beams=50),
    "beams, little memory": Load(8.0, output=(4, 20), beams=20, kv_blocks=250, max_sequences=100, shows="preempted"),
    "timeouts": Load(30.0, deadline_s=4.0, max_sequences=40, shows="timed_out"),
    "timeouts that leave": Load(60.0, deadline_s=3.0, max_sequences=40, abort=True, replicas=2, shows="timed_out"),
    "scores": Load(40.0, output=(0, 0)),
    "two GPUs a replica": Load(20.0, gpus=2),
    "experts": Load(10.0, model="qwen3-30b-a3b"),
    "experts of four bits, a window of 128": Load(10.0, model="gpt-oss-20b"),
    "compressed cache": Load(10.0, model="deepseek-v2-lite"),
    "windows": Load(10.0, model="gemma-3-12b"),
    "windows, little memory": Load(6.0, model="gemma-3-12b", kv_blocks=2000, shows="preempted"),
    "windows, beams": Load(8.0, model="gemma-3-12b", output=(4, 20), beams=20, kv_blocks=6000, max_sequences=100),
}


def requests_of(load: Load) -> list[stepwise_node.Request]:
    """The load's requests, in the order of their arrival."""
    rng = np.random.default_rng(7)
    arrivals = np.repeat(np.cumsum(rng.exponential(load.together / load.a_second, load.requests)), load.together)
    return [
        stepwise_node.Request(
            float(t),
            int(rng.integers(load.prompt[0], load.prompt[1] + 1)),
            int(rng.integers(load.output[0], load.output[1] + 1)),
            load.beams,
            float(t) + load.deadline_s,
        )
        for t in arrivals[: load.requests]
    ]


def served_by_the_engine(load: Load, requests: list[stepwise_node.Request]) -> list[Any]:
    """The tickets of the engine's node for the same requests."""
    env = Environment()
    model, gpu = default_catalogue().model(load.model), default_catalogue().gpu("h100")
    window, share = window_of(model)
    engine = Engine(
        load.kv_blocks, load.max_batched_tokens, load.max_sequences, window_tokens=window, window_share=share
    )
    pool = Pool(
        partial(Replica, RooflineTiming(model, gpu, Layout(load.gpus)).steps, engine),
        replicas=load.replicas,
        gpus_per_replica=load.gpus,
    )
    rules = Cloud(queue_limit=load.queue_limit, abort_on_timeout=load.abort)
    node = LlmNode(env, [pool], rules, Draws(1))
    tickets = []

    def arrive() -> Iterator[Any]:
        for request in requests:
            if request.arrival_s > env.now:
                yield env.timeout(request.arrival_s - env.now)
            tickets.append(node.submit(request.prompt, request.output, request.beams, deadline_s=request.deadline_s))

    env.process(arrive())
    env.run()
    return tickets


@pytest.mark.parametrize("name", LOADS)
def test_every_request_is_served_as_an_account_step_by_step_says(name: str) -> None:
    load = LOADS[name]
    requests = requests_of(load)
    tickets = served_by_the_engine(load, requests)
    model, gpu = default_catalogue().model(load.model), default_catalogue().gpu("h100")
    layers = model.window_layers / (model.layers - model.window_layers)
    limits = stepwise_node.Limits(
        load.kv_blocks, load.max_batched_tokens, load.max_sequences, window=model.window or 0, window_layers=layers
    )
    told = stepwise_node.Node(model, gpu, limits, load.replicas, load.gpus, load.queue_limit, load.abort)
    for request, ticket in zip(requests, tickets, strict=True):
        request.arrival_s = ticket.t_arrived_s  # as its clock, which adds pauses up, reads
    told.serve(requests)
    assert load.shows in {r.outcome for r in requests} | {"preempted" for r in told.replicas if r.preemptions}
    wrong = []
    for n, (request, ticket) in enumerate(zip(requests, tickets, strict=True)):
        served = ticket.done.value
        mine = (request.started_s, request.first_token_s, request.told_s, request.gpu_seconds)
        theirs = (ticket.t_started_s, ticket.t_first_token_s, served.t_finished_s, ticket.gpu_seconds)
        same = np.allclose(mine, theirs, rtol=TOLERANCE, atol=0, equal_nan=True)
        replica = request.replica if not math.isnan(request.started_s) else -1
        if not same or request.outcome != served.outcome or replica != ticket.replica:
            wrong.append((n, request.outcome, served.outcome, replica, ticket.replica, mine, theirs))
    assert not wrong, f"{len(wrong)} of {len(requests)}, the first: {wrong[:3]}"
