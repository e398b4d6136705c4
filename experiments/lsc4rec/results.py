"""What the study's parts found, read from their folders: means, and paired differences with 95% intervals."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from fleetrec.simulator.experiments.comparison.matched_runs import read_records
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.records import ExperimentRecords
from fleetrec.simulator.experiments.statistics import Replicates, over_runs


@dataclass(frozen=True)
class Difference:
    """A mean paired difference and its 95% interval."""

    mean: float
    low: float
    high: float
    replicates: int | None = None
    """trainings that the interval rests on; none: it rests on users, of whom there are many"""
    shares: tuple[float, float] | None = None
    """which share of decisions asked, under the one and under the other, where policies are compared"""

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def p(self) -> float:
        """Of no difference, two-sided: by Student's t over trainings, else by the normal law."""
        half = 0.5 * (self.high - self.low)
        if half == 0.0:
            return 1.0 if self.mean == 0.0 else 0.0
        law = stats.norm() if self.replicates is None else stats.t(self.replicates - 1)
        return float(2.0 * law.sf(abs(self.mean) / half * law.ppf(0.975)))

    def text(self, bold: bool) -> str:
        """Mean and interval, and the shares of requests where there are some."""
        text = f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"
        spent = "" if self.shares is None else " at {} and {}".format(*map(share, self.shares))
        return (f"**{text}**" if bold else text) + spent

    def __str__(self) -> str:
        return self.text(self.sure)


def share(value: float) -> str:
    """A metric between 0 and 1 to four places: .1234."""
    return f"{value:.4f}".removeprefix("0")


def signed(value: float) -> str:
    """A difference to four places: +.0012, −.0012."""
    return ("−" if value < 0 else "+") + share(abs(value))


class Sweep:
    """A finished sweep: NDCG@10 by variant, and whatever else its runs say."""

    def __init__(self, folder: Path):
        self.records: ExperimentRecords = read_records(folder, None)[0]
        self._ndcg: Measure = self.records.measure(self.records.check("ndcg@10"))

    @property
    def variants(self) -> list[str]:
        """Their names, in the order of the file."""
        return [variant.name for variant in self.records.variants]

    @property
    def seeds(self) -> int:
        """How many worlds."""
        return len(self.records.replicates.worlds)

    @property
    def interactions(self) -> int:
        """How many are judged, over all worlds."""
        return int(self._ndcg.counts.sum())

    def ndcg(self, variant: str) -> float:
        """Mean NDCG@10 of a variant."""
        return float(self._ndcg.means[self.records.index(variant)])

    def figure(self, variant: str, name: str) -> float:
        """Mean over seeds of a column of results.parquet."""
        table = self.records.results
        return float(table.loc[table["variant"] == variant, name].mean()) if name in table else float("nan")

    def minus(self, variant: str, other: str) -> Difference:
        """NDCG@10 of one variant less that of another, paired by interaction."""
        sums = self._ndcg.sums
        found = self._ndcg.of(sums[self.records.index(variant)] - sums[self.records.index(other)])
        return Difference(float(found.mean), float(found.low), float(found.high))

    def over_trainings(self, variants: list[str], others: list[str]) -> Difference:
        """The mean of differences between variants that differ in the training seed. Its interval adds up, as squares,
        t over these seeds and that over users; of one seed it is the latter, paired by interaction."""
        if len(variants) == 1:
            return self.minus(variants[0], others[0])
        values = [self.ndcg(one) - self.ndcg(other) for one, other in zip(variants, others, strict=True)]
        found = over_runs(np.array(values), Replicates((1,), tuple(range(1, len(values) + 1))))
        sums, index = self._ndcg.sums, self.records.index
        one, other = (np.mean([sums[index(name)] for name in names], axis=0) for names in (variants, others))
        users = self._ndcg.of(one - other)
        mean, half = float(found.mean), float(np.hypot(found.high - found.low, users.high - users.low)) / 2.0
        return Difference(mean, mean - half, mean + half, len(values))

    def seeds_of(self, group: str) -> list[str]:
        """The variants of a name that differ in the training seed, or the one that has no such seed."""
        return [name for name in self.variants if name.startswith(f"{group} seed=") or name == group]

    def ndcg_of(self, group: str) -> float:
        """Mean NDCG@10 over those variants."""
        own = self.seeds_of(group)
        return sum(self.ndcg(name) for name in own) / len(own)

    def trained(self, group: str, other: str) -> Difference:
        """NDCG@10 of one name less that of another, over the training seeds."""
        return self.over_trainings(self.seeds_of(group), self.seeds_of(other))

    def asked(self, variant: str) -> float:
        """The share of decisions that asked."""
        return self.figure(variant, "requests.realised_ratio")


def finished(root: Path, part: str, data: str) -> Path | None:
    """The folder of a part on a data set, where it is finished."""
    folder = root / f"{part}-{data}"
    return folder if (folder / "times.json").exists() else None


def sweeps(root: Path, part: str, names: list[str]) -> dict[str, Sweep]:
    """The finished sweeps of a part, by data set."""
    folders = {data: finished(root, part, data) for data in names}
    return {data: Sweep(folder) for data, folder in folders.items() if folder is not None}


def replays(root: Path, part: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """What the finished replays of a part printed, by data set."""
    folders = {data: finished(root, part, data) for data in names}
    return {
        data: json.loads((folder / "found.json").read_text(encoding="utf-8"))
        for data, folder in folders.items()
        if folder is not None
    }


def core_minutes(root: Path, part: str, data: str) -> float | None:
    """Processor time of a part on a data set, in minutes."""
    folder = finished(root, part, data)
    return None if folder is None else json.loads((folder / "times.json").read_text())["core_s"] / 60
