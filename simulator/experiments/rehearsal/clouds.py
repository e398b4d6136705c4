"""What a scenario takes the rehearsed server for, own GPUs or a hosted API: what it would have done with a log's
requests, and what is fitted to the first part of the log in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.api.latency import ApiLatency, Measured, Times, times_of
from fleetrec.simulator.cloud.calibration import UNKNOWN, Calibration, RequestLog, Server, calibrate
from fleetrec.simulator.cloud.calibration.outcomes import (
    Outcomes,
    check_fits,
    relative_errors,
    simulate_log,
)
from fleetrec.simulator.cloud.pools import Kind
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.experiments.rehearsal.folder import LOG, PROFILE
from fleetrec.simulator.scenario import sections


@dataclass(frozen=True)
class Fitted:
    """What was fitted to the first requests of a log."""

    simulated: Outcomes
    held_out: Mapping[str, float]
    notes: tuple[Note, ...] = ()
    profile: Calibration | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


class Cloud(Protocol):
    """What the server is taken for."""

    @property
    def name(self) -> str:
        """In words."""

    def simulate(self, log: RequestLog) -> Outcomes:
        """The log's requests at their moments, as guessed. InputError where they could not be served."""

    def fit(self, log: RequestLog, fit_first: float, notes: list[Note]) -> Fitted:
        """What the first part of a log says instead. InputError where it says too little."""

    def fitted_section(self, cloud: sections.Cloud, folder: Path) -> sections.Cloud:
        """The scenario's cloud with what was fitted, from the folder of the rehearsal."""


@dataclass(frozen=True)
class OwnGpus:
    """One replica of a kind; `named`: the same as a server whose log can be fitted, where the model that was asked is
    the one that the scenario charges. Its roofline is the prior, unless the times are far from any that it could have.
    """

    kind: Kind
    named: Server | None

    @property
    def name(self) -> str:
        """The model and its GPU."""
        return f"{self.kind.model.name} on {self.kind.gpu.name}"

    def simulate(self, log: RequestLog) -> Outcomes:
        """On the replica."""
        check_fits(log, self.kind.engine)
        return simulate_log(log, self.kind.steps, self.kind.engine)

    def fit(self, log: RequestLog, fit_first: float, notes: list[Note]) -> Fitted:
        """Step times."""
        if self.named is not None:
            try:
                return _of_calibration(calibrate(log, self.named, fit_first))
            except InputError as error:
                notes.append(note("not_as_named", "fitted as a server of no catalogue, for {why}", why=str(error)))
        return _of_calibration(calibrate(log, UNKNOWN, fit_first))

    def fitted_section(self, cloud: sections.Cloud, folder: Path) -> sections.Cloud:
        """Its replicas have the profile's step times."""
        if cloud.pools or cloud.disaggregation is not None:
            raise InputError("its cloud has pools, and the profile is of one kind of replicas")
        return cloud.model_copy(update={"profile": str((folder / PROFILE).resolve()), "engine": None})


def _of_calibration(found: Calibration) -> Fitted:
    assert found.held_out is not None
    figures = {name: value for name, value in found.figures().items() if name != "notes"}
    return Fitted(found.simulated, found.held_out, found.notes, found, figures)


@dataclass(frozen=True)
class HostedApi:
    """An API, whose times are a law's and hang on no other request."""

    api: sections.Api
    draws: Draws

    @property
    def name(self) -> str:
        """The API by its preset, if it has one."""
        return f"API {self.api.preset}" if self.api.preset else "hosted API"

    def simulate(self, log: RequestLog) -> Outcomes:
        """By the scenario's law, at the pace of the day's mean."""
        law = ApiLatency(self.api.model_copy(update={"daily": None}), self.draws)
        return _outcomes(log, [law.draw((number, 0, 0), 0.0) for number in range(len(log))])

    def fit(self, log: RequestLog, fit_first: float, notes: list[Note]) -> Fitted:
        """The measured times of the first part, drawn at random."""
        fitted = int(fit_first * len(log))
        arrival_s, first_s, last_s = (times[:fitted] for times in (log.arrival_s, log.first_s, log.last_s))
        law = Measured(times_of(arrival_s, first_s, last_s, log.output_tokens[:fitted]), self.draws)
        simulated = _outcomes(log, [law.draw((number, 0, 0)) for number in range(len(log))])
        said = (
            "what is fitted to an API is the measured times themselves, drawn at random; a scenario takes them by "
            "cloud.api.latency: {{kind: log, path: {log}}}"
        )
        held_out = relative_errors(log, simulated, slice(fitted, None))
        return Fitted(simulated, held_out, (note("api_law", said, log=LOG),))

    def fitted_section(self, cloud: sections.Cloud, folder: Path) -> sections.Cloud:
        """Its API has the measured times."""
        assert cloud.api is not None
        latency = sections.MeasuredLatency(path=str((folder / LOG).resolve()))
        return cloud.model_copy(update={"api": cloud.api.model_copy(update={"latency": latency})})


def _outcomes(log: RequestLog, times: list[Times]) -> Outcomes:
    ttft_s, tpot_s = np.array(times).T
    first_s = log.arrival_s + ttft_s
    return Outcomes(first_s, first_s + tpot_s * (log.output_tokens - 1))
