"""What a finished run kept that comparisons need: ranks of each interaction and of baselines, its account's draws."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.records.run_manifest import check_one_run

Ranks = NDArray[np.int32]

_FILES = ("interactions.parquet", "devices.parquet", "baselines.parquet", "account.parquet")


@dataclass(frozen=True)
class RunRecords:
    """In order of (device, step): the interactions (device, step, t_s, rank) and the user of each; baselines' ranks.

    alone and account are empty where the run was made before they were kept.
    """

    interactions: pd.DataFrame
    users: NDArray[np.str_]
    alone: Mapping[str, Ranks]
    account: pd.DataFrame

    @property
    def ranks(self) -> Ranks:
        """Of the items on screen."""
        return self.interactions["rank"].to_numpy(dtype=np.int32)


def read_run(folder: Path) -> RunRecords:
    """The records in a run's folder; InputError where they are damaged or hold no interaction."""
    path = folder / "interactions.parquet"
    try:
        table = pd.read_parquet(path, columns=["device", "step", "t_s", "rank"])
        owners = pd.read_parquet(folder / "devices.parquet", columns=["device", "user"]).set_index("device")["user"]
        alone = _optional(folder / "baselines.parquet")
        account = _optional(folder / "account.parquet")
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); remove the run's folder and run it again") from error
    check_one_run(folder, tuple(name for name in _FILES if (folder / name).is_file()))
    if table.empty:
        raise InputError(f"{path}: the run evaluated no interaction, so there is nothing to compare")
    order = np.lexsort((table["step"].to_numpy(), table["device"].to_numpy()))
    table = table.iloc[order]
    users = owners.reindex(table["device"]).to_numpy(dtype=object).astype(str)
    ranks = {}
    if len(alone):
        alone = alone.iloc[np.lexsort((alone["step"].to_numpy(), alone["device"].to_numpy()))]
        names = [name for name in alone.columns if name not in ("device", "step")]
        ranks = {str(name): alone[name].to_numpy(dtype=np.int32) for name in names}
    return RunRecords(table, users, ranks, account)


def _optional(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path) if path.is_file() else pd.DataFrame()


def check_same(one: RunRecords, other: RunRecords, baseline: str, variant: str, seed: int) -> None:
    """InputError unless both evaluated the same steps of the same devices and users."""
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
