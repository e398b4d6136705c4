"""What the study's parts found, read from their folders: means, and paired differences with 95% intervals."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.experiments.measures import Measure
from simulator.experiments.records import ExperimentRecords, read_records
from simulator.experiments.statistics import over_seeds


@dataclass(frozen=True)
class Difference:
    """A mean paired difference and its 95% interval."""

    mean: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        text = f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"
        return f"**{text}**" if self.sure else text


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
        return len(self.records.seeds)

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
        found = self._ndcg.estimate(sums[self.records.index(variant)] - sums[self.records.index(other)])
        return Difference(float(found.mean), float(found.low), float(found.high))

    def over_trainings(self, variants: list[str], others: list[str]) -> Difference:
        """The mean of differences between variants that differ in the training seed, with t over these seeds; of one
        seed, paired by interaction."""
        if len(variants) == 1:
            return self.minus(variants[0], others[0])
        values = [self.ndcg(one) - self.ndcg(other) for one, other in zip(variants, others, strict=True)]
        found = over_seeds(np.array(values), list(range(1, len(values) + 1)))
        return Difference(float(found.mean), float(found.low), float(found.high))


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
