"""A run's result: its tables, its summary, and the files they become."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.records.schemas import OPPORTUNITY_SCHEMA
from fleetrec.simulator.results.feedback import BOUNDS
from fleetrec.simulator.results.lives import Lives
from fleetrec.simulator.results.run_folder import RunFolder
from fleetrec.simulator.scenario import resolved_yaml, sections

TABLES = ("interactions", "requests", "devices", "items", "users", "cloud", "updates", "account", "baselines")

_TEXTS = ("scenario.yaml", "timing.json", "summary.json")


def asked_of_llm(requests: pd.DataFrame) -> pd.DataFrame:
    """Those of a run's requests that came to the cloud's LLM, in the order in which they came."""
    came: pd.DataFrame = requests[np.isfinite(requests["t_arrived_s"]) & (requests["prompt_tokens"] > 0)]
    return came.sort_values(["t_arrived_s", "request"], kind="stable")


@dataclass
class RunResult:
    """What a run found: `summary`, and tables of interactions, requests, devices, items, users, cloud load, updates and
    account (pandas; `attrs["units"]` has the units of their columns)."""

    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame]
    """by name; those of a run in regions are read from its folder each time"""
    scenario: sections.Scenario
    notes: Sequence[Note] = ()
    """those of the summary"""
    timing: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    lives: Lives | None = None
    """of users who react, as they have been collected; none of a run in regions"""

    @property
    def interactions(self) -> pd.DataFrame:
        """One row an interaction."""
        return self.tables["interactions"]

    @property
    def requests(self) -> pd.DataFrame:
        """One row a request."""
        return self.tables["requests"]

    @property
    def devices(self) -> pd.DataFrame:
        """One row a device."""
        return self.tables["devices"]

    @property
    def items(self) -> pd.DataFrame:
        """The number of each item in these tables, and its id in the log."""
        return self.tables["items"]

    @property
    def users(self) -> pd.DataFrame:
        """Whose interactions each device has: the user's place and id in the log."""
        return self.tables["users"]

    @property
    def cloud(self) -> pd.DataFrame:
        """Queue and busy replicas over time."""
        return self.tables["cloud"]

    @property
    def updates(self) -> pd.DataFrame:
        """One row a version released, an install or an adaptation."""
        return self.tables["updates"]

    @property
    def account(self) -> pd.DataFrame:
        """One row a bootstrap draw of users: what the represented fleet costs."""
        return self.tables["account"]

    @property
    def opportunities(self) -> pd.DataFrame:
        """One row an opportunity, of users who react; empty where they have what the log says."""
        return self.tables.get("opportunities", pd.DataFrame(columns=OPPORTUNITY_SCHEMA.names))

    @property
    def feedback(self) -> pd.DataFrame:
        """One row a user, of users who react: what each figure of the summary's `feedback` would be without it; empty
        where there is none."""
        return self.tables.get("feedback", pd.DataFrame(columns=["user", *BOUNDS]))

    @property
    def baselines(self) -> pd.DataFrame:
        """One row an interaction: the rank of its item under every baseline, -1 absent and -2 not evaluated."""
        return self.tables["baselines"]

    def write(self, folder: RunFolder) -> None:
        """Write the run's files to `folder`; each appears whole or not at all, and all carry the run's id."""
        folder.begin()
        folder.announce([*(f"{name}.parquet" for name in self.tables), *_TEXTS])
        for name, table in self.tables.items():
            folder.write_table(name, table)
        self.write_texts(folder)

    def write_texts(self, folder: RunFolder) -> None:
        """Write what is no table: the scenario, timing and the summary; then the folder is whole."""
        self.timing = {"run": folder.run, **self.timing, "peak_rss_bytes": peak_rss_bytes()}
        self.summary = {"run": folder.run, **self.summary}
        written, timing, summary = _TEXTS
        folder.write_text(written, f"# run: {folder.run}\n# made by: {folder.made_by}\n{resolved_yaml(self.scenario)}")
        folder.write_text(timing, _json(self.timing))
        folder.write_text(summary, _json(self.summary))
        folder.finish(varying=(timing,))
        self.folder = folder.path


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
