"""What a finished run kept that comparisons need: ranks of each interaction and of baselines, its account's draws, and
what users did who react."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import ENGAGEMENT, Note
from fleetrec.simulator.records.parquet import read_table
from fleetrec.simulator.records.run_manifest import SUMMARY, check_one_run
from fleetrec.simulator.results.engagement import device_totals, found_alone

Ranks = NDArray[np.int32]

_OPPORTUNITIES, _FEEDBACK = "opportunities.parquet", "feedback.parquet"
_FILES = (
    "interactions.parquet",
    "devices.parquet",
    "baselines.parquet",
    "account.parquet",
    _OPPORTUNITIES,
    _FEEDBACK,
)


@dataclass(frozen=True)
class Lives:
    """What users did who react, and for how long they could."""

    opportunities: pd.DataFrame
    users: NDArray[np.str_]
    """[D] of each device"""
    horizon_s: float
    measures: Note
    """what figures of these users are of, as the run says it"""
    feedback: pd.DataFrame
    """by user: what figures of feedback would be without it; empty where the run has none"""

    def totals(self, cut_s: float) -> pd.DataFrame:
        """Sums [D] of what each device's user did after the cut."""
        told = self.opportunities
        return device_totals(told[told["t_s"] >= cut_s], len(self.users), self.horizon_s - cut_s)


@dataclass(frozen=True)
class RunRecords:
    """In order of (device, step): the interactions (device, step, t_s, rank) and the user of each; baselines' ranks.

    alone and account are empty where the run was made before they were kept. Of users who react interactions are those
    that they found by themselves, whatever the screen showed.
    """

    interactions: pd.DataFrame
    users: NDArray[np.str_]
    alone: Mapping[str, Ranks]
    account: pd.DataFrame
    lives: Lives | None = None
    """of users who react"""

    @property
    def ranks(self) -> Ranks:
        """Of the items on screen."""
        return self.interactions["rank"].to_numpy(dtype=np.int32)


def read_run(folder: Path) -> RunRecords:
    """The records in a run's folder; InputError where they are damaged or hold no interaction."""
    path = folder / "interactions.parquet"
    try:
        table = read_table(path, ["device", "step", "t_s", "rank"])
        owners = read_table(folder / "devices.parquet", ["device", "user"]).set_index("device")["user"]
        alone, account, told, feedback = (
            _optional(folder / name) for name in ("baselines.parquet", "account.parquet", _OPPORTUNITIES, _FEEDBACK)
        )
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); remove the run's folder and run it again") from error
    check_one_run(folder, tuple(name for name in _FILES if (folder / name).is_file()))
    if table.empty and told.empty:
        raise InputError(f"{path}: the run evaluated no interaction, so there is nothing to compare")
    order = np.lexsort((table["step"].to_numpy(), table["device"].to_numpy()))
    table = table.iloc[order]
    users = owners.reindex(table["device"]).to_numpy(dtype=object).astype(str)
    ranks = {}
    if len(alone):
        alone = alone.iloc[np.lexsort((alone["step"].to_numpy(), alone["device"].to_numpy()))]
        names = [name for name in alone.columns if name not in ("device", "step")]
        ranks = {str(name): alone[name].to_numpy(dtype=np.int32) for name in names}
    if told.empty:
        return RunRecords(table, users, ranks, account)
    kept = found_alone(table, told)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    said = next(Note(one["key"], one["text"], one["values"]) for one in summary["notes"] if one["key"] == ENGAGEMENT)
    of_devices = owners.sort_index().to_numpy(dtype=object).astype(str)
    feedback = feedback if feedback.empty else feedback.set_index("user")
    lives = Lives(told, of_devices, float(summary["simulated_seconds"]), said, feedback)
    return RunRecords(table[kept], users[kept], {name: held[kept] for name, held in ranks.items()}, account, lives)


def _optional(path: Path) -> pd.DataFrame:
    return read_table(path) if path.is_file() else pd.DataFrame()


def check_same(one: RunRecords, other: RunRecords, baseline: str, variant: str, seed: int) -> None:
    """InputError unless both evaluated the same steps of the same devices and users; of users who react, unless they
    have the same devices."""
    if one.lives is not None and other.lives is not None:
        what = ""
        if one.lives.horizon_s != other.lives.horizon_s:
            what = f"another duration ({other.lives.horizon_s:,.0f} s, not {one.lives.horizon_s:,.0f} s)"
        elif not np.array_equal(one.lives.users, other.lives.users):
            what = "other users"
        if not what:
            return
        raise InputError(
            f"'{variant}' and the baseline '{baseline}' have {what} at seed {seed}, so their difference is not "
            "the policy's; compare variants of one fleet, workload and duration"
        )
    if (one.lives is None) != (other.lives is None):
        raise InputError(
            f"of '{variant}' and the baseline '{baseline}' one has users who react and one replays a log, so their "
            "difference is not the policy's; compare runs of the same workload.users"
        )
    pair, places = (one, other), ["device", "step"]
    if len(one.interactions) == len(other.interactions):
        same = (one.interactions[places].to_numpy() == other.interactions[places].to_numpy()).all()
        if same and (one.users == other.users).all():
            return
    keys = [set(zip(run.interactions["device"], run.interactions["step"], run.users, strict=True)) for run in pair]
    differ = len(keys[0] ^ keys[1])
    raise InputError(
        f"'{variant}' and the baseline '{baseline}' evaluate different interactions at seed {seed} ({differ:,} "
        "differ), so their difference is not the policy's; compare variants of one fleet, workload and duration"
    )
