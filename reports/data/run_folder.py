"""A run folder read back: the records and the summary that a run wrote, checked for what reports need."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.notes import caveat_of, texts_of
from fleetrec.simulator.core.notes import COST_ACCOUNT, NOT_CALENDAR, QUALITY
from fleetrec.simulator.experiments.folders import read_written
from fleetrec.simulator.records.columns import Columns
from fleetrec.simulator.records.run_manifest import check_one_run
from fleetrec.simulator.results.engagement import found_alone

ACCOUNTS = {
    "provisioned": "usd_provisioned_per_1k_interactions",
    "marginal": "usd_marginal_per_1k_interactions",
}
"""the figure of `cost` that holds each account, the one that policies are compared by first"""

_RECORDS = {
    "interactions": ("device", "step", "t_s", "rank", "as_of", "staleness", "slate_latency_s"),
    "requests": ("t_issued_s", "t_arrived_s", "t_started_s", "t_finished_s", "t_delivered_s", "outcome"),
}
_COLUMNS = {
    "devices": ("device", "user", "class", "joules", "bytes_up", "bytes_down"),
    "cloud": ("t_s", "queue", "busy", "up"),
}
_OPPORTUNITY_COLUMNS = ("device", "t_s", "outcome")


@dataclass(frozen=True)
class RunRecords:
    """What a run wrote to its folder. Interactions and requests are columns that are read when they are asked for;
    `opportunities`: of users who react, else empty."""

    folder: Path
    summary: Mapping[str, Any]
    scenario: Mapping[str, Any]
    interactions: Columns
    requests: Columns
    devices: pd.DataFrame
    cloud: pd.DataFrame
    opportunities: pd.DataFrame
    known: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)
    """what has been computed of them, once for all that show it (`series`)"""

    @property
    def users(self) -> NDArray[np.int32]:
        """The user of each interaction [interactions], so that clones count as one. InputError where there is an
        interaction of a device that is not among `devices`."""
        known = self.devices["device"].to_numpy()
        user_of = np.full(int(known.max(initial=-1)) + 2, -1, dtype=np.int32)  # the last: of any other device
        user_of[known] = pd.factorize(self.devices["user"])[0]
        device = self.interactions["device"]
        users: NDArray[np.int32] = user_of[np.minimum(device, len(user_of) - 1)]
        if (users < 0).any():
            path = self.folder / "interactions.parquet"
            raise InputError(f"{path}: device {device[users < 0][0]} is not in devices.parquet; run again")
        return users

    @property
    def judged(self) -> "RunRecords":
        """The same with the interactions that predictions are judged on: all, or, of users who react, what they found
        by themselves."""
        if self.opportunities.empty:
            return self
        places = pd.DataFrame({name: self.interactions[name] for name in ("device", "step")})
        return replace(self, interactions=self.interactions.having(found_alone(places, self.opportunities)))

    @property
    def run(self) -> str | None:
        """The run's id, which all that is drawn of it carries."""
        return self.summary.get("run")

    @property
    def span_s(self) -> float:
        """Simulated time, in seconds."""
        stated = self.summary.get("simulated_seconds")
        if "last_s" not in self.known:
            self.known["last_s"] = float(self.interactions["t_s"].max()) if len(self.interactions) else 0.0
        return float(max(stated or 0.0, self.known["last_s"]))

    @property
    def k(self) -> int:
        """The k of the figures: 10 where the run reports it, else the largest that it reports."""
        ks = [int(k) for k in setting(self.scenario, "metrics", "k") or (10,)]
        return 10 if 10 in ks else max(ks)

    @property
    def title(self) -> str:
        """Name and seed, as figures are headed."""
        return f"{self.summary.get('scenario', 'run')}, seed {self.summary.get('seed', '?')}"

    def baselines(self, metric: str) -> dict[str, float]:
        """What each baseline reached, where the summary has that metric."""
        found = (self.summary.get("baselines") or {}).items()
        return {name: float(values[metric]) for name, values in found if values and values.get(metric) is not None}


def setting(mapping: Mapping[str, Any], *keys: str) -> Any:
    """The value at a path of nested mappings; None where the path ends early."""
    value: Any = mapping
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def on_api(summary: Mapping[str, Any]) -> bool:
    """Whether a hosted API alone served a run, so that it had no replicas."""
    return setting(summary, "cloud", "api") is not None and setting(summary, "cloud", "utilization") is None


def stated_cost(summary: Mapping[str, Any], key: str) -> Estimate:
    """A figure of the summary's costs with its 95% interval; NaN where it has none."""
    values = (setting(summary, "cost", name) for name in (key, f"{key}_low", f"{key}_high"))
    return Estimate(*(math.nan if value is None else float(value) for value in values))


def figure_footer(summary: Mapping[str, Any]) -> list[str]:
    """What every figure of a run (or of a comparison) states below: whose quality and cost, the split, the caveat.

    The other notes of the summary, such as the log's problems, stand on the terminal and in summary.json.
    """
    split = summary.get("split") or "not stated"
    if isinstance(split, Mapping):
        split = split.get("description") or split.get("kind") or "not stated"
    return [*texts_of(summary, QUALITY, COST_ACCOUNT, NOT_CALENDAR), f"split: {split}", caveat_of(summary)]


def read_mapping(path: Path) -> Mapping[str, Any]:
    """A JSON or YAML file that a run wrote; an InputError names what cannot be read."""
    value = read_written(path, lambda held: held)
    if not isinstance(value, Mapping):
        raise InputError(f"{path}: is not a mapping; run the scenario again")
    return value


def read_run(run_dir: Path) -> RunRecords:
    """Read a run folder. A missing or damaged file is an InputError that names it."""
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: not a run folder; give the folder that `simulate` wrote")
    check_one_run(run_dir, ("summary.json", "scenario.yaml", *(f"{name}.parquet" for name in _RECORDS | _COLUMNS)))
    tables = {name: _table(run_dir / f"{name}.parquet", columns) for name, columns in _COLUMNS.items()}
    records = {name: Columns(run_dir / f"{name}.parquet", columns) for name, columns in _RECORDS.items()}
    told = run_dir / "opportunities.parquet"
    return RunRecords(
        folder=run_dir,
        summary=read_mapping(run_dir / "summary.json"),
        scenario=read_mapping(run_dir / "scenario.yaml"),
        interactions=records["interactions"],
        requests=records["requests"],
        devices=tables["devices"],
        cloud=tables["cloud"],
        opportunities=_table(told, _OPPORTUNITY_COLUMNS) if told.is_file() else pd.DataFrame(),
    )


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=list(columns))
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a run's records ({reason}); run the scenario again") from error
