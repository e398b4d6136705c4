"""What came of every opportunity of users who react, kept as columns."""

from array import array

import numpy as np
import pyarrow as pa

from fleetrec.simulator.records.schemas import OPPORTUNITY_SCHEMA
from fleetrec.simulator.workload.users.choosing import AWAY, ENDS, OUTCOMES
from fleetrec.simulator.workload.users.opportunities import Opportunities

_NUMBERS = ("item", "place", "utility", "value", "best_value", "satisfaction")
_TOLD = ("row", "device", "outcome", *_NUMBERS, "ends")


class OpportunityLog:
    """Rows in the order in which users came to them."""

    def __init__(self) -> None:
        self._rows = array("d")

    def add(self, row: int, device: int, *told: float) -> None:
        """What came of row `row` of the stream: its outcome, item and so on (`_TOLD`)."""
        self._rows.extend((row, device, *told))

    def stayed_away(self, row: int, device: int, satisfaction: float) -> None:
        """A user did not come to the session that begins at this row."""
        nan = float("nan")
        self._rows.extend((row, device, AWAY, -1, -1, nan, nan, nan, satisfaction, 0))

    def table(self, times: Opportunities) -> pa.Table:
        """By device and time (`OPPORTUNITY_SCHEMA`)."""
        columns = np.array(self._rows).reshape(-1, len(_TOLD))
        told = dict(zip(_TOLD, columns[np.argsort(columns[:, 0], kind="stable")].T, strict=True))
        row, device = told["row"].astype(np.int64), told["device"].astype(np.int64)
        t_s, session = times.t_s[row], times.session[row]
        # Of the last opportunity that a user came to in a session, how long it stayed away.
        came = np.flatnonzero(told["outcome"] != AWAY)
        then, following = came[:-1], came[1:]
        returns = (device[then] == device[following]) & (session[then] != session[following])
        return_s = np.full(len(row), np.nan)
        return_s[then[returns]] = (t_s[following] - t_s[then])[returns]
        known = {
            "device": device,
            "opportunity": row - times.first[device],
            "session": session,
            "t_s": t_s,
            "outcome": np.array(OUTCOMES, dtype=object)[told["outcome"].astype(np.int64)],
            "ends": np.array(ENDS, dtype=object)[told["ends"].astype(np.int64)],
            "return_s": return_s,
            **{name: told[name] for name in _NUMBERS},
        }
        arrays = []
        for name, kind in zip(OPPORTUNITY_SCHEMA.names, OPPORTUNITY_SCHEMA.types, strict=True):
            values = known[name]
            arrays.append(pa.array(values if kind == pa.string() else values.astype(kind.to_pandas_dtype()), kind))
        return pa.Table.from_arrays(arrays, schema=OPPORTUNITY_SCHEMA)
