"""The regions' records as one run's: read and written a row group at a time, never all at once, and several tables
beside each other.

Devices are numbered region after region, so the order by device and step is that of the regions. Numbers of devices
and requests, which each region begins at 0, go on from those of the regions before.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fleetrec.models.runtime.cores import available_cores
from fleetrec.simulator.preparation.training import TrainedModels
from fleetrec.simulator.records.column_units import telling_units, with_units
from fleetrec.simulator.records.run_manifest import with_run
from fleetrec.simulator.regions.region import LIVES, OWNERS
from fleetrec.simulator.results.account import summed_draws
from fleetrec.simulator.results.closed_loop import popularity_of_items
from fleetrec.simulator.results.lives import OF_CHOICES, Lives, Told
from fleetrec.simulator.results.run_folder import RunFolder
from fleetrec.simulator.results.run_result import TABLES
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.regional import device_bounds

BY_REGION = "cloud_by_region"
_REACTING = OPPORTUNITIES, FEEDBACK = "opportunities", "feedback"
"""tables where users react"""
_BY_ROW = ("interactions", "requests", "devices", "users", "baselines", OPPORTUNITIES)
_WITH_REGION = ("devices", "requests")


class FolderTables(Mapping[str, pd.DataFrame]):
    """The tables of a run's folder, each read when it is asked for."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._names = *TABLES, *(name for name in _REACTING if (folder / f"{name}.parquet").is_file())

    def __getitem__(self, name: str) -> pd.DataFrame:
        if name not in self._names:
            raise KeyError(name)
        return telling_units(pd.read_parquet(self._folder / f"{name}.parquet"))

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """All tables of a run's folder, in memory."""
    return dict(FolderTables(folder))


def merge_tables(
    regions: Sequence[sections.Region],
    fleet: sections.Fleet,
    duration_s: float,
    parts: list[Path],
    folder: RunFolder,
    training_usd: float,
) -> None:
    """Write the run's tables to `folder` from those of the regions, in the folders `parts` [R]; `training_usd` is what
    trainings cost the simulated fleet."""
    first_device = device_bounds(regions, fleet.devices)[:-1]
    issued = [pq.read_metadata(part / "requests.parquet").num_rows for part in parts]
    first_request = np.concatenate([[0], np.cumsum(issued)])[:-1].tolist()
    names = [one.name for one in regions]

    def merge(table: str, path: Path) -> None:
        named = names if table in _WITH_REGION else [None] * len(parts)
        each = zip(parts, first_device, first_request, named, strict=True)
        with _Writer(path, folder.run) as writer:
            for rows in _one_ahead(_numbered_rows(part / f"{table}.parquet", *of) for part, *of in each):
                writer.write(rows)

    there = [name for name in _BY_ROW if (parts[0] / f"{name}.parquet").is_file()]
    with ExitStack() as files:
        paths = [files.enter_context(folder.file(f"{name}.parquet")) for name in there]
        with ThreadPoolExecutor(available_cores()) as threads:
            list(threads.map(merge, there, paths))
    folder.write_table("items", pd.read_parquet(parts[0] / "items.parquet"))
    folder.write_table("updates", _updates(parts, first_device))
    loads = [pd.read_parquet(part / "cloud.parquet") for part in parts]
    folder.write_table("cloud", _summed(loads))
    named = [load.assign(region=region.name) for load, region in zip(loads, regions, strict=True)]
    folder.write_table(BY_REGION, pd.concat(named, ignore_index=True))
    accounts = [pd.read_parquet(part / "account.parquet") for part in parts]
    scale = (fleet.represents or fleet.devices) / fleet.devices
    folder.write_table("account", summed_draws(accounts, training_usd * scale, duration_s))


def merge_lives(
    fleet: sections.Fleet, trained: TrainedModels, parts: list[Path], folder: RunFolder
) -> tuple[Told, NDArray[np.bool_]]:
    """What users did who react in all regions, whose tables are merged in `folder`, and which interactions [M] they
    found by themselves. What figures of feedback would be without each of them is written."""
    devices = pd.concat([pd.read_parquet(part / f"{LIVES}.parquet") for part in parts], ignore_index=True)
    of_regions = [pd.read_parquet(part / f"{OWNERS}.parquet", columns=list(OF_CHOICES)) for part in parts]
    recorded = pd.read_parquet(folder.path / "interactions.parquet", columns=["device", "item", "t_s"])
    lives = Lives(devices, pd.concat([recorded, pd.concat(of_regions, ignore_index=True)], axis=1))
    popularity, ids = popularity_of_items(trained.training), trained.split.log.user_ids
    told = lives.told([one.name for one in fleet.classes], popularity, ids)
    if told.feedback_without is not None:
        folder.write_table(FEEDBACK, told.feedback_without)
    return told, lives.alone


class _Writer:
    """A Parquet file whose schema is that of its first rows."""

    def __init__(self, path: Path, run: str):
        self._path, self._run = path, run
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, rows: pa.Table) -> None:
        """Append rows, as a row group."""
        rows = with_units(with_run(rows, self._run))
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, rows.schema)
        self._file.write_table(rows)


def _one_ahead(sources: Iterable[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """What sources yield, one after the other; the next is made by a thread beside while one is looked at."""
    rows = chain.from_iterable(sources)
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, rows, None)
        while (found := coming.result()) is not None:
            coming = beside.submit(next, rows, None)
            yield found


def _numbered_rows(path: Path, device: int, request: int, region: str | None) -> Iterator[pa.Table]:
    """The rows of a region's table, a row group at a time (see `_numbered`)."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield _numbered(file.read_row_group(group), device, request, region)


def _numbered(rows: pa.Table, device: int, request: int, region: str | None) -> pa.Table:
    """Rows of a region whose first device and first request have these numbers in the run."""
    for name, first in (("device", device), ("request", request)):
        if name in rows.column_names:
            at, old = rows.column_names.index(name), rows.column(name)
            new = pc.if_else(pc.greater_equal(old, 0), pc.add(old, pa.scalar(first, old.type)), old)
            rows = rows.set_column(at, rows.schema.field(at), new)
    if region is not None:
        rows = rows.append_column("region", pa.array([region] * len(rows), pa.string()))
    return rows


def _updates(parts: list[Path], first_device: list[int]) -> pd.DataFrame:
    """Installs and adaptations of all regions; a release, which all regions tell of, once."""
    frames = []
    for number, (part, first) in enumerate(zip(parts, first_device, strict=True)):
        rows = pd.read_parquet(part / "updates.parquet")
        released = rows["event"] == "released"
        rows["device"] += np.where(released, 0, first).astype(np.int32)
        frames.append(rows if number == 0 else rows[~released])
    return pd.concat(frames).sort_values(["t_s", "event", "device"], ignore_index=True, kind="stable")


def _summed(loads: list[pd.DataFrame]) -> pd.DataFrame:
    """What all nodes together hold: a row of one of them holds until its next."""
    t_s = np.unique(np.concatenate([load["t_s"].to_numpy() for load in loads]))
    columns = [name for name in loads[0].columns if name != "t_s"]
    total = pd.DataFrame({"t_s": t_s, **dict.fromkeys(columns, 0.0)})
    for load in loads:
        at = np.searchsorted(load["t_s"].to_numpy(), t_s, side="right") - 1
        for name in columns:
            total[name] += load[name].to_numpy()[at]
    return total
