"""What an optimisation wants: figures of a summary to maximise and minimise, and limits that others must keep."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.comparison.metric_values import of_requests
from fleetrec.simulator.experiments.comparison.records import RATIO
from fleetrec.simulator.experiments.folders import full_metric
from fleetrec.simulator.scenario.building import number_of
from fleetrec.simulator.scenario.units import DURATION

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Goals:
    """Dotted names of figures: what is maximised comes first. A limit is the largest value that a figure may have."""

    directions: Mapping[str, Direction]
    limits: Mapping[str, float]

    @property
    def names(self) -> list[str]:
        """Every figure that is looked at."""
        return list(dict.fromkeys([*self.directions, *self.limits]))

    def values(self, figures: Mapping[str, float]) -> list[float]:
        """The figures that are maximised or minimised, in order."""
        return [figures[name] for name in self.directions]

    def excess(self, figures: Mapping[str, float]) -> list[float]:
        """By how much each limit is passed, as a share of it; at most 0 where it is kept, as by no request."""
        return [
            (figures[name] - most) / (abs(most) or 1.0) if name in figures else 0.0
            for name, most in self.limits.items()
        ]

    def missing(self, rows: Sequence[Mapping[str, float]]) -> list[str]:
        """The names without a value in one of the runs `rows`; limits on requests need none where there was none."""
        return [name for name in self.names if any(name not in row and not self._vacuous(name, row) for row in rows)]

    def _vacuous(self, name: str, row: Mapping[str, float]) -> bool:
        return name not in self.directions and of_requests(name) and row[RATIO] == 0

    def means(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """The mean over runs of each figure, over those that have it."""
        held = {name: [row[name] for row in rows if name in row] for name in self.names}
        return {name: sum(values) / len(values) for name, values in held.items() if values}

    def check(self, known: Sequence[str]) -> None:
        """Raises InputError for a name that is not among those of a summary."""
        for name in self.names:
            if name not in known:
                near = get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else "summary.json of a run has the names"
                raise InputError(f"{name}: no figure of a summary has this name; {hint}")


def read_goals(maximize: Sequence[str], minimize: Sequence[str], limits: Sequence[str]) -> Goals:
    """From the command line's words; `ndcg@10` is short for `accuracy.ndcg@10`, limits are NAME=VALUE.

    A limit on a time may have a unit (200ms). InputError for names given twice, and unless two or three figures are
    maximised or minimised, one of them at least each way.
    """
    directions: dict[str, Direction] = {}
    for word, names in (("maximize", maximize), ("minimize", minimize)):
        for name in map(full_metric, names):
            if name in directions:
                raise InputError(f"--{word} {name}: named twice; drop one of the two")
            directions[name] = "maximize" if word == "maximize" else "minimize"
    if not maximize or not minimize or len(directions) > 3:
        raise InputError("optimize: give a figure to --maximize, one to --minimize and at most one more")
    kept: dict[str, float] = {}
    for text in limits:
        name, _, value = text.partition("=")
        name = full_metric(name.strip())
        number = _limit(name, value.strip())
        if number is None or not name or name in kept:
            example = "latency_s.slate.p95=200ms"
            raise InputError(f"--limit {text}: expected a figure's name and its largest value, once, such as {example}")
        kept[name] = number
    return Goals(directions, kept)


def _limit(name: str, text: str) -> float | None:
    if "_s" in name:
        try:
            return DURATION.read(text)
        except ValueError:
            return None
    number = number_of(text)
    return None if number is None else float(number)


def read_seeds(text: str) -> list[int]:
    """Seeds from `1,2,3`; InputError for anything but different whole numbers from 0 on."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise InputError(f"--seeds {text}: expected different whole numbers, such as 1,2,3")
    return [int(word) for word in words]
