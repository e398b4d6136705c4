"""Measured times beside simulated ones: of the catalogue's guess, and of a profile fitted to the first part."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.calibration import RequestLog, Server, calibrate
from fleetrec.simulator.cloud.calibration.outcomes import Outcomes, Times, measured, relative_errors
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.experiments.rehearsal.clouds import Cloud, Fitted

BARS = {"latency_p50": 0.10, "latency_p95": 0.20}
"""how near a fitted profile should come to requests that it has not seen"""
_FEWEST = 20
"""answered requests, to fit and judge anything"""
_STRETCHES, _UNSTEADY = 5, 1.4
_RESAMPLES, _SEED = 1000, 0
_IN_TURN = 10
"""stretches that are fitted and judged in turn where the server was not steady"""


@dataclass(frozen=True)
class Comparison:
    """Outcomes of the answered requests: as measured, by the catalogue's guess, and by what was fitted to the first
    `fitted` of them; None where that could not be had, which a note says."""

    log: RequestLog
    guess: Outcomes | None
    found: Fitted | None
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
            "errors_95": None if self.found is None else _intervals(self.log, self.found.simulated, parts["second"]),
            "bars": BARS,
            "met": self.met,
        }

    @property
    def met(self) -> bool | None:
        """Whether the fit meets its bars on what it has not seen."""
        if self.found is None:
            return None
        return all(abs(self.found.held_out[name]) <= bar for name, bar in BARS.items())


def compared(log: RequestLog, cloud: Cloud, fit_first: float) -> Comparison:
    """Simulate what a log holds as the cloud was guessed to be, and as it is by what the first part of the log says."""
    notes: list[Note] = []
    guess: Outcomes | None = None
    try:
        guess = cloud.simulate(log)
    except InputError as error:
        notes.append(note("no_guess", "the scenario's own cloud could not serve what was sent: {why}", why=str(error)))
    found: Fitted | None = None
    if len(log) < _FEWEST:
        said = "{requests} requests were answered, and at least {least} are needed to fit and judge a profile"
        notes.append(note("too_few", said, requests=len(log), least=_FEWEST))
    else:
        try:
            found = cloud.fit(log, fit_first, notes)
        except InputError as error:
            notes.append(note("no_profile", "no profile could be fitted: {why}", why=str(error)))
    comparison = Comparison(log, guess, found, int(fit_first * len(log)), tuple(notes))
    if found is None or found.profile is None:
        return comparison
    unsteady = _steadiness(log, found.simulated)
    in_turn = _in_turn(log, found.profile.server) if unsteady or not comparison.met else []
    return replace(comparison, notes=(*notes, *unsteady, *in_turn))


def _steadiness(log: RequestLog, simulated: Outcomes) -> list[Note]:
    """A note where what requests take, over what their load explains, changes from one stretch of a log to another."""
    off = (log.last_s - log.arrival_s) / np.maximum(simulated.typical_last_s - log.arrival_s, 1e-9)
    medians = [float(np.median(part)) for part in np.array_split(off, max(min(_STRETCHES, len(off) // _FEWEST), 1))]
    factor = max(medians) / min(medians)
    if factor < _UNSTEADY:
        return []
    said = (
        "the server is not steady: what a request takes, over what its load explains, changes by a factor of "
        "{factor:.2g} from one stretch of the rehearsal to another, which no profile meets; see whether something "
        "else uses its machine, or rehearse for longer"
    )
    return [note("unsteady", said, factor=factor)]


def _in_turn(log: RequestLog, server: Server) -> list[Note]:
    """How near a fit comes that saw the server in all its states: to every other stretch, judged on those between."""
    rows = (np.arange(len(log)) * _IN_TURN // len(log)) % 2 == 0
    try:
        held_out = calibrate(log, server, rows=rows).held_out or {}
    except InputError:
        return []
    said = (
        "fitted to every other tenth of the rehearsal and judged on those between, which saw the same server, a profile"
        " is off by {p50:+.1%} in the median latency and {p95:+.1%} at the 95th percentile"
    )
    return [note("in_turn", said, p50=held_out["latency_p50"], p95=held_out["latency_p95"])]


def _intervals(log: RequestLog, simulated: Outcomes, rows: slice) -> dict[str, tuple[float, float]]:
    """Between which a fit's errors come by chance: 95% of those to resamples of the measured requests, neighbours drawn
    together, for what slows one slows the next."""
    ours, theirs = (Times.of(log, of, rows).latency_s for of in (simulated, measured(log)))
    n = len(theirs)
    length = math.ceil(math.sqrt(n))
    begins = Draws(_SEED).integers(n, "rehearsal.resample", *np.ogrid[:_RESAMPLES, : math.ceil(n / length)])
    rows_of = (begins[..., None] + np.arange(length)) % n
    drawn = theirs[rows_of.reshape(_RESAMPLES, -1)[:, :n]]
    found = {}
    for name in BARS:
        p = float(name.removeprefix("latency_p"))
        errors = np.percentile(ours, p) / np.percentile(drawn, p, axis=1) - 1.0
        low, high = np.percentile(errors, (2.5, 97.5))
        found[name] = float(low), float(high)
    return found


def _times(log: RequestLog, outcomes: Outcomes, rows: slice) -> Mapping[str, Mapping[str, float]]:
    times = Times.of(log, outcomes, rows)
    named = {"ttft": times.ttft_s, "tpot": times.tpot_s, "latency": times.latency_s}
    return {
        name: {"mean": float(held.mean())} | {f"p{p}": float(np.percentile(held, p)) for p in (50, 95, 99)}
        for name, held in named.items()
        if held.size
    }
