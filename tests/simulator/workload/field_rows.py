"""A log of forty rows whose users, items and moments are known, in whatever form it is written."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from tests.simulator.workload.logs import load

START = pd.Timestamp("2021-03-04 05:06:07")
MOMENTS = [START + pd.Timedelta(hours=7 * k, minutes=11 * (k % 5)) for k in range(40)]
USERS = [f"u{k % 5}" for k in range(40)]
ITEMS = [f"i{k * 7 % 11}" for k in range(40)]
SECONDS = [moment.timestamp() for moment in MOMENTS]
TRUE = sorted(zip(USERS, ITEMS, SECONDS, strict=True), key=lambda row: (row[0], row[2]))
NO_SECONDS = sorted(zip(USERS, ITEMS, [s - s % 60 for s in SECONDS], strict=True), key=lambda row: (row[0], row[2]))


def table(times: list[Any], head: str = "user_id,item_id,timestamp", mark: str = ",") -> str:
    """A log of the moments as `times` writes them."""
    rows = [mark.join((user, item, str(time))) for user, item, time in zip(USERS, ITEMS, times, strict=True)]
    return "\n".join([head.replace(",", mark), *rows]) + "\n"


def written(form: str) -> list[str]:
    return [moment.strftime(form) for moment in MOMENTS]


def since(start: str, per_second: float) -> list[int]:
    return [round((moment - pd.Timestamp(start)).total_seconds() * per_second) for moment in MOMENTS]


def refused(path: Path, content: str | bytes | None, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(path, content, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message or message.startswith("where") or "time.unit" in message
    return message
