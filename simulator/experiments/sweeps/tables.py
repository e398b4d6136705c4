"""results.parquet and timing.parquet: one row a finished run, read from what the runs left on disk."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.experiments.folders import ExperimentFolder, flat_figures
from fleetrec.simulator.scenario.text_files import read_object

_NOT_FIGURES = ("schema_version", "seed")


def write_tables(folder: ExperimentFolder) -> int:
    """Write both tables of an experiment; the number of finished runs that they hold."""
    manifest = folder.manifest()
    keys = list(manifest.axes)
    results: list[dict[str, Any]] = []
    timing: list[dict[str, Any]] = []
    for run in folder.runs(manifest):
        if not run.finished:
            continue
        place: dict[str, Any] = {"variant": run.variant.name, "seed": run.seed}
        place |= {} if run.training is None else {"training": run.training}
        figures = flat_figures(_json(run.folder / "summary.json"))
        settings = {key: run.variant.settings.get(key) for key in keys}
        results.append(place | settings | {k: v for k, v in figures.items() if k not in _NOT_FIGURES})
        timing.append(place | flat_figures(_json(run.folder / "timing.json")))
    _write(results, keys, folder.path / "results.parquet")
    _write(timing, [], folder.path / "timing.parquet")
    return len(results)


def _json(path: Path) -> dict[str, Any]:
    return read_object(path, "file of a run", "the run's own file, or --overwrite the run")


def _write(rows: list[dict[str, Any]], keys: Iterable[str], path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["variant", "seed"]
    swept = set(keys)
    arrays = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name == "variant" or name in swept:
            arrays[name] = _settings(values) if name in swept else pa.array(values, pa.string())
        else:
            arrays[name] = pa.array(values, pa.int64() if name in ("seed", "training") else pa.float64())
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(arrays), temporary)


def _settings(values: list[Any]) -> pa.Array:
    """A swept key's values: numbers or truth values where all are, else text."""
    types = {type(value) for value in values if value is not None}
    if types == {bool}:
        return pa.array(values, pa.bool_())
    if types == {int}:
        return pa.array(values, pa.int64())
    if types and types <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, Mapping | list | bool) else str(value)
