"""Measured times beside simulated ones: of the catalogue's guess, and of a profile fitted to the first part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import UNKNOWN, Calibration, RequestLog, Server, calibrate
from fleetrec.simulator.cloud.calibration.outcomes import (
    Outcomes,
    Times,
    check_fits,
    measured,
    relative_errors,
    simulate_log,
)
from fleetrec.simulator.cloud.pools import Kind
from fleetrec.simulator.core.notes import Note, note

BARS = {"latency_p50": 0.10, "latency_p95": 0.20}
"""how near a fitted profile should come to requests that it has not seen"""
_FEWEST = 20
"""answered requests, to fit and judge anything"""


@dataclass(frozen=True)
class Comparison:
    """Outcomes of the answered requests: as measured, by the catalogue's guess, and by what was fitted to the first
    `fitted` of them; None where that could not be had, which a note says."""

    log: RequestLog
    guess: Outcomes | None
    found: Calibration | None
    fitted: int
    notes: tuple[Note, ...]

    def figures(self) -> dict[str, Any]:
        """Percentiles and errors by part, as one JSON object."""
        sources = {"measured": measured(self.log), "guess": self.guess}
        sources["profile"] = None if self.found is None else self.found.simulated
        parts = {"first": slice(0, self.fitted), "second": slice(self.fitted, None)}
        if self.found is None:
            parts = {"all": slice(None)}
        return {
            "requests": len(self.log),
            "fitted": self.fitted if self.found is not None else None,
            "times_s": {
                part: {name: _times(self.log, held, rows) for name, held in sources.items() if held is not None}
                for part, rows in parts.items()
            },
            "errors": {
                part: {
                    name: relative_errors(self.log, held, rows)
                    for name, held in sources.items()
                    if held is not None and name != "measured"
                }
                for part, rows in parts.items()
            },
            "bars": BARS,
            "met": self.met,
        }

    @property
    def met(self) -> bool | None:
        """Whether the fit meets its bars on what it has not seen."""
        if self.found is None or self.found.held_out is None:
            return None
        return all(abs(self.found.held_out[name]) <= bar for name, bar in BARS.items())


def compared(log: RequestLog, kind: Kind, named: Server | None, fit_first: float) -> Comparison:
    """Simulate what a log holds on one replica of a kind, and on one that is fitted to the first part of it.

    `named`: the server of the scenario, where the model that was asked is that one; its roofline is the prior unless
    the times are far from any that it could have.
    """
    notes: list[Note] = []
    guess: Outcomes | None = None
    try:
        check_fits(log, kind.engine)
        guess = simulate_log(log, kind.steps, kind.engine)
    except InputError as error:
        notes.append(note("no_guess", "the scenario's own cloud could not serve what was sent: {why}", why=str(error)))
    found: Calibration | None = None
    if len(log) < _FEWEST:
        said = "{requests} requests were answered, and at least {least} are needed to fit and judge a profile"
        notes.append(note("too_few", said, requests=len(log), least=_FEWEST))
    else:
        found = _fitted(log, named, fit_first, notes)
    return Comparison(log, guess, found, int(fit_first * len(log)), tuple(notes))


def _fitted(log: RequestLog, named: Server | None, fit_first: float, notes: list[Note]) -> Calibration | None:
    try:
        if named is not None:
            try:
                return calibrate(log, named, fit_first)
            except InputError as error:
                notes.append(note("not_as_named", "fitted as a server of no catalogue, for {why}", why=str(error)))
        return calibrate(log, UNKNOWN, fit_first)
    except InputError as error:
        notes.append(note("no_profile", "no profile could be fitted: {why}", why=str(error)))
        return None


def _times(log: RequestLog, outcomes: Outcomes, rows: slice) -> Mapping[str, Mapping[str, float]]:
    times = Times.of(log, outcomes, rows)
    named = {"ttft": times.ttft_s, "tpot": times.tpot_s, "latency": times.latency_s}
    return {
        name: {"mean": float(held.mean())} | {f"p{p}": float(np.percentile(held, p)) for p in (50, 95, 99)}
        for name, held in named.items()
        if held.size
    }
