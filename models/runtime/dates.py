"""Dates as seconds since 1970, of any year that a file can hold."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

LAST_DATE_S = 1e11
"""in the year 5138: what is later marks an unknown time, such as 9999-12-31"""


def seconds_of(moments: "pd.Series[Any]") -> NDArray[np.float64]:
    """Seconds [n] of a column of moments, in UTC where they have no zone; NaN for none."""
    if moments.dt.tz is not None:
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    ticks = moments.to_numpy().astype("datetime64[us]")
    seconds = ticks.astype(np.int64) / 1e6
    seconds[np.isnat(ticks)] = np.nan
    return np.asarray(seconds)
