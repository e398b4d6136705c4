"""What is sent in a rehearsal: which requests of a simulated run, when, with which prompts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.rehearsal.sender import Due
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.preparation.prompt_export import Prompts
from fleetrec.simulator.results.run_result import RunResult, asked_of_llm
from fleetrec.simulator.scenario.units import DURATION

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """Requests in the order in which they come to the cloud; arrays [N]."""

    request: Ints
    """number of each in the run"""
    user: Ints
    """place in the log"""
    as_of: Ints
    arrives_s: Floats
    """at the cloud, in simulated seconds"""
    prompt_tokens: Ints
    """as simulated, as the next"""
    output_tokens: Ints
    due: tuple[Due, ...]

    def __len__(self) -> int:
        return len(self.request)


def load_of(
    run: RunResult,
    prepared: Prepared,
    sequences: int,
    seconds: float,
    speed: float,
    most: int,
    begin_s: float | None,
    limit: int | None,
) -> Load:
    """The requests that come to the cloud in `seconds` of real time, `speed` times as fast as simulated: from `begin_s`
    of the run on, or in the busiest such stretch; the first `most` of them.

    `sequences` of a request: of beams one is asked for. `limit`: most tokens of an answer; none: what is simulated.
    InputError where there is no request.
    """
    came = asked_of_llm(run.requests)
    arrives_s = came["t_arrived_s"].to_numpy(np.float64)
    span_s = seconds * speed
    if not len(came):
        raise InputError("the simulated fleet sends the LLM no request; rehearse a scenario whose policy asks it")
    if begin_s is None:
        begin_s = arrives_s[_busiest(arrives_s, span_s)]
    inside = slice(*np.searchsorted(arrives_s, [begin_s, begin_s + span_s]))
    came, arrives_s = came[inside][:most], arrives_s[inside][:most]
    if not len(came):
        raise InputError(
            f"--from {DURATION.show(begin_s)}: no request comes to the cloud in the {DURATION.show(span_s)} after it; "
            "name another moment, or leave it out for the busiest stretch"
        )
    users = prepared.population.users[came["device"].to_numpy(np.int64)]
    as_of, writes = came["step"].to_numpy(np.int64), came["output_tokens"].to_numpy(np.int64) // sequences
    prompts = Prompts(prepared.inputs, prepared.trained.split.log)
    limits = np.maximum(writes, 1) if limit is None else np.full(len(came), limit)
    due = tuple(
        Due(float(at_s - arrives_s[0]) / speed, prompt, int(most_tokens))
        for at_s, prompt, most_tokens in zip(arrives_s, prompts.of(users, as_of), limits, strict=True)
    )
    reads = came["prompt_tokens"].to_numpy(np.int64)
    return Load(came["request"].to_numpy(np.int64), users, as_of, arrives_s, reads, writes, due)


def _busiest(arrives_s: Floats, span_s: float) -> int:
    """The first request of the stretch of so long in which most come, the first of several."""
    ends = np.searchsorted(arrives_s, arrives_s + span_s)
    return int(np.argmax(ends - np.arange(len(arrives_s))))
