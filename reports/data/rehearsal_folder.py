"""What a rehearsal wrote, read back for its page and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json

Floats = NDArray[np.float64]

SOURCES = {"measured": "measured", "guess": "scenario's guess", "profile": "fitted profile"}
"""what times are of, and what a page calls them"""


@dataclass(frozen=True)
class RehearsalRecords:
    """The summary, and the answered requests in the order in which they were sent."""

    summary: Mapping[str, Any]
    answered: pd.DataFrame
    scenario: str

    @property
    def judged(self) -> NDArray[np.bool_]:
        """The requests that no profile was fitted to."""
        return ~self.answered["fitted"].to_numpy(bool)

    def times_s(self, source: str, what: str) -> Floats:
        """Time to the first token, or to the last (latency), of each answered request; NaN where it is not known."""
        prefix = "" if source == "measured" else f"{source}_"
        end = self.answered[f"{prefix}{'first' if what == 'ttft' else 'last'}_s"].to_numpy(np.float64)
        taken: Floats = end - self.answered["sent_s"].to_numpy(np.float64)
        return taken

    def sources(self) -> list[str]:
        """Those of SOURCES that are known."""
        return [name for name in SOURCES if np.isfinite(self.times_s(name, "latency")).any()]


def read_rehearsal(folder: Path) -> RehearsalRecords:
    """The records in a rehearsal's folder; InputError where they are missing or damaged."""
    path = folder / "rehearsal.parquet"
    try:
        summary = read_json(folder / "rehearsal.json")
        frame = pd.read_parquet(path)
        answered = frame[frame["outcome"] == "answered"].sort_values("sent_s", kind="stable")
        scenario = (folder / "scenario.yaml").read_text(encoding="utf-8")
        return RehearsalRecords(summary, answered, scenario)
    except (OSError, ValueError, KeyError, ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder}: holds a rehearsal that cannot be read ({reason}); rehearse once more") from error
